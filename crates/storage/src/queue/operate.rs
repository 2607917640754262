//! What operators do with messages: dead letters are listed, retried and dropped, done messages replayed.

use chrono::{DateTime, Utc};

use super::{Stored, StoredRow};
use crate::db::{Db, Statement, Tx, on, sql};
use crate::rows::page;
use crate::{StorageError, db};

/// Longest page of dead letters.
const PAGE_MAX: u32 = 100;

/// Most messages of one replay step.
const REPLAY_MAX: u32 = 1_000;

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The id that it had from the start.
    pub id: i64,
    pub topic: String,
    pub key: String,
    pub message_id: String,
    pub attempts: i64,
    /// What the last attempt said.
    pub reason: String,
    /// The beginning of the body, at most 500 characters.
    pub excerpt: String,
    pub created_at: DateTime<Utc>,
    pub died_at: DateTime<Utc>,
}

type Row = (i64, String, String, String, i64, String, String, DateTime<Utc>, DateTime<Utc>);

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        let (id, topic, key, message_id, attempts, reason, excerpt, created_at, died_at) = row;
        Self { id, topic, key, message_id, attempts, reason, excerpt, created_at, died_at }
    }
}

/// Dead letters after the id `after`, oldest first.
pub async fn dead(db: &Db, after: i64, limit: u32) -> Result<Vec<DeadLetter>, StorageError> {
    let rows = on!(db, &DEAD, fetch_all as Row, after, page(limit, PAGE_MAX))?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

/// Gives a dead letter three more attempts. `None` when there is none of that id.
pub async fn retry_dead(tx: &mut Tx, id: i64) -> Result<Option<Stored>, StorageError> {
    Ok(on!(tx, &RETRY_DEAD, fetch_optional as StoredRow, id)?.map(Stored::from))
}

/// Gives a dead letter up for good; its message id stays known as long as that of a done one. False when there is
/// none of that id.
pub async fn drop_dead(tx: &mut Tx, id: i64) -> Result<bool, StorageError> {
    Ok(on!(tx, &DROP_DEAD, execute, id)? > 0)
}

/// One step of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub messages: Vec<Stored>,
    /// Where the next step begins; `None` when nothing is left.
    pub next_id: Option<i64>,
}

/// Hands at most 1,000 done messages of a topic out anew, from that id on, in the order of their ids. They keep their
/// message ids, so effects whose op ids are still known are not applied a second time.
pub async fn replay(tx: &mut Tx, topic: &str, from_id: i64, limit: u32) -> Result<Replayed, StorageError> {
    let limit = page(limit, REPLAY_MAX);
    let rows = on!(tx, &REPLAY, fetch_all as StoredRow, topic, from_id, limit)?;
    let last = rows.iter().map(|(id, ..)| *id).max().unwrap_or(from_id);
    let is_full = i64::try_from(rows.len()).is_ok_and(|n_rows| n_rows >= limit);
    let messages = rows.into_iter().map(Stored::from).collect();
    Ok(Replayed { messages, next_id: is_full.then_some(last.saturating_add(1)) })
}

const DEAD: Statement = sql!(
    "select",
    "queue_messages",
    "SELECT id, topic, partition_key, message_id, attempts, COALESCE(reason, ''), substr(body, 1, 500), created_at, \
     done_at FROM queue_messages WHERE state = 'dead' AND id > $1 ORDER BY id LIMIT 0 + $2"
);

const RETRY_DEAD: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = 'retry', attempts = 0, done_at = NULL, \
     available_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') WHERE id = $1 AND state = 'dead' \
     RETURNING id, partition_no, message_id",
    postgres: "UPDATE queue_messages SET state = 'retry', attempts = 0, done_at = NULL, \
     available_at = clock_timestamp() WHERE id = $1 AND state = 'dead' RETURNING id, partition_no, message_id");

const DROP_DEAD: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = 'dropped', \
     done_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') WHERE id = $1 AND state = 'dead'",
    postgres: "UPDATE queue_messages SET state = 'dropped', done_at = clock_timestamp() \
     WHERE id = $1 AND state = 'dead'");

const REPLAY: Statement = sql!(
    "update",
    "queue_messages",
    "UPDATE queue_messages SET state = 'waiting', attempts = 0, done_at = NULL WHERE id IN \
     (SELECT id FROM queue_messages WHERE topic = $1 AND id >= $2 AND state = 'done' ORDER BY id LIMIT 0 + $3) \
     AND state = 'done' RETURNING id, partition_no, message_id"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&DEAD, &RETRY_DEAD, &DROP_DEAD, &REPLAY];
