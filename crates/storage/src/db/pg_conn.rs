//! A connection to `PostgreSQL` that goes back to its pool only between two questions.
//!
//! The pool asks each connection that comes back for a sign of life and waits for it without a limit: one that was given up
//! in the middle of an answer would be lost to the pool for as long as the server or the network hangs. So such a
//! connection is closed instead; the server sees that within a second (`client_connection_check_interval`), stops the
//! statement and undoes its transaction.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::within;

/// Longest wait for the end of a BEGIN, COMMIT or ROLLBACK by our clock: none of them waits for another transaction.
const TURN_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct PgConn {
    /// `None` while it is dropped.
    held: Option<PoolConnection<Postgres>>,
    /// Set from a question to its answer, and for ever when that did not come.
    is_asked: bool,
    /// Whether a transaction may be open.
    is_open: bool,
}

impl PgConn {
    pub fn new(conn: PoolConnection<Postgres>) -> Self {
        Self { held: Some(conn), is_asked: false, is_open: false }
    }

    /// The driver's connection for one question; [`PgConn::answered`] says that it has come to its end.
    pub fn ask(&mut self) -> &mut PgConnection {
        self.is_asked = true;
        self.held.as_mut().expect("is there until it is dropped")
    }

    /// Notes how a question ended: after an error of the socket, or our clock's, nobody knows what still comes.
    pub fn answered<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.is_asked = matches!(result, Err(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)));
    }

    /// Begins with a statement that may set something for the transaction, too.
    pub async fn begin(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.is_open = true;
        self.turn(statement).await
    }

    /// Ends the transaction with COMMIT or ROLLBACK.
    pub async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.turn(statement).await?;
        self.is_open = false;
        Ok(())
    }

    async fn turn(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let done = within(Some(TURN_LIMIT), sqlx::raw_sql(statement).execute(self.ask())).await;
        self.answered(&done);
        done.map(drop)
    }

    /// Undoes what was left open. A connection that does not do that is closed, which undoes it, too.
    async fn undo(mut self) {
        if self.turn("ROLLBACK").await.is_err() {
            self.is_asked = true;
        }
    }
}

impl Drop for PgConn {
    fn drop(&mut self) {
        let Some(conn) = self.held.take() else { return };
        if self.is_asked {
            drop(conn.detach());
        } else if self.is_open {
            // Closed as well if the task never runs, because everything ends.
            let left = Self { held: Some(conn), is_asked: true, is_open: false };
            #[expect(
                clippy::disallowed_methods,
                reason = "ends within TURN_LIMIT; the pool does the same with its own"
            )]
            drop(tokio::spawn(left.undo()));
        }
    }
}
