//! Where a statement runs: on a pool, in a transaction, or on a replica with the primary behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Sqlite, SqliteConnection};

use super::{Db, Inner, Lsn, PgConn, Pools, Statement, Tx, TxConn, Wait};
use crate::StorageError;

/// Where a question is asked: on the pool, inside a transaction (`&mut *tx`), or where lists are read.
#[derive(Debug)]
pub enum Target<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
    /// A replica for statements that are marked so, see [`Db::lists`].
    Lists {
        db: &'a Db,
        after: Option<Lsn>,
    },
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
    pub(crate) async fn acquire(self, statement: &Statement) -> Result<Held<'a>, StorageError> {
        match self {
            Self::Tx(tx) => {
                let Tx { conn, inner, .. } = tx;
                Ok(Held::new(HeldConn::Tx(conn), inner, None))
            }
            Self::Lists { db, after } if statement.on_replicas => {
                if let Some(replica) = db.inner.replicas.pick(after) {
                    match replica.acquire().await {
                        Ok(held) => return Ok(Held { primary: Some(db), ..held }),
                        Err(error) => replica.inner.note_fallback(&error),
                    }
                }
                db.acquire().await
            }
            Self::Db(db) | Self::Lists { db, .. } => db.acquire().await,
        }
    }
}

/// A connection for the time of one statement.
pub(crate) struct Held<'a> {
    conn: HeldConn<'a>,
    inner: Arc<Inner>,
    /// Who answers when this replica fails. `None` where the failure stands.
    primary: Option<&'a Db>,
    /// `None` where waits are not noted.
    wait: Option<Wait>,
}

pub(super) enum HeldConn<'a> {
    Lite(PoolConnection<Sqlite>),
    Pg(PgConn),
    Tx(&'a mut TxConn),
}

/// The driver's connection, of one kind or the other.
pub(crate) enum Either<'c> {
    Lite(&'c mut SqliteConnection),
    Pg(&'c mut PgConnection),
}

/// How one run of a statement ended.
pub(crate) enum Ended<'a, T> {
    Done(Result<T, StorageError>),
    /// A replica failed: ask the primary.
    Again(Target<'a>),
}

impl<T> Ended<'_, T> {
    /// The result of what runs on no replica.
    pub fn done(self) -> Result<T, StorageError> {
        match self {
            Self::Done(result) => result,
            Self::Again(_) => Err(StorageError::Busy),
        }
    }
}

impl<'a> Held<'a> {
    pub(super) fn new(conn: HeldConn<'a>, inner: &Arc<Inner>, wait: Option<Wait>) -> Self {
        Self { conn, inner: Arc::clone(inner), primary: None, wait }
    }

    pub(crate) fn either(&mut self) -> Either<'_> {
        match &mut self.conn {
            HeldConn::Lite(conn) => Either::Lite(conn),
            HeldConn::Tx(TxConn::Lite(tx)) => Either::Lite(tx),
            HeldConn::Pg(conn) | HeldConn::Tx(TxConn::Pg(conn)) => Either::Pg(conn.ask()),
        }
    }

    /// Longest run by our clock.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.inner.limit
    }

    /// Counts and times one statement and sorts its failure.
    pub(crate) fn finish<T>(
        mut self,
        statement: &Statement,
        started: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Ended<'a, T> {
        if let HeldConn::Pg(conn) | HeldConn::Tx(TxConn::Pg(conn)) = &mut self.conn {
            conn.answered(&result);
        }
        if let Some(wait) = self.wait.take() {
            wait.over();
        }
        let result = result.map_err(|error| StorageError::sort(&error, &self.inner.place));
        statement.record(started.elapsed(), self.inner.slow_query, result.as_ref().err());
        match (result, self.primary) {
            (Err(error), Some(db)) => {
                self.inner.note_fallback(&error);
                Ended::Again(Target::Db(db))
            }
            (result, _) => Ended::Done(result),
        }
    }
}

impl Inner {
    /// Counts what a replica did not answer. The primary does, so nobody has to act; the next look says what is wrong.
    fn note_fallback(&self, error: &StorageError) {
        let Pools::Pg(pool) = &self.pools else { return };
        tracing::debug!(replica = pool.name(), %error, "a replica did not answer, the primary is asked");
        metrics::counter!("waddlebot_db_replica_fallbacks_total", "service" => "waddlebot", "pool" => pool.name())
            .increment(1);
    }
}

/// Gives a run up after `limit`.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    run: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(limit) = limit else { return run.await };
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(limit, run).await.unwrap_or_else(|_elapsed| Err(timed_out()))
}
