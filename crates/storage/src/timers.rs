//! Timers: texts that a channel says every so often.

use chrono::{DateTime, Utc};
use domain::ChannelId;
use ulid::Ulid;

use crate::db::{Db, Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, page};
use crate::{StorageError, db};

/// Most timers of one channel.
pub const TIMERS_MAX: u32 = 100;

/// Most timers of one look at what is due.
pub const DUE_MAX: u32 = 1_000;

/// What a timer says and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerSpec {
    /// In lower case.
    pub name: String,
    /// A text, or a command with its prefix.
    pub body: String,
    pub interval_secs: i64,
    /// Lines of others since it fired last.
    pub min_lines: i64,
    /// True when it stays silent while the stream is off.
    pub only_live: bool,
}

/// One timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub id: Ulid,
    pub channel_id: ChannelId,
    pub spec: TimerSpec,
    pub is_enabled: bool,
    pub next_due_at: DateTime<Utc>,
}

type Row = (Text<Ulid>, Text<ChannelId>, String, String, i64, i64, bool, bool, DateTime<Utc>);

impl From<Row> for Timer {
    fn from(row: Row) -> Self {
        let (id, channel_id, name, body, interval_secs, min_lines, only_live, is_enabled, next_due_at) = row;
        Self {
            id: id.0,
            channel_id: channel_id.0,
            spec: TimerSpec { name, body, interval_secs, min_lines, only_live },
            is_enabled,
            next_due_at,
        }
    }
}

/// Adds an enabled timer. `None` when the channel has one of that name already.
///
/// # Errors
/// [`StorageError::Invalid`] when the channel has 100 timers, or for an interval or lines outside their range.
pub async fn add(
    tx: &mut Tx,
    channel_id: ChannelId,
    spec: &TimerSpec,
    next_due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Ulid>, StorageError> {
    if spec.interval_secs < 1 || spec.min_lines < 0 {
        return Err(StorageError::invalid(
            "a timer needs an interval of at least a second and no negative lines",
        ));
    }
    let channel = channel_id.to_string();
    let (n_timers,) = on!(&mut *tx, &COUNT, fetch_one as (i64,), &channel)?;
    if n_timers >= i64::from(TIMERS_MAX) {
        return Err(StorageError::invalid(format!("a channel has at most {TIMERS_MAX} timers")));
    }
    let id = new_id(now)?;
    let n_added = on!(
        tx,
        &INSERT,
        execute,
        id.to_string(),
        channel,
        &spec.name,
        &spec.body,
        spec.interval_secs,
        spec.min_lines,
        spec.only_live,
        micros(next_due_at),
        micros(now),
    )?;
    Ok((n_added > 0).then_some(id))
}

/// Deletes a timer. False when there is none of that name.
pub async fn remove(tx: &mut Tx, channel_id: ChannelId, name: &str) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, channel_id.to_string(), name)? > 0)
}

/// Switches a timer on, due next at `next_due_at`, or off. False when there is none of that name.
pub async fn set_enabled(
    tx: &mut Tx,
    channel_id: ChannelId,
    name: &str,
    enabled: Enabled,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let channel = channel_id.to_string();
    let n_changed = match enabled {
        Enabled::On { next_due_at } => {
            on!(tx, &ENABLE, execute, channel, name, micros(next_due_at), micros(now))?
        }
        Enabled::Off => on!(tx, &DISABLE, execute, channel, name, micros(now))?,
    };
    Ok(n_changed > 0)
}

/// Whether a timer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    On { next_due_at: DateTime<Utc> },
    Off,
}

/// Every timer of a channel in the order of names, at most 100.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
) -> Result<Vec<Timer>, StorageError> {
    let rows = on!(on.into(), &LIST, fetch_all as Row, channel_id.to_string(), i64::from(TIMERS_MAX))?;
    Ok(rows.into_iter().map(Timer::from).collect())
}

/// Enabled timers of active channels that are due at or before `before`, one page in the order of their ids; the next
/// page begins after the last id of this one.
pub async fn due(
    db: &Db,
    before: DateTime<Utc>,
    after: Option<Ulid>,
    limit: u32,
) -> Result<Vec<Timer>, StorageError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = on!(db, &DUE, fetch_all as Row, micros(before), after, page(limit, DUE_MAX))?;
    Ok(rows.into_iter().map(Timer::from).collect())
}

/// Moves a timer on to its next time. True for exactly one caller per `due_at`: that one fires it.
pub async fn claim_due(
    tx: &mut Tx,
    id: Ulid,
    due_at: DateTime<Utc>,
    next_due_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    Ok(on!(tx, &CLAIM, execute, id.to_string(), micros(due_at), micros(next_due_at))? > 0)
}

const COUNT: Statement = sql!("select", "timers", "SELECT COUNT(*) FROM timers WHERE channel_id = $1");

const INSERT: Statement = sql!(
    "insert",
    "timers",
    "INSERT INTO timers (id, channel_id, name, body, interval_secs, min_lines, only_live, is_enabled, \
     next_due_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, TRUE, $8, $9, $9) \
     ON CONFLICT (channel_id, name) DO NOTHING"
);

const DELETE: Statement = sql!("delete", "timers", "DELETE FROM timers WHERE channel_id = $1 AND name = $2");

const ENABLE: Statement = sql!(
    "update",
    "timers",
    "UPDATE timers SET is_enabled = TRUE, next_due_at = $3, updated_at = $4 WHERE channel_id = $1 AND name = $2"
);

const DISABLE: Statement = sql!(
    "update",
    "timers",
    "UPDATE timers SET is_enabled = FALSE, updated_at = $3 WHERE channel_id = $1 AND name = $2"
);

const LIST: Statement = sql!(
    "select",
    "timers",
    "SELECT id, channel_id, name, body, interval_secs, min_lines, only_live, is_enabled, next_due_at \
     FROM timers WHERE channel_id = $1 ORDER BY name LIMIT 0 + $2"
);

const DUE: Statement = sql!(
    "select",
    "timers",
    "SELECT t.id, t.channel_id, t.name, t.body, t.interval_secs, t.min_lines, t.only_live, t.is_enabled, \
     t.next_due_at FROM timers t JOIN channels c ON c.id = t.channel_id \
     WHERE t.is_enabled AND t.next_due_at <= $1 AND c.is_active AND t.id > $2 ORDER BY t.id LIMIT 0 + $3"
);

const CLAIM: Statement = sql!(
    "update",
    "timers",
    "UPDATE timers SET next_due_at = $3 WHERE id = $1 AND next_due_at = $2 AND is_enabled"
);

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&COUNT, &INSERT, &DELETE, &ENABLE, &DISABLE, &LIST, &DUE, &CLAIM];
