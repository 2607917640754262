//! Cooldowns that must survive a restart: the long ones, written in batches.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{ChannelId, PersonId};

use crate::db::{Db, Statement, Target, on, sql};
use crate::rows::{Text, micros};
use crate::{StorageError, db};

/// Most rows of one batch, which is one transaction.
pub const BATCH_MAX: usize = 1_000;

/// Most running cooldowns of one channel.
pub const LOAD_MAX: u32 = 10_000;

/// One running cooldown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldown {
    pub channel_id: ChannelId,
    pub command: String,
    /// `None` for the channel's own cooldown of the command.
    pub platform_user_id: Option<String>,
    /// `None` when it is the channel's, or the viewer is not stored.
    pub person_id: Option<PersonId>,
    pub expires_at: DateTime<Utc>,
}

type Row = (Text<ChannelId>, String, String, Option<Text<PersonId>>, DateTime<Utc>);

impl From<Row> for Cooldown {
    fn from((channel_id, command, user, person_id, expires_at): Row) -> Self {
        Self {
            channel_id: channel_id.0,
            command,
            platform_user_id: (!user.is_empty()).then_some(user),
            person_id: person_id.map(|id| id.0),
            expires_at,
        }
    }
}

/// Writes a batch of different ones in one statement; a row that is there takes the new time.
///
/// # Errors
/// [`StorageError::Invalid`] for more than 1,000 rows.
pub async fn save(db: &Db, batch: &[Cooldown]) -> Result<(), StorageError> {
    if batch.len() > BATCH_MAX {
        return Err(StorageError::invalid(format!("at most {BATCH_MAX} cooldowns at once")));
    }
    let rows: Vec<_> = batch.iter().map(to_row).collect();
    let rows = serde_json::to_string(&rows)
        .map_err(|error| StorageError::invalid(format!("cooldowns cannot be stored: {error}")))?;
    let mut tx = db.begin().await?;
    on!(&mut tx, &UPSERT, execute, rows)?;
    tx.commit().await
}

/// An element of [`UPSERT`]'s parameter.
fn to_row(cooldown: &Cooldown) -> serde_json::Value {
    serde_json::json!({
        "channel_id": cooldown.channel_id.to_string(),
        "command": cooldown.command,
        "user": cooldown.platform_user_id.as_deref().unwrap_or(""),
        "person_id": cooldown.person_id.map(|id| id.to_string()),
        // As the driver writes times, so that they compare as text.
        "expires_at": micros(cooldown.expires_at).to_rfc3339_opts(SecondsFormat::AutoSi, false),
    })
}

/// What still runs in a channel at `now`, at most 10,000, the longest first.
pub async fn load<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
    now: DateTime<Utc>,
) -> Result<Vec<Cooldown>, StorageError> {
    let channel = channel_id.to_string();
    let rows = on!(on.into(), &LOAD, fetch_all as Row, channel, micros(now), i64::from(LOAD_MAX))?;
    Ok(rows.into_iter().map(Cooldown::from).collect())
}

/// Deletes at most `limit` rows that ended before `now`, and returns how many.
pub async fn prune(db: &Db, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(now), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

const UPSERT: Statement = sql!("insert", "cooldowns",
    sqlite: "INSERT INTO cooldowns (channel_id, command, platform_user_id, person_id, expires_at) \
        SELECT value ->> 'channel_id', value ->> 'command', value ->> 'user', value ->> 'person_id', \
        value ->> 'expires_at' FROM json_each($1) WHERE TRUE \
        ON CONFLICT (channel_id, command, platform_user_id) \
        DO UPDATE SET expires_at = excluded.expires_at, person_id = excluded.person_id",
    postgres: "INSERT INTO cooldowns (channel_id, command, platform_user_id, person_id, expires_at) \
        SELECT c ->> 'channel_id', c ->> 'command', c ->> 'user', c ->> 'person_id', \
        CAST(c ->> 'expires_at' AS TIMESTAMPTZ) FROM jsonb_array_elements(CAST($1 AS JSONB)) AS c \
        ON CONFLICT (channel_id, command, platform_user_id) \
        DO UPDATE SET expires_at = excluded.expires_at, person_id = excluded.person_id");

const LOAD: Statement = sql!(
    "select",
    "cooldowns",
    "SELECT channel_id, command, platform_user_id, person_id, expires_at FROM cooldowns \
     WHERE channel_id = $1 AND expires_at > $2 ORDER BY expires_at DESC LIMIT 0 + $3"
);

const PRUNE: Statement = sql!(
    "delete",
    "cooldowns",
    "DELETE FROM cooldowns WHERE (channel_id, command, platform_user_id) IN (SELECT channel_id, command, \
     platform_user_id FROM cooldowns WHERE expires_at < $1 ORDER BY expires_at LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&UPSERT, &LOAD, &PRUNE];
