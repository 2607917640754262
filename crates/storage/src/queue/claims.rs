//! What a reader does with messages: claim, then settle. `attempts` is raised and committed before a handler runs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Partition, PartitionSet};
use serde::Serialize;

use super::{ATTEMPTS_MAX, MessageState, REASON_CHARS_MAX, json, partition_of};
use crate::db::{Db, Statement, Tx, on, sql};
use crate::rows::Text;
use crate::{StorageError, db};

/// Who claims, and what.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Names one reader of one process: another one of the same node is another reader.
    pub reader: &'a str,
    /// Only messages of these.
    pub partitions: PartitionSet,
    /// Messages at most, 1 to 1,000.
    pub room: usize,
    /// Messages at most of one partition, where the claim is of first attempts.
    pub room_in_partition: usize,
    /// The partition that comes first, so that a full one does not starve the others.
    pub first: Partition,
    /// How long nobody else gets them; longer than a handler may take.
    pub lease: Duration,
}

/// A message in a reader's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub id: i64,
    pub topic: String,
    pub partition: Partition,
    pub key: String,
    pub message_id: String,
    /// JSON.
    pub body: String,
    /// Which attempt this is; 1 is the first.
    pub attempt: i64,
    pub created_at: DateTime<Utc>,
}

type Row = (i64, String, i64, String, String, String, i64, DateTime<Utc>);

impl From<Row> for Claimed {
    fn from((id, topic, partition_no, key, message_id, body, attempt, created_at): Row) -> Self {
        let partition = partition_of(partition_no);
        Self { id, topic, partition, key, message_id, body, attempt, created_at }
    }
}

/// An attempt that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub id: i64,
    pub reason: String,
    /// True when another attempt cannot help: a dead letter at once.
    pub is_final: bool,
}

/// What became of the attempts that a reader had.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    pub done: Vec<i64>,
    pub failed: Vec<Failure>,
    /// Claimed but never begun: their attempt does not count.
    pub released: Vec<i64>,
}

impl Settled {
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty() && self.released.is_empty()
    }

    pub fn len(&self) -> usize {
        self.done.len() + self.failed.len() + self.released.len()
    }
}

/// Claims messages that were never handed out, the oldest of each partition first.
pub async fn claim_first(tx: &mut Tx, claim: &Claim<'_>) -> Result<Vec<Claimed>, StorageError> {
    let rows = on!(
        tx,
        &CLAIM_FIRST,
        fetch_all as Row,
        bits(claim),
        count(claim.room),
        claim.reader,
        millis(claim.lease),
        i64::from(claim.first.number()),
        count(claim.room_in_partition),
    )?;
    Ok(by_id(rows))
}

/// Claims messages whose time for another attempt has come.
pub async fn claim_retries(tx: &mut Tx, claim: &Claim<'_>) -> Result<Vec<Claimed>, StorageError> {
    let (room, lease) = (count(claim.room), millis(claim.lease));
    let rows = on!(tx, &CLAIM_RETRIES, fetch_all as Row, bits(claim), room, claim.reader, lease)?;
    Ok(by_id(rows))
}

/// Takes over one message of a reader that is dead or hangs: its lease ran out.
///
/// One at a time: should a message have killed its reader, those that were claimed beside it are not with it again.
pub async fn claim_lapsed(tx: &mut Tx, claim: &Claim<'_>) -> Result<Option<Claimed>, StorageError> {
    let lease = millis(claim.lease);
    let row = on!(tx, &CLAIM_LAPSED, fetch_optional as Row, bits(claim), claim.reader, lease, ATTEMPTS_MAX)?;
    Ok(row.map(Claimed::from))
}

/// Makes dead letters of at most `limit` messages whose lease ran out in their last attempt, and returns how many.
pub async fn bury_lapsed(tx: &mut Tx, partitions: PartitionSet, limit: u32) -> Result<u64, StorageError> {
    on!(tx, &BURY_LAPSED, execute, partitions.bits().cast_signed(), ATTEMPTS_MAX, i64::from(limit))
}

/// Writes down what became of claimed messages, in one transaction, and returns which failures are dead letters.
/// A message whose lease ran out meanwhile belongs to somebody else and stays as it is.
///
/// `backoff` is the wait before the second attempt; it doubles with each further one.
pub async fn settle(
    db: &Db,
    reader: &str,
    settled: &Settled,
    backoff: Duration,
) -> Result<Vec<i64>, StorageError> {
    let mut tx = db.begin().await?;
    if !settled.done.is_empty() {
        let done = json(&settled.done)?;
        on!(&mut tx, &FINISH, execute, done, reader)?;
    }
    let mut dead = Vec::new();
    if !settled.failed.is_empty() {
        let failed: Vec<Failure> = settled.failed.iter().map(shortened).collect();
        let (failed, backoff) = (json(&failed)?, millis(backoff));
        let rows = on!(
            &mut tx,
            &FAIL,
            fetch_all as (i64, Text<MessageState>),
            &failed,
            reader,
            ATTEMPTS_MAX,
            backoff
        )?;
        dead =
            rows.into_iter().filter(|(_, state)| state.0 == MessageState::Dead).map(|(id, _)| id).collect();
    }
    if !settled.released.is_empty() {
        let released = json(&settled.released)?;
        on!(&mut tx, &RELEASE, execute, released, reader)?;
    }
    tx.commit().await?;
    Ok(dead)
}

fn shortened(failure: &Failure) -> Failure {
    // `PostgreSQL` takes no NUL.
    let text = failure.reason.chars().filter(|char| *char != '\0');
    Failure { reason: text.take(REASON_CHARS_MAX).collect(), ..failure.clone() }
}

fn by_id(rows: Vec<Row>) -> Vec<Claimed> {
    let mut claimed: Vec<Claimed> = rows.into_iter().map(Claimed::from).collect();
    claimed.sort_unstable_by_key(|message| message.id);
    claimed
}

fn bits(claim: &Claim<'_>) -> i64 {
    claim.partitions.bits().cast_signed()
}

fn count(n: usize) -> i64 {
    i64::try_from(n.clamp(1, super::BATCH_MAX)).unwrap_or(1)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Asks each partition for its own oldest ones: a long backlog of a partition that is not asked for costs nothing.
const CLAIM_FIRST: Statement = sql!("update", "queue_messages",
    sqlite: "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 63) \
     UPDATE queue_messages SET state = 'running', attempts = attempts + 1, claimed_by = $3, \
     claimed_until = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', printf('%+.3f seconds', $4 / 1000.0)) \
     WHERE id IN (SELECT m.id FROM numbers CROSS JOIN queue_messages m \
     WHERE ($1 >> (($5 + n) % 64)) & 1 = 1 AND m.state = 'waiting' AND m.partition_no = ($5 + n) % 64 \
     AND m.id <= COALESCE((SELECT o.id FROM queue_messages o WHERE o.state = 'waiting' \
     AND o.partition_no = ($5 + n) % 64 ORDER BY o.id LIMIT 1 OFFSET $6 - 1), m.id) LIMIT 0 + $2) \
     RETURNING id, topic, partition_no, partition_key, message_id, body, attempts, created_at",
    postgres: "WITH picked AS (SELECT m.id FROM generate_series(0, 63) AS numbers (n) CROSS JOIN LATERAL \
     (SELECT id FROM queue_messages WHERE state = 'waiting' AND partition_no = (CAST($5 AS BIGINT) + n) % 64 \
     AND (CAST($1 AS BIGINT) >> CAST((CAST($5 AS BIGINT) + n) % 64 AS INTEGER)) & 1 = 1 \
     ORDER BY id LIMIT 0 + $6 FOR UPDATE SKIP LOCKED) m LIMIT 0 + $2) \
     UPDATE queue_messages q SET state = 'running', attempts = attempts + 1, claimed_by = $3, \
     claimed_until = clock_timestamp() + CAST($4 AS BIGINT) * INTERVAL '1 millisecond' \
     FROM picked WHERE q.id = picked.id RETURNING \
     q.id, topic, partition_no, partition_key, message_id, body, attempts, created_at");

const CLAIM_RETRIES: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = 'running', attempts = attempts + 1, claimed_by = $3, \
     claimed_until = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', printf('%+.3f seconds', $4 / 1000.0)) \
     WHERE id IN (SELECT id FROM queue_messages WHERE state = 'retry' AND ($1 >> partition_no) & 1 = 1 \
     AND available_at <= strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') ORDER BY available_at LIMIT 0 + $2) \
     RETURNING id, topic, partition_no, partition_key, message_id, body, attempts, created_at",
    postgres: "WITH picked AS (SELECT id FROM queue_messages WHERE state = 'retry' \
     AND (CAST($1 AS BIGINT) >> CAST(partition_no AS INTEGER)) & 1 = 1 AND available_at <= clock_timestamp() \
     ORDER BY available_at LIMIT 0 + $2 FOR UPDATE SKIP LOCKED) \
     UPDATE queue_messages q SET state = 'running', attempts = attempts + 1, claimed_by = $3, \
     claimed_until = clock_timestamp() + CAST($4 AS BIGINT) * INTERVAL '1 millisecond' \
     FROM picked WHERE q.id = picked.id RETURNING \
     q.id, topic, partition_no, partition_key, message_id, body, attempts, created_at");

const CLAIM_LAPSED: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET attempts = attempts + 1, claimed_by = $2, \
     claimed_until = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', printf('%+.3f seconds', $3 / 1000.0)) \
     WHERE id IN (SELECT id FROM queue_messages WHERE state = 'running' AND ($1 >> partition_no) & 1 = 1 \
     AND claimed_until <= strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AND attempts < $4 \
     ORDER BY claimed_until, id LIMIT 1) \
     RETURNING id, topic, partition_no, partition_key, message_id, body, attempts, created_at",
    postgres: "WITH picked AS (SELECT id FROM queue_messages WHERE state = 'running' \
     AND (CAST($1 AS BIGINT) >> CAST(partition_no AS INTEGER)) & 1 = 1 AND claimed_until <= clock_timestamp() \
     AND attempts < $4 ORDER BY claimed_until, id LIMIT 1 FOR UPDATE SKIP LOCKED) \
     UPDATE queue_messages q SET attempts = attempts + 1, claimed_by = $2, \
     claimed_until = clock_timestamp() + CAST($3 AS BIGINT) * INTERVAL '1 millisecond' \
     FROM picked WHERE q.id = picked.id RETURNING \
     q.id, topic, partition_no, partition_key, message_id, body, attempts, created_at");

const BURY_LAPSED: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = 'dead', done_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), \
     claimed_by = NULL, claimed_until = NULL, reason = 'its reader ended or hung during the last attempt' \
     WHERE id IN (SELECT id FROM queue_messages WHERE state = 'running' AND ($1 >> partition_no) & 1 = 1 \
     AND claimed_until <= strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AND attempts >= $2 LIMIT 0 + $3)",
    postgres: "UPDATE queue_messages SET state = 'dead', done_at = clock_timestamp(), \
     claimed_by = NULL, claimed_until = NULL, reason = 'its reader ended or hung during the last attempt' \
     WHERE id IN (SELECT id FROM queue_messages WHERE state = 'running' \
     AND (CAST($1 AS BIGINT) >> CAST(partition_no AS INTEGER)) & 1 = 1 AND claimed_until <= clock_timestamp() \
     AND attempts >= $2 LIMIT 0 + $3 FOR UPDATE SKIP LOCKED)");

const FINISH: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = 'done', done_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), \
     claimed_by = NULL, claimed_until = NULL, reason = NULL \
     WHERE id IN (SELECT value FROM json_each($1)) AND state = 'running' AND claimed_by = $2",
    postgres: "UPDATE queue_messages SET state = 'done', done_at = clock_timestamp(), \
     claimed_by = NULL, claimed_until = NULL, reason = NULL WHERE id IN (SELECT CAST(list.id AS BIGINT) FROM \
     json_array_elements_text(CAST($1 AS JSON)) AS list (id)) AND state = 'running' AND claimed_by = $2");

const FAIL: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET \
     state = CASE WHEN attempts >= $3 OR f.value ->> 'is_final' THEN 'dead' ELSE 'retry' END, \
     done_at = CASE WHEN attempts >= $3 OR f.value ->> 'is_final' \
     THEN strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') END, \
     available_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', \
     printf('%+.3f seconds', ($4 << (attempts - 1)) / 1000.0)), \
     claimed_by = NULL, claimed_until = NULL, reason = f.value ->> 'reason' FROM json_each($1) f \
     WHERE queue_messages.id = f.value ->> 'id' AND state = 'running' AND claimed_by = $2 \
     RETURNING queue_messages.id, state",
    postgres: "UPDATE queue_messages q SET \
     state = CASE WHEN attempts >= $3 OR CAST(f ->> 'is_final' AS BOOLEAN) THEN 'dead' ELSE 'retry' END, \
     done_at = CASE WHEN attempts >= $3 OR CAST(f ->> 'is_final' AS BOOLEAN) THEN clock_timestamp() END, \
     available_at = clock_timestamp() \
     + (CAST($4 AS BIGINT) << CAST(attempts - 1 AS INTEGER)) * INTERVAL '1 millisecond', \
     claimed_by = NULL, claimed_until = NULL, reason = f ->> 'reason' \
     FROM json_array_elements(CAST($1 AS JSON)) AS list (f) \
     WHERE q.id = CAST(f ->> 'id' AS BIGINT) AND state = 'running' AND claimed_by = $2 RETURNING q.id, state");

const RELEASE: Statement = sql!("update", "queue_messages",
    sqlite: "UPDATE queue_messages SET state = CASE WHEN attempts <= 1 THEN 'waiting' ELSE 'retry' END, \
     attempts = attempts - 1, available_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), \
     claimed_by = NULL, claimed_until = NULL \
     WHERE id IN (SELECT value FROM json_each($1)) AND state = 'running' AND claimed_by = $2",
    postgres: "UPDATE queue_messages SET state = CASE WHEN attempts <= 1 THEN 'waiting' ELSE 'retry' END, \
     attempts = attempts - 1, available_at = clock_timestamp(), \
     claimed_by = NULL, claimed_until = NULL WHERE id IN (SELECT CAST(list.id AS BIGINT) FROM \
     json_array_elements_text(CAST($1 AS JSON)) AS list (id)) AND state = 'running' AND claimed_by = $2");

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&CLAIM_FIRST, &CLAIM_RETRIES, &CLAIM_LAPSED, &BURY_LAPSED, &FINISH, &FAIL, &RELEASE];
