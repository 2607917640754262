//! Replies that belong to an effect, from its commit until they have left.
//!
//! A row is born in the effect's own transaction, claimed by the process that will send it from memory, and deleted
//! when the reply is written or given up. So what a dead process leaves claimed may or may not have left: it is
//! counted and never sent again. What nobody claims is sent by whoever owns the channel.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId};
use serde::Serialize;
use ulid::Ulid;

use crate::db::{Db, Statement, on, sql};
use crate::rows::{Text, page};
use crate::{StorageError, db};

/// Longest reply as it is stored, in bytes of JSON.
pub const BODY_BYTES_MAX: usize = 16_384;

/// Rows that one call claims, forgets or deletes at most.
pub const ROWS_MAX: u32 = 1_000;

/// One reply on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outgoing {
    #[serde(serialize_with = "as_text")]
    pub id: Ulid,
    #[serde(serialize_with = "as_text")]
    pub channel_id: ChannelId,
    /// The process that sends it from memory. `None`: whoever owns the channel.
    pub claimed_by: Option<String>,
    /// The platform's id of the message that is answered; `None` when nothing is answered.
    pub in_reply_to: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub correlation_id: CorrelationId,
    /// The reply as JSON, whose shape is the program's.
    pub body: String,
}

fn as_text<S: serde::Serializer>(id: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A reply that nobody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: Ulid,
    pub channel_id: ChannelId,
    pub in_reply_to: Option<String>,
    pub correlation_id: CorrelationId,
    pub body: String,
    pub created_at: DateTime<Utc>,
}

type Row = (Text<Ulid>, Text<ChannelId>, Option<String>, Text<CorrelationId>, String, DateTime<Utc>);

impl From<Row> for Pending {
    fn from((id, channel_id, in_reply_to, correlation_id, body, created_at): Row) -> Self {
        let correlation_id = correlation_id.0;
        Self { id: id.0, channel_id: channel_id.0, in_reply_to, correlation_id, body, created_at }
    }
}

/// What a sender knows of replies that it held.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Written, given up, or unknown for good: their rows go.
    pub over: Vec<Ulid>,
    /// Known not to have left: free for whoever owns the channel.
    pub released: Vec<Ulid>,
}

/// Writes down what became of replies that `claimed_by` held, in one transaction. Repeating it changes nothing: what
/// another process claimed meanwhile stays with that one.
pub async fn end(db: &Db, ended: &Ended, claimed_by: &str) -> Result<(), StorageError> {
    let mut tx = db.begin().await?;
    if !ended.over.is_empty() {
        on!(&mut tx, &DELETE, execute, ids(&ended.over))?;
    }
    if !ended.released.is_empty() {
        on!(&mut tx, &RELEASE, execute, ids(&ended.released), claimed_by)?;
    }
    tx.commit().await
}

/// The oldest replies that nobody holds, at most `limit`.
pub async fn pending(db: &Db, limit: u32) -> Result<Vec<Pending>, StorageError> {
    let rows = on!(db, &PENDING, fetch_all as Row, page(limit, ROWS_MAX))?;
    Ok(rows.into_iter().map(Pending::from).collect())
}

/// Claims replies for one process and returns those that it got: each goes to exactly one.
pub async fn claim(db: &Db, wanted: &[Ulid], claimed_by: &str) -> Result<Vec<Ulid>, StorageError> {
    let mut tx = db.begin().await?;
    let got = on!(&mut tx, &CLAIM, fetch_all as (Text<Ulid>,), ids(wanted), claimed_by)?;
    tx.commit().await?;
    Ok(got.into_iter().map(|(id,)| id.0).collect())
}

/// Deletes replies that another process than `claimed_by` held, unless that is a living node of the cluster; at most
/// [`ROWS_MAX`]. Returns how many: whether they left is unknown.
pub async fn forget_unknown(db: &Db, claimed_by: &str) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_unknown = on!(&mut tx, &FORGET, execute, claimed_by, i64::from(ROWS_MAX))?;
    tx.commit().await?;
    Ok(n_unknown)
}

/// Refuses what is too long to be stored.
pub(crate) fn check(replies: &[Outgoing]) -> Result<(), StorageError> {
    if replies.iter().any(|reply| reply.body.len() > BODY_BYTES_MAX) {
        return Err(StorageError::invalid(format!("a reply is longer than {BODY_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// A list of ids as one parameter: the same text for any number of them.
fn ids(ids: &[Ulid]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", quoted.join(","))
}

const DELETE: Statement = sql!("delete", "outbox",
    sqlite: "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB))))");

const RELEASE: Statement = sql!("update", "outbox",
    sqlite: "UPDATE outbox SET claimed_by = NULL \
        WHERE claimed_by = $2 AND id IN (SELECT value FROM json_each($1))",
    postgres: "UPDATE outbox SET claimed_by = NULL \
        WHERE claimed_by = $2 AND id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB))))");

const PENDING: Statement = sql!(
    "select",
    "outbox",
    "SELECT id, channel_id, in_reply_to, correlation_id, body, created_at FROM outbox \
     WHERE claimed_by IS NULL ORDER BY created_at, id LIMIT 0 + $1"
);

const CLAIM: Statement = sql!("update", "outbox",
    sqlite: "UPDATE outbox SET claimed_by = $2 \
        WHERE claimed_by IS NULL AND id IN (SELECT value FROM json_each($1)) RETURNING id",
    postgres: "UPDATE outbox SET claimed_by = $2 WHERE claimed_by IS NULL \
        AND id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB)))) RETURNING id");

const FORGET: Statement = sql!(
    "delete",
    "outbox",
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE claimed_by <> $1 AND NOT EXISTS \
     (SELECT 1 FROM nodes n WHERE n.incarnation = claimed_by AND n.state <> 'dead') LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&DELETE, &RELEASE, &PENDING, &CLAIM, &FORGET];
