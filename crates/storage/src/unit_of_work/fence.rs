//! The fence: a channel's state is written only by the process that owns the channel, seen in the writing transaction.
//!
//! The row in `owners` stays locked (`FOR SHARE`) until the transaction ends, so nobody claims the channel meanwhile. On
//! `PostgreSQL` a unit asks together with taking its op id: the fence costs no turn of its own.

use sqlx::types::chrono::{DateTime, Utc};

use crate::db::{Statement, Tx, on, sql};
use crate::op_id::{Ownership, Scope};
use crate::rows::micros;
use crate::{StorageError, db};

/// Key, incarnation and epoch as the statements take them.
pub(super) type Fence = (String, String, i64);

/// What is to be compared. `None`: one node owns everything, or nobody owns such state.
#[cfg_attr(
    not(any(test, feature = "test-support")),
    expect(unused_variables, reason = "tests take the fence away")
)]
pub(super) fn fence_of(tx: &Tx, scope: Scope) -> Option<Fence> {
    #[cfg(any(test, feature = "test-support"))]
    if tx.is_fence_off() {
        return None;
    }
    match scope {
        Scope::Channel { channel_id, ownership: Some(Ownership { incarnation, epoch }) } => {
            Some((format!("channel:{channel_id}"), incarnation.to_string(), epoch.0))
        }
        Scope::Channel { ownership: None, .. } | Scope::Community(_) | Scope::Global => None,
    }
}

/// Checks that this process still owns the scope, in the transaction that writes.
///
/// # Errors
/// [`StorageError::Fenced`] when it does not.
pub async fn check_fence(tx: &mut Tx, scope: Scope) -> Result<(), StorageError> {
    let Some((key, incarnation, epoch)) = fence_of(tx, scope) else { return Ok(()) };
    let row = on!(tx, &CHECK, fetch_optional as (i64,), key, incarnation, epoch)?;
    row.map(drop).ok_or_else(fenced)
}

/// Checks the fence and takes the op id in one turn. Tells whether the id is new.
pub(super) async fn begin(
    tx: &mut Tx,
    (key, incarnation, epoch): Fence,
    op: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let now = micros(now);
    let begun = on!(tx, &BEGIN_OWNED, fetch_one as (bool, bool), key, incarnation, epoch, op, now)?;
    let (is_owned, is_new) = begun;
    if is_owned { Ok(is_new) } else { Err(fenced()) }
}

fn fenced() -> StorageError {
    metrics::counter!("waddlebot_fenced_writes_total").increment(1);
    StorageError::Fenced
}

const CHECK: Statement = sql!("select", "owners",
    sqlite: "SELECT o.epoch FROM owners o JOIN nodes n ON n.incarnation = o.incarnation AND n.state <> 'dead' \
     WHERE o.key = $1 AND o.incarnation = $2 AND o.epoch = $3 AND NOT o.released",
    postgres: "SELECT o.epoch FROM owners o JOIN nodes n ON n.incarnation = o.incarnation AND n.state <> 'dead' \
     WHERE o.key = $1 AND o.incarnation = $2 AND o.epoch = $3 AND NOT o.released FOR SHARE OF o");

const BEGIN_OWNED: Statement = sql!("insert", "ops",
    postgres: "WITH owned AS (SELECT o.epoch FROM owners o JOIN nodes n ON n.incarnation = o.incarnation \
     AND n.state <> 'dead' WHERE o.key = $1 AND o.incarnation = $2 AND o.epoch = $3 AND NOT o.released \
     FOR SHARE OF o), \
     begun AS (INSERT INTO ops (op_id, outcome, created_at) SELECT $4, '', $5 FROM owned \
     ON CONFLICT (op_id) DO NOTHING RETURNING op_id) \
     SELECT EXISTS (SELECT FROM owned), EXISTS (SELECT FROM begun)");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&CHECK, &BEGIN_OWNED];
