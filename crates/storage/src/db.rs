//! One handle on either database.
//!
//! Callers hold a [`Db`] and open a [`Tx`]; they never see the driver. Every statement is run by the macro `on!`,
//! the one place where queries are timed, counted and their failures sorted. Two macros live here: `on!` runs the
//! same call on either pool, `sql!` names one or two SQL texts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::StorageError;
use crate::rows::Place;
use crate::unit_of_work::Group;

mod connect;

/// Time after which a query is worth a line at level debug.
const NOTABLE_QUERY: Duration = Duration::from_millis(100);

/// One SQL text, or one for each database, with its labels for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// `select`, `insert`, `update` or `delete`.
    pub operation: &'static str,
    /// The table that the statement is about.
    pub table: &'static str,
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// Names one SQL text for both databases, or two where they differ.
macro_rules! sql {
    ($operation:literal, $table:literal, $both:expr) => {
        $crate::db::Statement { operation: $operation, table: $table, sqlite: $both, postgres: $both }
    };
    ($operation:literal, $table:literal, sqlite: $lite:expr, postgres: $pg:expr) => {
        $crate::db::Statement { operation: $operation, table: $table, sqlite: $lite, postgres: $pg }
    };
}

/// Runs one statement on either database: `on!(target, &STATEMENT, fetch_all as Row, bind, …)`.
macro_rules! on {
    ($target:expr, $statement:expr, $fetch:ident as $row:ty $(, $bind:expr)* $(,)?) => {{
        let statement: &$crate::db::Statement = $statement;
        let mut held = $crate::db::Target::from($target).acquire().await?;
        let started = std::time::Instant::now();
        let result = match held.either() {
            $crate::db::Either::Lite(conn) => {
                sqlx::query_as::<sqlx::Sqlite, $row>(statement.sqlite)$(.bind($bind))*.$fetch(conn).await
            }
            $crate::db::Either::Pg(conn) => {
                sqlx::query_as::<sqlx::Postgres, $row>(statement.postgres)$(.bind($bind))*.$fetch(conn).await
            }
        };
        held.finish(statement, started, result)
    }};
    ($target:expr, $statement:expr, execute $(, $bind:expr)* $(,)?) => {{
        let statement: &$crate::db::Statement = $statement;
        let mut held = $crate::db::Target::from($target).acquire().await?;
        let started = std::time::Instant::now();
        let result = match held.either() {
            $crate::db::Either::Lite(conn) => sqlx::query(statement.sqlite)$(.bind($bind))*
                .execute(conn).await.map(|done| done.rows_affected()),
            $crate::db::Either::Pg(conn) => sqlx::query(statement.postgres)$(.bind($bind))*
                .execute(conn).await.map(|done| done.rows_affected()),
        };
        held.finish(statement, started, result)
    }};
}

pub(crate) use {on, sql};

/// Where the database is and how long it may take.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// `sqlite://path` or `postgres://…`.
    pub url: SecretString,
    /// Connections of the pool; on `SQLite` the readers beside the one writer.
    pub max_connections: u32,
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    /// Queries that take longer are logged as a warning.
    pub slow_query: Duration,
}

impl StorageOptions {
    /// The defaults for a database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            max_connections: 10,
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            slow_query: Duration::from_secs(1),
        }
    }
}

/// Which database is behind the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbKind {
    Sqlite,
    Postgres,
}

impl DbKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// How many connections a pool has, for `waddlebot_db_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGauge {
    /// `writer`, `readers` or `main`.
    pub pool: &'static str,
    pub in_use: u32,
    pub idle: u32,
    pub max: u32,
}

/// A handle on the database; cheap to clone, every clone is the same pool.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pools: Pools,
    pub(crate) place: Place,
    slow_query: Duration,
}

/// `SQLite` has one writer, so that writers queue in the program and never meet a locked file.
pub(crate) enum Pools {
    Lite { writer: SqlitePool, readers: SqlitePool, units: Group },
    Pg(PgPool),
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database; `SQLite`'s file and folder are made when they are missing.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a wrong address, [`StorageError::ReadOnly`] for a folder that cannot be
    /// written, [`StorageError::Unavailable`] (a retry helps) for a server that does not answer within 3 s.
    pub async fn open(options: &StorageOptions) -> Result<Self, StorageError> {
        Self::open_with(options, true).await
    }

    /// As [`Db::open`], for a `SQLite` file that may lose its last seconds when the machine stops.
    pub(crate) async fn open_unsynced(options: &StorageOptions) -> Result<Self, StorageError> {
        Self::open_with(options, false).await
    }

    async fn open_with(options: &StorageOptions, synced: bool) -> Result<Self, StorageError> {
        let (pools, place) = connect::connect(options, synced).await?;
        let db = Self { inner: Arc::new(Inner { pools, place, slow_query: options.slow_query }) };
        db.ping().await?;
        Ok(db)
    }

    /// Asks the database for an answer, at most 3 s for a connection.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let (_one,) = on!(self, &PING, fetch_one as (i64,))?;
        Ok(())
    }

    /// The wall clock of the database's machine; on SQLite that is ours.
    pub async fn time(&self) -> Result<DateTime<Utc>, StorageError> {
        let (time,) = on!(self, &TIME, fetch_one as (DateTime<Utc>,))?;
        Ok(time)
    }

    pub fn kind(&self) -> DbKind {
        match self.inner.pools {
            Pools::Lite { .. } => DbKind::Sqlite,
            Pools::Pg(_) => DbKind::Postgres,
        }
    }

    /// The folder of the `SQLite` file, or `PostgreSQL at host/database`.
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    /// Waits until every running transaction has ended, then closes the pools.
    pub async fn close(&self) {
        match &self.inner.pools {
            Pools::Lite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Pg(pool) => pool.close().await,
        }
    }

    /// How busy the pools are.
    pub fn pool_gauges(&self) -> Vec<PoolGauge> {
        match &self.inner.pools {
            Pools::Lite { writer, readers, .. } => vec![gauge("writer", writer), gauge("readers", readers)],
            Pools::Pg(pool) => vec![gauge("main", pool)],
        }
    }

    /// Begins a transaction that may write. Dropping it without [`Tx::commit`] undoes everything.
    pub async fn begin(&self) -> Result<Tx, StorageError> {
        let begun = match &self.inner.pools {
            Pools::Lite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(TxConn::Lite),
            Pools::Pg(pool) => pool.begin().await.map(TxConn::Pg),
        };
        let conn = begun.map_err(|error| StorageError::sort(&error, &self.inner.place))?;
        Ok(Tx { conn, inner: Arc::clone(&self.inner) })
    }

    /// Begins the transaction of a unit of work, none of whose statements may take longer than 1.5 s: on `PostgreSQL`
    /// set in the same turn to the server.
    pub(crate) async fn begin_unit(&self) -> Result<Tx, StorageError> {
        let Pools::Pg(pool) = &self.inner.pools else { return self.begin().await };
        let begun = pool.begin_with("BEGIN; SET LOCAL statement_timeout = 1500").await.map(TxConn::Pg);
        let conn = begun.map_err(|error| StorageError::sort(&error, &self.inner.place))?;
        Ok(Tx { conn, inner: Arc::clone(&self.inner) })
    }

    /// The driver's pools.
    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }
}

fn gauge<D: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<D>) -> PoolGauge {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    PoolGauge {
        pool: name,
        in_use: pool.size().saturating_sub(idle),
        idle,
        max: pool.options().get_max_connections(),
    }
}

/// One transaction on either database.
pub struct Tx {
    conn: TxConn,
    inner: Arc<Inner>,
}

enum TxConn {
    Lite(Transaction<'static, Sqlite>),
    Pg(Transaction<'static, Postgres>),
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl Tx {
    /// Makes everything that was done durable.
    ///
    /// # Errors
    /// After [`StorageError::Unavailable`] it is unknown whether the commit happened; only repeating the same
    /// operation id tells.
    pub async fn commit(self) -> Result<(), StorageError> {
        let done = match self.conn {
            TxConn::Lite(tx) => tx.commit().await,
            TxConn::Pg(tx) => tx.commit().await,
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Undoes everything and waits until that is done.
    pub async fn rollback(self) -> Result<(), StorageError> {
        let done = match self.conn {
            TxConn::Lite(tx) => tx.rollback().await,
            TxConn::Pg(tx) => tx.rollback().await,
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Runs a migration's text: several statements, none of them prepared.
    pub(crate) async fn run_script(&mut self, script: &'static str) -> Result<(), StorageError> {
        let done = match &mut self.conn {
            TxConn::Lite(tx) => sqlx::raw_sql(script).execute(&mut **tx).await.map(drop),
            TxConn::Pg(tx) => sqlx::raw_sql(script).execute(&mut **tx).await.map(drop),
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Runs a fixed text without parameters, such as a savepoint.
    pub(crate) async fn run(&mut self, text: &'static str) -> Result<(), StorageError> {
        let done = match &mut self.conn {
            TxConn::Lite(tx) => sqlx::query(text).execute(&mut **tx).await.map(drop),
            TxConn::Pg(tx) => sqlx::query(text).execute(&mut **tx).await.map(drop),
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }
}

/// Where a question is asked: on the pool, or inside a transaction (`&mut *tx`).
#[derive(Debug)]
pub enum Target<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Db> for Target<'a> {
    fn from(db: &'a Db) -> Self {
        Self::Db(db)
    }
}

impl<'a> From<&'a mut Tx> for Target<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl<'a> Target<'a> {
    pub(crate) async fn acquire(self) -> Result<Held<'a>, StorageError> {
        match self {
            Self::Tx(tx) => Ok(Held { inner: Arc::clone(&tx.inner), conn: HeldConn::Tx(&mut tx.conn) }),
            Self::Db(db) => {
                let acquired = match &db.inner.pools {
                    Pools::Lite { readers, .. } => readers.acquire().await.map(HeldConn::Lite),
                    Pools::Pg(pool) => pool.acquire().await.map(HeldConn::Pg),
                };
                let conn = acquired.map_err(|error| StorageError::sort(&error, &db.inner.place))?;
                Ok(Held { inner: Arc::clone(&db.inner), conn })
            }
        }
    }
}

/// A connection for the time of one statement.
pub(crate) struct Held<'a> {
    conn: HeldConn<'a>,
    inner: Arc<Inner>,
}

enum HeldConn<'a> {
    Lite(PoolConnection<Sqlite>),
    Pg(PoolConnection<Postgres>),
    Tx(&'a mut TxConn),
}

/// The driver's connection, of one kind or the other.
pub(crate) enum Either<'c> {
    Lite(&'c mut SqliteConnection),
    Pg(&'c mut PgConnection),
}

impl Held<'_> {
    pub(crate) fn either(&mut self) -> Either<'_> {
        match &mut self.conn {
            HeldConn::Lite(conn) => Either::Lite(conn),
            HeldConn::Pg(conn) => Either::Pg(conn),
            HeldConn::Tx(TxConn::Lite(tx)) => Either::Lite(tx),
            HeldConn::Tx(TxConn::Pg(tx)) => Either::Pg(tx),
        }
    }

    /// Counts and times one statement and sorts its failure.
    pub(crate) fn finish<T>(
        &self,
        statement: &Statement,
        started: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, StorageError> {
        let result = result.map_err(|error| StorageError::sort(&error, &self.inner.place));
        record(statement, started.elapsed(), self.inner.slow_query, result.as_ref().err());
        result
    }
}

fn record(statement: &Statement, took: Duration, slow: Duration, error: Option<&StorageError>) {
    let Statement { operation, table, .. } = *statement;
    let status = if error.is_some() { "error" } else { "success" };
    metrics::counter!("waddlebot_db_queries_total",
        "service" => "waddlebot", "operation" => operation, "table" => table, "status" => status)
    .increment(1);
    for name in ["waddlebot_db_query_duration_seconds", "waddlebot_database_query_duration_seconds"] {
        metrics::histogram!(name, "service" => "waddlebot", "operation" => operation, "table" => table)
            .record(took.as_secs_f64());
    }
    let duration_ms = took.as_secs_f64() * 1000.0;
    if took > slow {
        tracing::warn!(db.operation = operation, db.table = table, duration_ms, "slow query");
    } else if took > NOTABLE_QUERY {
        tracing::debug!(db.operation = operation, db.table = table, duration_ms, "query took long");
    }
}

const PING: Statement = sql!("select", "none", sqlite: "SELECT 1", postgres: "SELECT CAST(1 AS BIGINT)");

const TIME: Statement = sql!("select", "none",
    sqlite: "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    postgres: "SELECT clock_timestamp()");

pub(crate) const STATEMENTS: &[&Statement] = &[&PING, &TIME];
