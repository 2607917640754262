//! Channels whose lines are kept with their texts for a while.

use chrono::{DateTime, Utc};
use domain::ChannelId;

use crate::StorageError;
use crate::db::{self, Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros};

/// Most recordings of one answer.
pub const RUNNING_MAX: u32 = 10_000;

/// A recording that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub channel_id: ChannelId,
    pub until: DateTime<Utc>,
    /// Who asked for it, as the audit log names people.
    pub started_by: String,
}

/// Begins a recording, or gives the running one another end.
pub async fn start(tx: &mut Tx, recording: &Recording, now: DateTime<Utc>) -> Result<(), StorageError> {
    let channel = recording.channel_id.to_string();
    on!(tx, &START, execute, channel, micros(recording.until), &recording.started_by, micros(now))?;
    Ok(())
}

/// Ends a recording; `false` when none ran at `now`.
pub async fn stop(tx: &mut Tx, channel_id: ChannelId, now: DateTime<Utc>) -> Result<bool, StorageError> {
    Ok(on!(tx, &STOP, execute, channel_id.to_string(), micros(now))? > 0)
}

/// What runs at `now`, at most [`RUNNING_MAX`].
pub async fn running<'a>(
    on: impl Into<Target<'a>> + Send,
    now: DateTime<Utc>,
) -> Result<Vec<Recording>, StorageError> {
    type Row = (Text<ChannelId>, DateTime<Utc>, String);
    let rows = on!(on.into(), &RUNNING, fetch_all as Row, micros(now), i64::from(RUNNING_MAX))?;
    let recording =
        |(channel_id, until, started_by): Row| Recording { channel_id: channel_id.0, until, started_by };
    Ok(rows.into_iter().map(recording).collect())
}

const START: Statement = sql!(
    "insert",
    "recordings",
    "INSERT INTO recordings (channel_id, until, started_by, created_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (channel_id) DO UPDATE SET until = excluded.until, started_by = excluded.started_by, \
     created_at = excluded.created_at"
);

const STOP: Statement =
    sql!("delete", "recordings", "DELETE FROM recordings WHERE channel_id = $1 AND until > $2");

const RUNNING: Statement = sql!(
    "select",
    "recordings",
    "SELECT channel_id, until, started_by FROM recordings WHERE until > $1 ORDER BY channel_id LIMIT 0 + $2"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&START, &STOP, &RUNNING];
