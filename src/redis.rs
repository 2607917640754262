//! Redis, the accelerator: one handle for all who use it, which is there or is not, and says so.
//!
//! Nobody ever waits for a server that is away. One keeper ([`Redis::keep`]) connects, retries for ever and publishes a
//! [`Session`]: the connections between one coming and one going. A command runs in the session of its moment, at most
//! [`RedisOptions::timeout`] long; without a session it fails at once. A session's number rises with each connection,
//! so that whoever missed messages or keys meanwhile can tell.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use secrecy::SecretString;
use tokio::sync::watch;

mod error;
mod keeper;
mod session;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::RedisError;
pub use session::Session;

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://…` or `rediss://…`; it may hold a password.
    pub url: SecretString,
    /// Longest wait for an answer.
    pub timeout: Duration,
    pub cache_db: u8,
    pub limits_db: u8,
    pub streams_db: u8,
}

/// What a connection is for; each use has its own, so that none waits behind another's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Values of the cache.
    Cache,
    /// Subscriptions. A connection that subscribed takes other commands too (RESP3).
    Events,
    /// Rate limits.
    Limits,
    /// The queue's streams.
    Streams,
    /// Reads of the queue's streams that wait for entries and hold their connection meanwhile.
    StreamReads,
}

impl Line {
    /// In the order of the variants.
    const ALL: [Self; 5] = [Self::Cache, Self::Events, Self::Limits, Self::Streams, Self::StreamReads];

    const fn database(self, options: &RedisOptions) -> u8 {
        match self {
            // Messages belong to no database.
            Self::Cache | Self::Events => options.cache_db,
            Self::Limits => options.limits_db,
            Self::Streams | Self::StreamReads => options.streams_db,
        }
    }
}

/// Whether Redis is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisState {
    /// Number of the running or last session; 0 before the first.
    pub generation: u64,
    pub is_up: bool,
    /// Why it is away, in a sentence that says what to do. `None` while it is up or was not tried yet.
    pub trouble: Option<Arc<str>>,
}

/// The handle; clones are the same one.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    options: RedisOptions,
    /// `None` while the server is away.
    session: ArcSwapOption<Session>,
    state: watch::Sender<RedisState>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("state", &*self.0.state.borrow()).finish_non_exhaustive()
    }
}

impl Redis {
    /// A handle without connections; [`Redis::keep`] makes them.
    pub fn new(options: RedisOptions) -> Self {
        let state = watch::Sender::new(RedisState::default());
        Self(Arc::new(Inner { options, session: ArcSwapOption::empty(), state }))
    }

    /// Connects once and measures an answer, for whoever only wants to know.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn probe(options: &RedisOptions) -> Result<Duration, RedisError> {
        let (session, _ended) = Session::connect(options, 1).await?;
        let asked = Instant::now();
        session
            .run(Line::Cache, options.timeout, |client| async move { client.ping::<String>(None).await })
            .await?;
        Ok(asked.elapsed())
    }

    /// Whether the server is there now.
    pub fn state(&self) -> RedisState {
        self.0.state.borrow().clone()
    }

    /// The state and its changes; two changes that follow quickly may be seen as one, which the generation tells.
    pub fn watch(&self) -> watch::Receiver<RedisState> {
        self.0.state.subscribe()
    }

    /// The connections of this moment. `None` while the server is away.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.0.session.load_full().filter(|session| session.is_trusted())
    }

    /// Runs a command on the connection of `line`, within [`RedisOptions::timeout`].
    ///
    /// # Errors
    /// At once when the server is away; what it said when it refused. The caller goes on without Redis.
    pub async fn run<T, F>(&self, line: Line, command: impl FnOnce(Client) -> F) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, fred::error::Error>>,
    {
        self.run_within(line, self.0.options.timeout, command).await
    }

    /// Runs a command that may take longer, such as a read that waits for entries.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn run_within<T, F>(
        &self,
        line: Line,
        limit: Duration,
        command: impl FnOnce(Client) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, fred::error::Error>>,
    {
        let session = self.session().ok_or(RedisError::Away)?;
        session.run(line, limit, command).await
    }
}
