//! Redis, the accelerator: with it things are faster and shared between nodes, without it everything works on its own.
//!
//! A [`Redis`] never keeps the node from starting. Behind it each [`Purpose`] has a connection of its own, in its own
//! database, that is opened in the background and opened anew for ever. While it is away, every call says so at once;
//! while it is there, no call waits longer than `redis.timeout_ms`. A call that got no answer in time ends that
//! connection, so that a server that hangs costs one wait and not one for each call.
//!
//! Nothing is promised to be in Redis: it may be emptied or replaced between two calls. Whoever must know of a gap
//! compares [`Live::generation`], which rises with every new connection. Needs Redis 6 or newer.

mod connect;
mod link;
mod report;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use secrecy::SecretString;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::link::Live;
pub use self::report::RedisState;

use self::connect::Connector;
use self::link::Link;
use self::report::Report;

/// Which server, and how patiently.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://…` or `rediss://…`, without a database; it may hold a password.
    pub url: SecretString,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Numbers of the databases of [`Purpose::Cache`], [`Purpose::Limits`] and [`Purpose::Streams`].
    pub databases: [u8; 3],
}

/// What a connection is for; each has its own database number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Cache,
    Limits,
    Streams,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Cache, Self::Limits, Self::Streams];
}

/// Why Redis did not do what it was asked. The caller goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no connection; said at once, a new one is being opened.
    #[error("Redis is away")]
    Away,
    /// No answer within `redis.timeout_ms`. It may have been done or not.
    #[error("Redis did not answer in time")]
    Timeout,
    /// The connection broke. It may have been done or not.
    #[error("the connection to Redis broke: {0}")]
    Broken(String),
    /// User name or password are wrong or missing.
    #[error("Redis refuses the login of redis.url: check user name and password")]
    Login,
    /// The server answered and did not do it: out of memory, a value of another type, a script it does not know.
    #[error("Redis refused: {0}")]
    Refused(String),
}

impl RedisError {
    /// Whether the connection is of no use any more, as opposed to one command.
    const fn ends_connection(&self) -> bool {
        matches!(self, Self::Timeout | Self::Broken(_))
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        let text = error.details();
        match error.kind() {
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Auth => Self::Login,
            _ if ["WRONGPASS", "NOAUTH", "NOPERM"].iter().any(|word| text.starts_with(word)) => Self::Login,
            ErrorKind::IO
            | ErrorKind::Tls
            | ErrorKind::Canceled
            | ErrorKind::Protocol
            | ErrorKind::Routing
            | ErrorKind::Backpressure => Self::Broken(readable(text).to_owned()),
            _ => Self::Refused(text.to_owned()),
        }
    }
}

/// The sentence in `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`.
fn readable(text: &str) -> &str {
    text.split_once("message: \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or(text)
}

/// The handle; clones are cheap and share the connections, which close with the last of them.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    connector: Arc<Connector>,
    /// In the order of [`Purpose::ALL`]; each is served by a task in the background.
    links: [Arc<Link>; 3],
    report: Arc<Report>,
    timeout: Duration,
    /// Ends those tasks.
    _running: DropGuard,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Redis {
    /// Begins to connect in the background.
    ///
    /// # Errors
    /// When the address cannot be used at all; a sentence without the password.
    pub fn start(options: &RedisOptions, background: &TaskTracker) -> Result<Self, RedisError> {
        let (connector, stop) = (Arc::new(Connector::new(options)?), CancellationToken::new());
        let (report, timeout) = (Arc::new(Report::default()), options.timeout);
        let links = Purpose::ALL.map(|purpose| Arc::new(Link::new(purpose)));
        for link in &links {
            let serving = link::serve(Arc::clone(link), Arc::clone(&connector), Arc::clone(&report), timeout);
            background.spawn(stop.clone().run_until_cancelled_owned(serving));
        }
        Ok(Self(Arc::new(Inner { connector, links, report, timeout, _running: stop.drop_guard() })))
    }

    /// Waits until every connection was tried once, at most for `longest`.
    pub async fn settle(&self, longest: Duration) {
        let all = futures_util::future::join_all(self.0.links.iter().map(|link| link.tried()));
        drop(tokio::time::timeout(longest, all).await);
    }

    /// Runs one command, or a few that belong together, within `redis.timeout_ms`.
    ///
    /// # Errors
    /// Why it was not done, or perhaps not. A retry soon helps only after [`RedisError::Refused`] was cured.
    pub async fn ask<T, F>(
        &self,
        purpose: Purpose,
        work: impl FnOnce(Client) -> F + Send,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let link = self.link(purpose);
        let live = link.live().ok_or(RedisError::Away)?;
        let error = match tokio::time::timeout(self.0.timeout, work(live.client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => RedisError::from(error),
            Err(_elapsed) => RedisError::Timeout,
        };
        if error.ends_connection() {
            link.give_up(live.generation, &error);
        }
        Err(error)
    }

    /// The connection as it is now. `None` while it is away.
    pub fn live(&self, purpose: Purpose) -> Option<Live> {
        self.link(purpose).live()
    }

    /// Waits for a connection that is newer than `generation` (0: any).
    pub async fn newer(&self, purpose: Purpose, generation: u64) -> Live {
        self.link(purpose).newer(generation).await
    }

    /// Waits until the connection of that generation is gone.
    pub async fn lost(&self, purpose: Purpose, generation: u64) {
        self.link(purpose).lost(generation).await;
    }

    /// A connection for commands that block (`XREADGROUP … BLOCK`), which would hold up everybody on the shared one.
    /// Its commands have no time limit of ours. Close it with `quit`; it does not come back by itself.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn dedicated(&self, purpose: Purpose) -> Result<Client, RedisError> {
        // The task behind it ends with `quit` or when the connection is lost.
        let (client, _task) = self.0.connector.open(purpose).await?;
        Ok(client)
    }

    /// How all connections together are.
    pub fn state(&self) -> RedisState {
        self.0.report.state()
    }

    fn link(&self, purpose: Purpose) -> &Link {
        &self.0.links[purpose as usize]
    }
}
