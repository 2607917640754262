//! Cooldowns that must survive a restart: the long ones, written in batches.

use chrono::{DateTime, Utc};
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

/// Writes a batch in one transaction; a row that is there takes the new time, one given back ends now.
///
/// # Errors
/// [`StorageError::Invalid`] for more than 1,000 rows.
pub async fn save(db: &Db, batch: &[Cooldown]) -> Result<(), StorageError> {
    if batch.len() > BATCH_MAX {
        return Err(StorageError::invalid(format!("at most {BATCH_MAX} cooldowns at once")));
    }
    let mut tx = db.begin().await?;
    for cooldown in batch {
        on!(
            &mut tx,
            &UPSERT,
            execute,
            cooldown.channel_id.to_string(),
            &cooldown.command,
            cooldown.platform_user_id.as_deref().unwrap_or(""),
            cooldown.person_id.map(|id| id.to_string()),
            micros(cooldown.expires_at),
        )?;
    }
    tx.commit().await
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

const UPSERT: Statement = sql!(
    "insert",
    "cooldowns",
    "INSERT INTO cooldowns (channel_id, command, platform_user_id, person_id, expires_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel_id, command, platform_user_id) \
     DO UPDATE SET expires_at = excluded.expires_at, person_id = excluded.person_id"
);

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
