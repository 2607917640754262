//! The queue: the row is the message, whatever rings for it.
//!
//! A message is handed out at least once; handlers make their effects single by op ids. A key's messages share one of
//! 64 partitions and are first handed out in the order of their ids; one that failed steps aside and later ones
//! pass it. All times are the database's clock, since several nodes compare them; on `SQLite` that is ours.
//!
//! waiting → running → done; a failure leads to retry and, after three attempts, to dead (`queue/claims.rs`); operators
//! bring dead ones back, drop them or replay done ones (`queue/operate.rs`).

use std::fmt;

use chrono::{DateTime, Utc};
use domain::Partition;
use serde::Serialize;

use crate::db::{Db, Statement, Tx, on, sql};
use crate::rows::FromText;
use crate::{StorageError, db};

mod claims;
mod operate;

pub use claims::{
    Claim, Claimed, Failure, Settled, bury_lapsed, claim_first, claim_lapsed, claim_retries, settle,
};
pub use operate::{DeadLetter, Replayed, dead, drop_dead, replay, retry_dead};

/// Attempts of one message before it is a dead letter.
pub const ATTEMPTS_MAX: i64 = 3;

/// Most messages of one batch.
pub const BATCH_MAX: usize = 1_000;

/// Largest body, in bytes of JSON.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Longest key, message id and topic, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Longest kept reason of a failure, in characters.
const REASON_CHARS_MAX: usize = 500;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Never handed out.
    Waiting,
    /// Failed, or brought back by an operator; handed out again when its time has come.
    Retry,
    /// A reader has it until its lease runs out.
    Running,
    Done,
    /// Given up after its attempts.
    Dead,
    /// A dead letter that an operator dropped; kept so that a redelivery is still known.
    Dropped,
}

impl MessageState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retry => "retry",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

impl FromText for MessageState {
    fn from_text(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Retry, Self::Running, Self::Done, Self::Dead, Self::Dropped]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A message to be stored.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewMessage {
    /// Names the handler.
    topic: String,
    /// Messages of one key keep their order at the first attempt.
    key: String,
    /// The source's id: a second message of the same topic and id is not stored.
    message_id: String,
    /// JSON.
    body: String,
    partition_no: u8,
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewMessage").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl NewMessage {
    /// A message with `body` as its JSON.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for an empty or endless name, or a body above 64 KiB.
    pub fn new(
        topic: &str,
        key: impl Into<String>,
        message_id: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<Self, StorageError> {
        let (key, message_id) = (key.into(), message_id.into());
        for (what, text) in [("topic", topic), ("key", &key), ("id", &message_id)] {
            if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(StorageError::invalid(format!(
                    "a message's {what} is empty, too long or no text"
                )));
            }
        }
        let body = serde_json::to_string(body)
            .map_err(|error| StorageError::invalid(format!("a message cannot be stored: {error}")))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(StorageError::invalid(format!(
                "a message is at most {} KiB of JSON",
                BODY_BYTES_MAX >> 10
            )));
        }
        let partition_no = Partition::of(&key).number();
        Ok(Self { topic: topic.to_owned(), key, message_id, body, partition_no })
    }

    pub fn message_id(&self) -> &str {
        &self.message_id
    }
}

/// A stored message: what a doorbell needs to know, and the source's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: i64,
    pub partition: Partition,
    pub message_id: String,
}

type StoredRow = (i64, i64, String);

impl From<StoredRow> for Stored {
    fn from((id, partition_no, message_id): StoredRow) -> Self {
        Self { id, partition: partition_of(partition_no), message_id }
    }
}

/// The table's check holds numbers to 0–63.
fn partition_of(number: i64) -> Partition {
    Partition::new(number).unwrap_or_default()
}

/// Stores messages in this order, in the caller's transaction, and returns those that were not there yet.
///
/// # Errors
/// [`StorageError::Invalid`] for more than 1,000; [`StorageError::Busy`] (a retry helps) when another transaction
/// stores the same ids in another order.
pub async fn enqueue(tx: &mut Tx, messages: &[NewMessage]) -> Result<Vec<Stored>, StorageError> {
    if messages.len() > BATCH_MAX {
        return Err(StorageError::invalid(format!("at most {BATCH_MAX} messages at once")));
    }
    let messages = json(messages)?;
    let rows = on!(tx, &ENQUEUE, fetch_all as StoredRow, &messages)?;
    Ok(rows.into_iter().map(Stored::from).collect())
}

/// The body of a stored message. `None` when there is none of that id, or no longer.
pub async fn body_of(db: &Db, topic: &str, message_id: &str) -> Result<Option<String>, StorageError> {
    let row = on!(db, &BODY, fetch_optional as (String,), topic, message_id)?;
    Ok(row.map(|(body,)| body))
}

/// How many messages of a topic stand where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    pub topic: String,
    /// `waiting`, `retry`, `running` or `dead`; what is done is not counted.
    pub state: String,
    pub n_messages: i64,
    /// When the oldest of them was stored.
    pub oldest_at: DateTime<Utc>,
}

/// What is not done, by topic and state.
pub async fn depth(db: &Db) -> Result<Vec<Depth>, StorageError> {
    let rows = on!(db, &DEPTH, fetch_all as (String, String, i64, DateTime<Utc>))?;
    let depth = |(topic, state, n_messages, oldest_at)| Depth { topic, state, n_messages, oldest_at };
    Ok(rows.into_iter().map(depth).collect())
}

/// Deletes at most `limit` messages that were done or dropped more than `kept_ms` ago, or dead for `dead_kept_ms`.
/// Until then their ids are known and redeliveries are recognized.
pub async fn prune(db: &Db, kept_ms: i64, dead_kept_ms: i64, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, kept_ms, dead_kept_ms, i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| StorageError::invalid(error.to_string()))
}

const ENQUEUE: Statement = sql!("insert", "queue_messages",
    sqlite: "INSERT INTO queue_messages (topic, partition_no, partition_key, message_id, body, state, attempts, \
     available_at, created_at) SELECT value ->> 'topic', value ->> 'partition_no', value ->> 'key', \
     value ->> 'message_id', value ->> 'body', 'waiting', 0, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), \
     strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') FROM json_each($1) WHERE TRUE ORDER BY CAST(key AS INTEGER) \
     ON CONFLICT (topic, message_id) DO NOTHING RETURNING id, partition_no, message_id",
    postgres: "INSERT INTO queue_messages (topic, partition_no, partition_key, message_id, body, state, attempts, \
     available_at, created_at) SELECT m ->> 'topic', CAST(m ->> 'partition_no' AS BIGINT), m ->> 'key', \
     m ->> 'message_id', m ->> 'body', 'waiting', 0, clock_timestamp(), clock_timestamp() \
     FROM json_array_elements(CAST($1 AS JSON)) WITH ORDINALITY AS list (m, place) ORDER BY place \
     ON CONFLICT (topic, message_id) DO NOTHING RETURNING id, partition_no, message_id");

const BODY: Statement =
    sql!("select", "queue_messages", "SELECT body FROM queue_messages WHERE topic = $1 AND message_id = $2");

/// One part a state, so that each reads its own partial index.
const DEPTH: Statement = sql!(
    "select",
    "queue_messages",
    "SELECT topic, 'waiting', COUNT(*), MIN(created_at) FROM queue_messages WHERE state = 'waiting' GROUP BY topic \
     UNION ALL SELECT topic, 'retry', COUNT(*), MIN(created_at) FROM queue_messages WHERE state = 'retry' \
     GROUP BY topic UNION ALL SELECT topic, 'running', COUNT(*), MIN(created_at) FROM queue_messages \
     WHERE state = 'running' GROUP BY topic UNION ALL SELECT topic, 'dead', COUNT(*), MIN(created_at) \
     FROM queue_messages WHERE state = 'dead' GROUP BY topic ORDER BY 1, 2 LIMIT 1000"
);

const PRUNE: Statement = sql!("delete", "queue_messages",
    sqlite: "DELETE FROM queue_messages WHERE id IN (SELECT id FROM queue_messages WHERE done_at IS NOT NULL \
     AND done_at <= strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', printf('%+.3f seconds', \
     -CASE WHEN state = 'dead' THEN $2 ELSE $1 END / 1000.0)) ORDER BY done_at LIMIT 0 + $3)",
    postgres: "DELETE FROM queue_messages WHERE id IN (SELECT id FROM queue_messages WHERE done_at IS NOT NULL \
     AND done_at <= clock_timestamp() - CASE WHEN state = 'dead' THEN CAST($2 AS BIGINT) ELSE CAST($1 AS BIGINT) END \
     * INTERVAL '1 millisecond' ORDER BY done_at LIMIT 0 + $3)");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&ENQUEUE, &BODY, &DEPTH, &PRUNE];
pub(crate) use claims::STATEMENTS as CLAIM_STATEMENTS;
pub(crate) use operate::STATEMENTS as OPERATE_STATEMENTS;
