//! What is due, and who says it: one claim for each time of a reminder, whoever asks.

use chrono::{DateTime, Utc};
use domain::ChannelId;
use ulid::Ulid;

use crate::db::{Db, Statement, Tx, on, sql};
use crate::rows::{Text, micros, page};
use crate::{StorageError, db};

/// Most reminders of one look at what is due.
pub const DUE_MAX: u32 = 1_000;

/// A reminder whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: Ulid,
    pub channel_id: ChannelId,
    pub due_at: DateTime<Utc>,
}

/// What one time of a reminder came to, and when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub is_missed: bool,
    /// `None`: it is over.
    pub next: Option<DateTime<Utc>>,
}

type Row = (Text<Ulid>, Text<ChannelId>, DateTime<Utc>);

/// Pending reminders of active channels whose time is at or before `before`, the oldest first; the next page begins after
/// the last one of this.
pub async fn due(
    db: &Db,
    before: DateTime<Utc>,
    after: Option<Due>,
    limit: u32,
) -> Result<Vec<Due>, StorageError> {
    let (at, id) = match after {
        Some(after) => (after.due_at, after.id.to_string()),
        None => (DateTime::UNIX_EPOCH, String::new()),
    };
    let limit = page(limit, DUE_MAX);
    let rows = on!(db, &DUE, fetch_all as Row, micros(before), micros(at), id, limit)?;
    Ok(rows
        .into_iter()
        .map(|(id, channel_id, due_at)| Due { id: id.0, channel_id: channel_id.0, due_at })
        .collect())
}

/// Notes what a time came to and moves the reminder on. True for exactly one caller per `due_at`: that one says it.
pub async fn claim(
    tx: &mut Tx,
    (id, due_at): (Ulid, DateTime<Utc>),
    step: Step,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let (status, missed) = match (step.next, step.is_missed) {
        (Some(_), missed) => ("pending", missed),
        (None, false) => ("sent", false),
        (None, true) => ("missed", true),
    };
    let (id, due_at, next) = (id.to_string(), micros(due_at), micros(step.next.unwrap_or(due_at)));
    Ok(on!(tx, &CLAIM, execute, id, due_at, status, next, missed, micros(now))? > 0)
}

/// Deletes at most `limit` reminders that were over before `older_than`, and returns how many.
pub async fn prune(db: &Db, older_than: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(older_than), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

/// The comparison is spelled out so that both databases begin at the index's place.
const DUE: Statement = sql!(
    "select",
    "reminders",
    "SELECT r.id, r.channel_id, r.due_at FROM reminders r JOIN channels c ON c.id = r.channel_id \
     WHERE r.status = 'pending' AND r.due_at <= $1 AND r.due_at >= $2 AND (r.due_at > $2 OR r.id > $3) \
     AND c.is_active ORDER BY r.due_at, r.id LIMIT 0 + $4"
);

const CLAIM: Statement = sql!(
    "update",
    "reminders",
    "UPDATE reminders SET status = $3, due_at = $4, updated_at = $6, \
     n_sent = n_sent + CASE WHEN $5 THEN 0 ELSE 1 END, n_missed = n_missed + CASE WHEN $5 THEN 1 ELSE 0 END, \
     last_sent_at = CASE WHEN $5 THEN last_sent_at ELSE $6 END, \
     last_missed_at = CASE WHEN $5 THEN $6 ELSE last_missed_at END \
     WHERE id = $1 AND due_at = $2 AND status = 'pending'"
);

const PRUNE: Statement = sql!(
    "delete",
    "reminders",
    "DELETE FROM reminders WHERE id IN (SELECT id FROM reminders WHERE status <> 'pending' AND updated_at < $1 \
     ORDER BY updated_at LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&DUE, &CLAIM, &PRUNE];
