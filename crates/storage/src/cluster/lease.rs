//! A node's own direct connection for its lease, outside of any pool.
//!
//! Its session holds an advisory lock on the incarnation: where `PostgreSQL` sees the socket close the lock is free at
//! once, and stays held while the process is only frozen. Whoever connects anew first ends the session that held it
//! before, so nothing that the old one was still asked for can happen later.
//!
//! The driver sets no `TCP_USER_TIMEOUT` on our side of the socket: there every wait is cut by our own clock, and a
//! connection that was cut is never used again. On the server's side the session asks for it.

use std::str::FromStr;
use std::time::{Duration, Instant};

use membership::Incarnation;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{ConnectOptions, Connection, FromRow, PgConnection, Postgres};

use crate::StorageError;
use crate::db::{Statement, sql};
use crate::rows::Place;

/// Longest time until the server has let us in.
pub const CONNECT_LIMIT: Duration = Duration::from_millis(300);

/// Longest ask by our clock. The server ends each statement after 300 ms; what is longer is the net.
pub const ASK_LIMIT: Duration = Duration::from_millis(400);

/// A statement that takes longer is warned of.
const SLOW: Duration = Duration::from_millis(200);

/// What the session asks of the server: its own limits, and to notice soon that we are gone.
const SESSION: [(&str, &str); 8] = [
    ("statement_timeout", "300"),
    ("lock_timeout", "300"),
    ("idle_in_transaction_session_timeout", "1000"),
    ("client_connection_check_interval", "100"),
    ("tcp_user_timeout", "1000"),
    ("tcp_keepalives_idle", "1"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "1"),
];

/// One node's connection for its asks.
#[derive(Debug)]
pub struct LeaseConnection {
    /// `None` once it is lost.
    conn: Option<PgConnection>,
    incarnation: Incarnation,
    place: Place,
}

/// What the database sessions of an incarnation are called: `waddlebot/<incarnation>`, 42 of at most 63 bytes.
pub fn application_name(incarnation: Incarnation) -> String {
    format!("waddlebot/{incarnation}")
}

impl LeaseConnection {
    /// Connects within [`CONNECT_LIMIT`], straight to the server: through a pooler locks and limits would be another's.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] (a retry helps) when there is no answer in time.
    pub async fn connect(url: &SecretString, incarnation: Incarnation) -> Result<Self, StorageError> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|_| StorageError::invalid("storage.url is not a PostgreSQL address"))?
            .application_name(&application_name(incarnation))
            .options(SESSION)
            .disable_statement_logging();
        let database = options.get_database().unwrap_or("postgres");
        let place: Place = format!("PostgreSQL at {}/{database}", options.get_host()).into();
        match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(Ok(conn)) => Ok(Self { conn: Some(conn), incarnation, place }),
            Ok(Err(error)) => Err(StorageError::sort(&error, &place)),
            Err(_elapsed) => Err(lost("no connection in time")),
        }
    }

    /// Takes the session's lock on the incarnation. An older session of the same incarnation that still holds it is
    /// ended first, and with it whatever it was still doing.
    ///
    /// # Errors
    /// [`StorageError::Busy`] (a retry helps) when somebody holds it just now.
    pub async fn lock(&mut self) -> Result<(), StorageError> {
        let (key, name) = (lock_key(self.incarnation), application_name(self.incarnation));
        if self.try_lock(key).await? {
            return Ok(());
        }
        self.all(&END_HOLDER, |query: QueryOf<(bool,)>| query.bind(key).bind(name)).await?;
        if self.try_lock(key).await? { Ok(()) } else { Err(StorageError::Busy) }
    }

    async fn try_lock(&mut self, key: i64) -> Result<bool, StorageError> {
        let (is_locked,) = self.one(&LOCK, |query: QueryOf<(bool,)>| query.bind(key)).await?;
        Ok(is_locked)
    }

    /// Asks the session for a sign of life: the way to see between two asks that it dropped.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when none came within `limit`; the connection is lost then.
    pub async fn pulse(&mut self, limit: Duration) -> Result<(), StorageError> {
        self.within(limit, async |conn| conn.ping().await).await
    }

    /// Whether it was lost: connect anew.
    pub const fn is_lost(&self) -> bool {
        self.conn.is_none()
    }

    /// Runs one statement and returns all its rows.
    pub(super) async fn all<R: Row>(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(QueryOf<R>) -> QueryOf<R>,
    ) -> Result<Vec<R>, StorageError> {
        let started = Instant::now();
        let query = bind(sqlx::query_as(statement.postgres));
        let result = self.within(ASK_LIMIT, async |conn| query.fetch_all(conn).await).await;
        statement.record(started.elapsed(), SLOW, result.as_ref().err());
        result
    }

    /// Runs a statement that has one row or none.
    pub(crate) async fn optional<R: Row>(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(QueryOf<R>) -> QueryOf<R>,
    ) -> Result<Option<R>, StorageError> {
        Ok(self.all(statement, bind).await?.pop())
    }

    /// Runs a statement that always has one row.
    pub(super) async fn one<R: Row>(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(QueryOf<R>) -> QueryOf<R>,
    ) -> Result<R, StorageError> {
        let row = self.optional(statement, bind).await?;
        row.ok_or_else(|| StorageError::invalid("the database gave no row where there always is one"))
    }

    /// Ends every session of a dead incarnation, so that no frozen transaction of it holds on to a row.
    pub(super) async fn end_sessions_of(&mut self, dead: Incarnation) -> Result<(), StorageError> {
        #[cfg(any(test, feature = "test-support"))]
        if crate::testing::is_fence_off() {
            return Ok(());
        }
        let name = application_name(dead);
        self.all(&END_SESSIONS, |query: QueryOf<(bool,)>| query.bind(name)).await.map(drop)
    }

    /// Uses the connection for at most `limit`. Taken out meanwhile: given up in the middle of an answer it is lost.
    async fn within<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StorageError> {
        let mut conn = self.conn.take().ok_or_else(|| lost("the connection was lost"))?;
        let done = tokio::time::timeout(limit, work(&mut conn)).await;
        let result = done.map_err(|_elapsed| lost("no answer in time"))?;
        let result = result.map_err(|error| StorageError::sort(&error, &self.place));
        if !matches!(result, Err(StorageError::Unavailable { .. })) {
            self.conn = Some(conn);
        }
        result
    }
}

/// A row of a statement.
pub(crate) trait Row: for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// A statement on its way to its values.
pub(crate) type QueryOf<R> = QueryAs<'static, Postgres, R, PgArguments>;

/// The advisory lock of an incarnation.
pub(super) fn lock_key(incarnation: Incarnation) -> i64 {
    let [high, low] = [incarnation.0 >> 64, incarnation.0 & u128::from(u64::MAX)];
    u64::try_from(high ^ low).unwrap_or_default().cast_signed()
}

fn lost(why: &str) -> StorageError {
    StorageError::Unavailable { detail: format!("the lease's connection: {why}") }
}

const LOCK: Statement = sql!("select", "locks", postgres: "SELECT pg_try_advisory_lock($1)");

/// Ends the session of that name that holds the lock, and waits until it is gone.
const END_HOLDER: Statement = sql!("select", "locks",
    postgres: "SELECT pg_terminate_backend(a.pid, 200) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
     AND (CAST(l.classid AS BIGINT) << 32 | CAST(l.objid AS BIGINT)) = $1 \
     AND a.application_name = $2 AND a.datname = current_database() AND a.pid <> pg_backend_pid()");

const END_SESSIONS: Statement = sql!("select", "sessions",
    postgres: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()");

pub(crate) const STATEMENTS: &[&Statement] = &[&LOCK, &END_HOLDER, &END_SESSIONS];
