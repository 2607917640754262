//! The connections between one coming and one going of the server.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig};
use fred::types::{ConnectHandle, Message, RespVersion};
use futures_util::future::{select_all, try_join_all};
use secrecy::ExposeSecret;
use tokio::sync::{Notify, broadcast};
use tokio::task::{AbortHandle, JoinError, JoinHandle};

use super::{Line, RedisError, RedisOptions};

/// Time for all connections of a session, TLS and passwords included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An idle session is asked this often whether it lives.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Messages that a subscriber may be behind before it misses some, which it is told.
const MESSAGES_MAX: usize = 1_024;

/// One connection for each [`Line`], all alive or given up together.
pub struct Session {
    /// Rises with each session of the process; the first is 1.
    pub generation: u64,
    /// In the order of [`Line::ALL`].
    clients: Vec<Client>,
    _tasks: Tasks,
    timeout: Duration,
    /// A command got no answer: nobody waits for this session until a ping was answered.
    is_doubted: AtomicBool,
    doubt: Notify,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The connections' own tasks; they end with the session, or with the attempt to make one.
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Ends with the reason when one of the connections ends.
pub(super) type Ended = futures_util::future::BoxFuture<'static, RedisError>;

impl Session {
    /// Connects all lines.
    pub(super) async fn connect(
        options: &RedisOptions,
        generation: u64,
    ) -> Result<(Self, Ended), RedisError> {
        let clients: Vec<Client> =
            Line::ALL.iter().map(|line| client(options, *line)).collect::<Result<_, _>>()?;
        let mut handles: Vec<ConnectHandle> = clients.iter().map(ClientLike::connect).collect();
        let tasks = Tasks(handles.iter().map(JoinHandle::abort_handle).collect());
        let connecting = try_join_all(clients.iter().zip(&mut handles).map(connected));
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_elapsed| RedisError::Timeout)??;
        let session = Self {
            generation,
            clients,
            _tasks: tasks,
            timeout: options.timeout,
            is_doubted: AtomicBool::new(false),
            doubt: Notify::new(),
        };
        let ended = async move {
            let (ended, ..) = select_all(handles).await;
            reason(ended)
        };
        Ok((session, Box::pin(ended)))
    }

    /// The connection for that use. A command on it is bounded by nothing but its caller: see [`Session::run`].
    pub fn client(&self, line: Line) -> &Client {
        &self.clients[line as usize]
    }

    /// Runs a command within that time.
    ///
    /// # Errors
    /// What the server said, or that it said nothing.
    pub async fn run<T, F>(
        &self,
        line: Line,
        limit: Duration,
        command: impl FnOnce(Client) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, fred::error::Error>>,
    {
        let answer = tokio::time::timeout(limit, command(self.client(line).clone())).await;
        let result = answer.map_err(|_elapsed| RedisError::Timeout).and_then(|answer| Ok(answer?));
        if result.as_ref().is_err_and(RedisError::is_silence) {
            self.is_doubted.store(true, Ordering::Release);
            self.doubt.notify_one();
        }
        result
    }

    /// Subscribes to a channel. The receiver ends with the session, and says when it was too slow and missed some.
    /// It brings the messages of all channels of the session: look at their names.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn subscribe(&self, channel: &str) -> Result<broadcast::Receiver<Message>, RedisError> {
        let messages = self.client(Line::Events).message_rx();
        let channel = channel.to_owned();
        self.run(Line::Events, self.timeout, |client| async move { client.subscribe(channel).await }).await?;
        Ok(messages)
    }

    pub(super) fn is_trusted(&self) -> bool {
        !self.is_doubted.load(Ordering::Acquire)
    }

    /// Asks every connection whether it lives: in turn once a second, at once when one is doubted. Ends with a silence.
    pub(super) async fn watch_over(&self) -> RedisError {
        loop {
            // A passed limit ends the pause as well.
            drop(tokio::time::timeout(PING_EVERY, self.doubt.notified()).await);
            let asked = Line::ALL.iter().filter(|line| **line != Line::StreamReads);
            let pings = try_join_all(asked.map(|line| self.client(*line).ping::<String>(None)));
            match tokio::time::timeout(self.timeout, pings).await {
                Err(_elapsed) => return RedisError::Timeout,
                Ok(Err(error)) => return error.into(),
                Ok(Ok(_)) => self.is_doubted.store(false, Ordering::Release),
            }
        }
    }
}

/// Waits until a client is connected, or its task ended without.
async fn connected((client, task): (&Client, &mut ConnectHandle)) -> Result<(), RedisError> {
    tokio::select! {
        connected = client.wait_for_connect() => Ok(connected?),
        ended = task => Err(reason(ended)),
    }
}

/// Why a connection's task ended.
fn reason(ended: Result<Result<(), fred::error::Error>, JoinError>) -> RedisError {
    match ended {
        Ok(Err(error)) => error.into(),
        _ => RedisError::Lost("it was closed".to_owned()),
    }
}

/// A client that never reconnects, queues or repeats: all that is the keeper's.
fn client(options: &RedisOptions, line: Line) -> Result<Client, RedisError> {
    let mut config = Config::from_url_centralized(options.url.expose_secret())
        .map_err(|_| RedisError::Refused("the address is not understood".to_owned()))?;
    config.database = Some(line.database(options));
    config.version = RespVersion::RESP3;
    config.fail_fast = true;
    let performance =
        PerformanceConfig { broadcast_channel_capacity: MESSAGES_MAX, ..PerformanceConfig::default() };
    let connection = ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        max_command_attempts: 1,
        ..ConnectionConfig::default()
    };
    Ok(Client::new(config, Some(performance), Some(connection), None))
}
