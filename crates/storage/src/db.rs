//! One handle on either database.
//!
//! Callers hold a [`Db`] and open a [`Tx`]; they never see the driver. Every statement is run by the macro `on!`,
//! the one place where queries are timed, counted and their failures sorted. Two macros live here: `on!` runs the
//! same call on either pool, `sql!` names one or two SQL texts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Sqlite, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::StorageError;
use crate::rows::Place;
use crate::unit_of_work::Group;

mod background;
mod connect;
mod pg_conn;
mod pool;
mod position;
pub(crate) mod replicas;
mod statement;
mod target;
mod waits;

pub use connect::StorageOptions;
pub use pool::PoolGauge;
pub use position::Lsn;
pub use statement::Statement;
pub use target::Target;
pub(crate) use target::{Either, Ended, within};
pub use waits::{Wait, Waits};

use pg_conn::PgConn;
use pool::Pool;
use replicas::Replicas;
use target::{Held, HeldConn};

/// Names one SQL text for both databases, two where they differ, or one of a cluster, which `SQLite` is never asked.
macro_rules! sql {
    ($operation:literal, $table:literal, postgres: $pg:expr) => {
        sql!($operation, $table, sqlite: "SELECT 'PostgreSQL only'", postgres: $pg)
    };
    ($operation:literal, $table:literal, $both:expr) => {
        sql!($operation, $table, sqlite: $both, postgres: $both)
    };
    ($operation:literal, $table:literal, sqlite: $lite:expr, postgres: $pg:expr) => {
        $crate::db::Statement {
            operation: $operation, table: $table, sqlite: $lite, postgres: $pg, on_replicas: false,
        }
    };
}

/// Runs one statement on either database: `on!(target, &STATEMENT, fetch_all as Row, bind, …)`. What fails on a
/// replica is run once more, on the primary, so the values are only borrowed.
macro_rules! on {
    ($target:expr, $statement:expr, $fetch:ident as $row:ty $(, $bind:expr)* $(,)?) => {{
        let statement: &$crate::db::Statement = $statement;
        let mut target = $crate::db::Target::from($target);
        loop {
            let mut held = target.acquire(statement).await?;
            let started = std::time::Instant::now();
            let limit = held.limit();
            let result = $crate::db::within(limit, async { match held.either() {
                $crate::db::Either::Lite(conn) => {
                    sqlx::query_as::<sqlx::Sqlite, $row>(statement.sqlite)$(.bind(&$bind))*.$fetch(conn).await
                }
                $crate::db::Either::Pg(conn) => {
                    sqlx::query_as::<sqlx::Postgres, $row>(statement.postgres)$(.bind(&$bind))*.$fetch(conn).await
                }
            }}).await;
            match held.finish(statement, started, result) {
                $crate::db::Ended::Again(primary) => target = primary,
                $crate::db::Ended::Done(result) => break result,
            }
        }
    }};
    ($target:expr, $statement:expr, execute $(, $bind:expr)* $(,)?) => {{
        let statement: &$crate::db::Statement = $statement;
        let mut held = $crate::db::Target::from($target).acquire(statement).await?;
        let started = std::time::Instant::now();
        let limit = held.limit();
        let result = $crate::db::within(limit, async { match held.either() {
            $crate::db::Either::Lite(conn) => sqlx::query(statement.sqlite)$(.bind($bind))*
                .execute(conn).await.map(|done| done.rows_affected()),
            $crate::db::Either::Pg(conn) => sqlx::query(statement.postgres)$(.bind($bind))*
                .execute(conn).await.map(|done| done.rows_affected()),
        }}).await;
        held.finish(statement, started, result).done()
    }};
}

pub(crate) use {on, sql};

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

/// A handle on the database; cheap to clone, every clone is the same pool.
#[derive(Clone)]
pub struct Db {
    pub(crate) inner: Arc<Inner>,
    /// Where the waits of this handle are noted. `None`: nowhere.
    waits: Option<Arc<Waits>>,
}

pub(crate) struct Inner {
    pub(crate) pools: Pools,
    pub(crate) place: Place,
    slow_query: Duration,
    /// Longest statement, by our clock. `None` on `SQLite`.
    limit: Option<Duration>,
    pub(crate) replicas: Replicas,
    /// Units of work at once on `PostgreSQL`: fewer than connections, so that units which wait for a lock leave some to read.
    unit_slots: Arc<Semaphore>,
    /// For the test that must see what the fence is for.
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) is_fence_off: std::sync::atomic::AtomicBool,
}

/// `SQLite` has one writer, so that writers queue in the program and never meet a locked file.
pub(crate) enum Pools {
    Lite { writer: Pool<Sqlite>, readers: Pool<Sqlite>, units: Group },
    Pg(Pool<Postgres>),
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
        let db = Self::new(connect::connect(options, synced).await?);
        db.ping().await?;
        Ok(db)
    }

    fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), waits: None }
    }

    /// The same database, with the waits of its single statements noted; a transaction is the caller's to note.
    #[must_use]
    pub fn waited_by(&self, waits: &Arc<Waits>) -> Self {
        Self { inner: Arc::clone(&self.inner), waits: Some(Arc::clone(waits)) }
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
        self.inner.replicas.close().await;
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
            Pools::Lite { writer, readers, .. } => vec![writer.gauge(), readers.gauge()],
            Pools::Pg(pool) => {
                let replicas = self.inner.replicas.lists().flat_map(Self::pool_gauges);
                std::iter::once(pool.gauge()).chain(replicas).collect()
            }
        }
    }

    /// Begins a transaction that may write. Dropping it without [`Tx::commit`] undoes everything.
    pub async fn begin(&self) -> Result<Tx, StorageError> {
        let begun = match &self.inner.pools {
            Pools::Lite { writer, .. } => writer.begin("BEGIN IMMEDIATE").await.map(TxConn::Lite),
            Pools::Pg(pool) => begin_pg(pool, "BEGIN").await.map(TxConn::Pg),
        };
        let conn = begun.map_err(|error| StorageError::sort(&error, &self.inner.place))?;
        Ok(Tx { conn, inner: Arc::clone(&self.inner), _slot: None })
    }

    /// Begins the transaction of a unit of work, none of whose statements may take longer than 1.5 s: on `PostgreSQL`
    /// set in the same turn to the server.
    pub(crate) async fn begin_unit(&self) -> Result<Tx, StorageError> {
        let Pools::Pg(pool) = &self.inner.pools else { return self.begin().await };
        let sorted = |error: sqlx::Error| StorageError::sort(&error, &self.inner.place);
        let slot = Arc::clone(&self.inner.unit_slots).acquire_owned();
        let slot = tokio::time::timeout(connect::ACQUIRE_TIMEOUT, slot).await;
        let slot = slot.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut).map_err(sorted)?;
        let begun = begin_pg(pool, "BEGIN; SET LOCAL statement_timeout = 1500").await.map(TxConn::Pg);
        Ok(Tx { conn: begun.map_err(sorted)?, inner: Arc::clone(&self.inner), _slot: Some(slot) })
    }

    async fn acquire<'a>(&self) -> Result<Held<'a>, StorageError> {
        let wait = self.waits.as_ref().map(Waits::begin);
        let acquired = match &self.inner.pools {
            Pools::Lite { readers, .. } => readers.acquire().await.map(HeldConn::Lite),
            Pools::Pg(pool) => pool.acquire().await.map(PgConn::new).map(HeldConn::Pg),
        };
        match acquired {
            Ok(conn) => Ok(Held::new(conn, &self.inner, wait)),
            Err(error) => {
                if let Some(wait) = wait {
                    wait.over();
                }
                Err(StorageError::sort(&error, &self.inner.place))
            }
        }
    }

    /// The driver's pools.
    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }
}

async fn begin_pg(pool: &Pool<Postgres>, statement: &'static str) -> Result<PgConn, sqlx::Error> {
    let mut conn = PgConn::new(pool.acquire().await?);
    conn.begin(statement).await?;
    Ok(conn)
}

/// One transaction on either database.
pub struct Tx {
    conn: TxConn,
    inner: Arc<Inner>,
    /// `None` where units are not counted.
    _slot: Option<OwnedSemaphorePermit>,
}

enum TxConn {
    Lite(Transaction<'static, Sqlite>),
    Pg(PgConn),
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
            TxConn::Pg(conn) => conn.end("COMMIT").await,
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Undoes everything and waits until that is done.
    pub async fn rollback(self) -> Result<(), StorageError> {
        let done = match self.conn {
            TxConn::Lite(tx) => tx.rollback().await,
            TxConn::Pg(conn) => conn.end("ROLLBACK").await,
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Whether a test took the fence away.
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) fn is_fence_off(&self) -> bool {
        self.inner.is_fence_off.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Runs a migration's text: several statements, none of them prepared.
    pub(crate) async fn run_script(&mut self, script: &'static str) -> Result<(), StorageError> {
        let done = match &mut self.conn {
            TxConn::Lite(tx) => sqlx::raw_sql(script).execute(&mut **tx).await.map(drop),
            TxConn::Pg(conn) => {
                let done = sqlx::raw_sql(script).execute(conn.ask()).await.map(drop);
                conn.answered(&done);
                done
            }
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }

    /// Runs a fixed text without parameters, such as a savepoint.
    pub(crate) async fn run(&mut self, text: &'static str) -> Result<(), StorageError> {
        let done = match &mut self.conn {
            TxConn::Lite(tx) => sqlx::query(text).execute(&mut **tx).await.map(drop),
            TxConn::Pg(conn) => {
                let limit = self.inner.limit;
                let done = within(limit, sqlx::query(text).execute(conn.ask())).await.map(drop);
                conn.answered(&done);
                done
            }
        };
        done.map_err(|error| StorageError::sort(&error, &self.inner.place))
    }
}

const PING: Statement = sql!("select", "none", sqlite: "SELECT 1", postgres: "SELECT CAST(1 AS BIGINT)");

const TIME: Statement = sql!("select", "none",
    sqlite: "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    postgres: "SELECT clock_timestamp()");

pub(crate) const STATEMENTS: &[&Statement] = &[&PING, &TIME];
