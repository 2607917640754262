//! The one way in which modules change state: once per operation, whole or not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::{self, AuditEntry};
use crate::changes::{self, Change, Made};
use crate::db::{Db, DbKind, Statement, Tx, on, sql};
use crate::op_id::{OpId, Scope};
use crate::outbox::{self, Outgoing};
use crate::rows::micros;
use crate::{StorageError, db};

mod fence;
mod group;

pub(crate) use fence::STATEMENTS as FENCE_STATEMENTS;
pub use fence::check_fence;
pub(crate) use group::Group;

/// Longest stored outcome, in bytes of JSON.
pub const OUTCOME_BYTES_MAX: usize = 2_048;

/// Attempts to begin while other transactions are in the way.
const BEGIN_ATTEMPTS_MAX: u32 = 3;

/// Limit of the whole effect. `PostgreSQL` cuts each statement at 1.5 s besides (`Db::begin_unit`); `SQLite` has no
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
    /// Stand in the outbox from the same commit on.
    pub replies: Vec<Outgoing>,
}

impl<T> Effect<T> {
    /// An effect without audit row, changes and replies.
    pub const fn new(outcome: T) -> Self {
        Self { outcome, audit: None, changes: Vec::new(), replies: Vec::new() }
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
    pub changes: Vec<Made>,
}

/// Applies one operation in one transaction: fence, operation id, effect, audit row, changes, replies.
///
/// A repeat of the same id applies nothing and returns the stored outcome; it waits for a first attempt that is
/// still running. Once begun it runs to its end even if the caller gives up waiting. `work` is called at most once.
/// On `SQLite` units that arrive together share a commit, so a call returns when its group is durable.
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
    let unit = Unit { scope, op: op.clone(), now, work: Some(work) };
    let db = db.clone();
    let attempt = async move {
        match db.kind() {
            DbKind::Sqlite => group::run(&db, unit).await,
            DbKind::Postgres => alone(&db, unit).await,
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

/// Runs a unit in a transaction of its own.
async fn alone<T, F>(db: &Db, mut unit: Unit<F>) -> Result<Done<T>, StorageError>
where
    T: Serialize + DeserializeOwned,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>>,
{
    let mut attempt = 1;
    loop {
        let mut tx = db.begin_unit().await?;
        let applied = tokio::time::timeout(EFFECT_LIMIT, unit.apply(db, &mut tx)).await;
        match applied.unwrap_or(Err(StorageError::Timeout)) {
            // Its row was pruned between two statements, or somebody was in the way before it had begun.
            Ok(None) | Err(StorageError::Busy) if unit.work.is_some() && attempt < BEGIN_ATTEMPTS_MAX => {
                attempt += 1;
            }
            Ok(None) => return Err(StorageError::Busy),
            Ok(Some(done)) if done.repeated => {
                tx.rollback().await?;
                return Ok(done);
            }
            Ok(Some(done)) => {
                tx.commit().await?;
                return Ok(done);
            }
            // The first failure is the one to tell; dropping the transaction undoes it in any case.
            Err(error) => return Err(error),
        }
    }
}

/// One operation and what it does.
struct Unit<F> {
    scope: Scope,
    op: OpId,
    now: DateTime<Utc>,
    /// `None` once it was begun.
    work: Option<F>,
}

/// What is written at the end of a unit, as one element of [`END`]'s parameter.
#[derive(Debug, Serialize)]
struct Entry {
    op_id: String,
    outcome: String,
    /// One or none.
    audit: Vec<serde_json::Value>,
    replies: Vec<Outgoing>,
}

impl<F> Unit<F> {
    /// Does everything but the commit. `None`: its row was there and then was not; begin anew.
    async fn apply<T>(&mut self, db: &Db, tx: &mut Tx) -> Result<Option<Done<T>>, StorageError>
    where
        T: Serialize + DeserializeOwned,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>>,
    {
        let ops = to_json(&[self.op.as_str()])?;
        let is_new = match fence::fence_of(tx, self.scope) {
            Some(fence) => fence::begin(tx, fence, self.op.as_str(), self.now).await?,
            None => !on!(&mut *tx, &BEGIN, fetch_all as (String,), &ops, micros(self.now))?.is_empty(),
        };
        if !is_new {
            let stored = on!(&mut *tx, &OUTCOMES, fetch_all as (String, String), ops)?;
            return stored.first().map(|(_, outcome)| repeated(db, outcome)).transpose();
        }
        let (done, entry) = self.work(tx).await?;
        let entries = to_json(&[entry])?;
        on!(&mut *tx, &END, execute, entries, micros(self.now))?;
        Ok(Some(done))
    }

    /// Does the work, once, and says what is to be written with it. Whoever calls has checked the fence.
    async fn work<T>(&mut self, tx: &mut Tx) -> Result<(Done<T>, Entry), StorageError>
    where
        T: Serialize,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>>,
    {
        let Some(work) = self.work.take() else { return Err(StorageError::Busy) };
        let Effect { outcome, audit, changes, replies } = work(&mut *tx).await?;
        outbox::check(&replies)?;
        let entry = Entry {
            op_id: self.op.as_str().to_owned(),
            outcome: to_stored(&outcome)?,
            audit: audit.iter().map(|entry| audit::to_row(entry, self.now)).collect::<Result<_, _>>()?,
            replies,
        };
        let changes = changes::append_all(tx, &changes, self.now).await?;
        Ok((Done { outcome, repeated: false, changes }, entry))
    }
}

fn to_json<T: Serialize>(all: &[T]) -> Result<String, StorageError> {
    serde_json::to_string(all).map_err(|error| StorageError::invalid(format!("cannot be stored: {error}")))
}

/// Deletes at most `limit` operations that were recorded before `older_than`, and returns how many.
pub async fn prune_ops(db: &Db, older_than: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(older_than), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

fn repeated<T: DeserializeOwned>(db: &Db, outcome: &str) -> Result<Done<T>, StorageError> {
    let outcome = serde_json::from_str(outcome).map_err(|error| StorageError::Corrupt {
        place: db.place().into(),
        detail: format!("a stored outcome: {error}"),
    })?;
    Ok(Done { outcome, repeated: true, changes: Vec::new() })
}

fn to_stored<T: Serialize>(outcome: &T) -> Result<String, StorageError> {
    let stored = serde_json::to_string(outcome)
        .map_err(|error| StorageError::invalid(format!("an outcome cannot be stored: {error}")))?;
    if stored.len() > OUTCOME_BYTES_MAX {
        return Err(StorageError::invalid(format!("an outcome is longer than {OUTCOME_BYTES_MAX} bytes")));
    }
    Ok(stored)
}

/// Takes a list of ids and tells which are new. Waits for a concurrent first attempt: on `PostgreSQL` in the unique
/// index, on `SQLite` for the one writer.
const BEGIN: Statement = sql!("insert", "ops",
    sqlite: "INSERT INTO ops (op_id, outcome, created_at) SELECT value, '', $2 FROM json_each($1) WHERE TRUE \
        ON CONFLICT (op_id) DO NOTHING RETURNING op_id",
    postgres: "INSERT INTO ops (op_id, outcome, created_at) \
        SELECT value, '', $2 FROM jsonb_array_elements_text(CAST($1 AS JSONB)) AS value \
        ON CONFLICT (op_id) DO NOTHING RETURNING op_id");

const OUTCOMES: Statement = sql!("select", "ops",
    sqlite: "SELECT op_id, outcome FROM ops WHERE op_id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT op_id, outcome FROM ops \
        WHERE op_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB))))");

/// Outcomes, replies and audit rows of a list of units in one turn to the server. The rows are there: an upsert finds
/// them by their key, where an update that joins the list reads the whole table.
const END: Statement = sql!("update", "ops",
    sqlite: "INSERT INTO ops (op_id, outcome, created_at) \
        SELECT value ->> 'op_id', value ->> 'outcome', $2 FROM json_each($1) WHERE TRUE \
        ON CONFLICT (op_id) DO UPDATE SET outcome = excluded.outcome; \
        INSERT INTO outbox (id, op_id, channel_id, claimed_by, in_reply_to, correlation_id, body, created_at) \
        SELECT r.value ->> 'id', u.value ->> 'op_id', r.value ->> 'channel_id', r.value ->> 'claimed_by', \
        r.value ->> 'in_reply_to', r.value ->> 'correlation_id', r.value ->> 'body', $2 \
        FROM json_each($1) AS u, json_each(u.value, '$.replies') AS r; \
        INSERT INTO audit_log (id, at, actor, person_id, community_id, channel_id, action, target, detail, \
        correlation_id) SELECT a.value ->> 'id', $2, a.value ->> 'actor', a.value ->> 'person_id', \
        a.value ->> 'community_id', a.value ->> 'channel_id', a.value ->> 'action', a.value ->> 'target', \
        a.value ->> 'detail', a.value ->> 'correlation_id' \
        FROM json_each($1) AS u, json_each(u.value, '$.audit') AS a",
    postgres: "WITH units AS (SELECT u FROM jsonb_array_elements(CAST($1 AS JSONB)) AS u), \
        told AS (INSERT INTO ops (op_id, outcome, created_at) SELECT u ->> 'op_id', u ->> 'outcome', $2 FROM units \
        ON CONFLICT (op_id) DO UPDATE SET outcome = excluded.outcome), \
        said AS (INSERT INTO outbox (id, op_id, channel_id, claimed_by, in_reply_to, correlation_id, body, \
        created_at) SELECT r ->> 'id', u ->> 'op_id', r ->> 'channel_id', r ->> 'claimed_by', r ->> 'in_reply_to', \
        r ->> 'correlation_id', r ->> 'body', $2 FROM units, jsonb_array_elements(u -> 'replies') AS r) \
        INSERT INTO audit_log (id, at, actor, person_id, community_id, channel_id, action, target, detail, \
        correlation_id) SELECT a ->> 'id', $2, a ->> 'actor', a ->> 'person_id', a ->> 'community_id', \
        a ->> 'channel_id', a ->> 'action', a ->> 'target', a ->> 'detail', a ->> 'correlation_id' \
        FROM units, jsonb_array_elements(u -> 'audit') AS a");

/// Of units that were begun together those that failed, so that each may be tried again.
const FORGET: Statement = sql!("delete", "ops",
    sqlite: "DELETE FROM ops WHERE op_id IN (SELECT value FROM json_each($1))",
    postgres: "DELETE FROM ops WHERE op_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB))))");

const PRUNE: Statement = sql!(
    "delete",
    "ops",
    "DELETE FROM ops WHERE op_id IN (SELECT op_id FROM ops WHERE created_at < $1 ORDER BY created_at LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&BEGIN, &OUTCOMES, &END, &FORGET, &PRUNE];
