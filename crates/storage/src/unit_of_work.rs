//! The one way in which modules change state: once per operation, whole or not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::{self, AuditEntry};
use crate::changes::{self, Change};
use crate::db::{Db, Statement, Tx, on, sql};
use crate::op_id::{OpId, Scope};
use crate::rows::micros;
use crate::{StorageError, db};

/// Longest stored outcome, in bytes of JSON.
pub const OUTCOME_BYTES_MAX: usize = 2_048;

/// Attempts to begin while other transactions are in the way.
const BEGIN_ATTEMPTS_MAX: u32 = 3;

/// Limit of the whole effect. `PostgreSQL` cuts each statement at 1.5 s besides (`LIMIT_STATEMENT`); `SQLite` has no
/// such limit, and its one writer must never be held longer than this.
const EFFECT_LIMIT: Duration = Duration::from_secs(5);

/// What the work of one operation came to.
#[derive(Debug)]
pub struct Effect<T> {
    /// Stored with the operation and given back to every repeat.
    pub outcome: T,
    /// `None` when the effect is nothing that anybody would look up later.
    pub audit: Option<AuditEntry>,
    pub changes: Vec<Change>,
}

impl<T> Effect<T> {
    /// An effect without audit row and changes.
    pub const fn new(outcome: T) -> Self {
        Self { outcome, audit: None, changes: Vec::new() }
    }

    /// Adds the audit row.
    #[must_use]
    pub fn audited(mut self, entry: AuditEntry) -> Self {
        self.audit = Some(entry);
        self
    }

    /// Adds a change that every node reloads.
    #[must_use]
    pub fn changed(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}

/// How the operation ended, now or at its first attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Done<T> {
    pub outcome: T,
    /// True when an earlier attempt had already done it and nothing was applied now.
    pub repeated: bool,
    /// What this node may reload at once; empty when repeated.
    pub changes: Vec<Change>,
}

/// Applies one operation in one transaction: fence, operation id, effect, audit row, changes.
///
/// A repeat of the same id applies nothing and returns the stored outcome; it waits for a first attempt that is
/// still running. Once begun it runs to its end even if the caller gives up waiting. `work` is called at most once.
///
/// # Errors
/// Whatever `work` returns; nothing is changed then. After a retryable error the same `op` may be tried again:
/// it is applied once, even if the failed attempt had been committed.
pub async fn unit_of_work<T, F>(
    db: &Db,
    scope: Scope,
    op: &OpId,
    now: DateTime<Utc>,
    work: F,
) -> Result<Done<T>, StorageError>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
{
    let (db, op) = (db.clone(), op.clone());
    let attempt = async move {
        match begin_operation(&db, scope, &op, now).await? {
            Begun::Repeated(outcome) => repeated(&db, &outcome),
            Begun::First(tx) => apply(tx, &op, now, work).await,
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "ends within EFFECT_LIMIT; Db::close waits for its connection, which is the drain"
    )]
    let task = tokio::spawn(attempt);
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StorageError::Closed),
        },
    }
}

/// Deletes at most `limit` operations that were recorded before `older_than`, and returns how many.
pub async fn prune_ops(db: &Db, older_than: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(older_than), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

enum Begun {
    First(Tx),
    /// The stored outcome, as JSON.
    Repeated(String),
}

async fn begin_operation(
    db: &Db,
    scope: Scope,
    op: &OpId,
    now: DateTime<Utc>,
) -> Result<Begun, StorageError> {
    let mut attempt = 1;
    loop {
        match try_begin_operation(db, scope, op, now).await {
            Ok(None) | Err(StorageError::Busy) if attempt < BEGIN_ATTEMPTS_MAX => attempt += 1,
            Ok(None) => return Err(StorageError::Busy),
            Ok(Some(begun)) => return Ok(begun),
            Err(error) => return Err(error),
        }
    }
}

/// `None` when the operation's row was pruned between two statements.
async fn try_begin_operation(
    db: &Db,
    scope: Scope,
    op: &OpId,
    now: DateTime<Utc>,
) -> Result<Option<Begun>, StorageError> {
    let mut tx = db.begin().await?;
    if tx.is_postgres() {
        on!(&mut tx, &LIMIT_STATEMENT, execute)?;
    }
    check_fence(&mut tx, scope).await?;
    let n_inserted = on!(&mut tx, &INSERT, execute, op.as_str(), micros(now))?;
    if n_inserted == 1 {
        return Ok(Some(Begun::First(tx)));
    }
    let stored = on!(&mut tx, &OUTCOME, fetch_optional as (String,), op.as_str())?;
    tx.rollback().await?;
    Ok(stored.map(|(outcome,)| Begun::Repeated(outcome)))
}

/// Checks that this node still owns the scope, in the transaction that writes.
///
/// One node owns every channel, so `Channel` passes; with the cluster its row in `owners` is compared here.
pub async fn check_fence(_tx: &mut Tx, scope: Scope) -> Result<(), StorageError> {
    match scope {
        Scope::Channel { .. } | Scope::Community(_) | Scope::Global => Ok(()),
    }
}

fn repeated<T: DeserializeOwned>(db: &Db, outcome: &str) -> Result<Done<T>, StorageError> {
    let outcome = serde_json::from_str(outcome).map_err(|error| StorageError::Corrupt {
        place: db.place().into(),
        detail: format!("a stored outcome: {error}"),
    })?;
    Ok(Done { outcome, repeated: true, changes: Vec::new() })
}

async fn apply<T, F>(mut tx: Tx, op: &OpId, now: DateTime<Utc>, work: F) -> Result<Done<T>, StorageError>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
{
    let applied = tokio::time::timeout(EFFECT_LIMIT, async {
        let Effect { outcome, audit, changes } = work(&mut tx).await?;
        let stored = to_stored(&outcome)?;
        on!(&mut tx, &STORE_OUTCOME, execute, op.as_str(), stored)?;
        if let Some(entry) = &audit {
            audit::append(&mut tx, entry, now).await?;
        }
        changes::append_all(&mut tx, &changes, now).await?;
        Ok((outcome, changes))
    });
    match applied.await.unwrap_or(Err(StorageError::Timeout)) {
        Ok((outcome, changes)) => {
            tx.commit().await?;
            Ok(Done { outcome, repeated: false, changes })
        }
        Err(error) => {
            // The first failure is the one to tell; dropping the transaction undoes it in any case.
            drop(tx);
            Err(error)
        }
    }
}

fn to_stored<T: Serialize>(outcome: &T) -> Result<String, StorageError> {
    let stored = serde_json::to_string(outcome)
        .map_err(|error| StorageError::invalid(format!("an outcome cannot be stored: {error}")))?;
    if stored.len() > OUTCOME_BYTES_MAX {
        return Err(StorageError::invalid(format!("an outcome is longer than {OUTCOME_BYTES_MAX} bytes")));
    }
    Ok(stored)
}

const LIMIT_STATEMENT: Statement = sql!("select", "none",
    sqlite: "SELECT ''",
    postgres: "SELECT set_config('statement_timeout', '1500', TRUE)");

/// Waits for a concurrent first attempt: on `PostgreSQL` in the unique index, on `SQLite` for the one writer.
const INSERT: Statement = sql!(
    "insert",
    "ops",
    "INSERT INTO ops (op_id, outcome, created_at) VALUES ($1, '', $2) ON CONFLICT (op_id) DO NOTHING"
);

const OUTCOME: Statement = sql!("select", "ops", "SELECT outcome FROM ops WHERE op_id = $1");

const STORE_OUTCOME: Statement = sql!("update", "ops", "UPDATE ops SET outcome = $2 WHERE op_id = $1");

const PRUNE: Statement = sql!(
    "delete",
    "ops",
    "DELETE FROM ops WHERE op_id IN (SELECT op_id FROM ops WHERE created_at < $1 ORDER BY created_at LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&LIMIT_STATEMENT, &INSERT, &OUTCOME, &STORE_OUTCOME, &PRUNE];
