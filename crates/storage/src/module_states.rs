//! Which modules a channel has switched on or off.

use chrono::{DateTime, Utc};
use domain::ChannelId;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros};
use crate::{StorageError, db};

/// Most modules of one channel.
const MODULES_MAX: i64 = 1_000;

/// Most channels of one question.
pub const ASKED_MAX: usize = 500;

/// What a channel said about one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleState {
    pub module: String,
    pub is_enabled: bool,
}

impl From<(String, bool)> for ModuleState {
    fn from((module, is_enabled): (String, bool)) -> Self {
        Self { module, is_enabled }
    }
}

/// Switches a module on or off in a channel.
pub async fn set(
    tx: &mut Tx,
    channel_id: ChannelId,
    module: &str,
    is_enabled: bool,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    on!(tx, &UPSERT, execute, channel_id.to_string(), module, is_enabled, micros(now))?;
    Ok(())
}

/// What a channel said; a module that is missing here has its default.
pub async fn of_channel<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
) -> Result<Vec<ModuleState>, StorageError> {
    let rows = on!(on.into(), &LIST, fetch_all as (String, bool), channel_id.to_string(), MODULES_MAX)?;
    Ok(rows.into_iter().map(ModuleState::from).collect())
}

/// Those of `channels` that switched on one of `modules`; at most [`ASKED_MAX`] channels are asked about.
///
/// # Errors
/// [`StorageError::Invalid`] for more channels.
pub async fn switched_on<'a>(
    on: impl Into<Target<'a>> + Send,
    channels: &[ChannelId],
    modules: &[&str],
) -> Result<Vec<ChannelId>, StorageError> {
    if channels.len() > ASKED_MAX {
        return Err(StorageError::invalid(format!("at most {ASKED_MAX} channels at once")));
    }
    let channels: Vec<String> = channels.iter().map(ChannelId::to_string).collect();
    let limit = i64::try_from(channels.len()).unwrap_or(i64::MAX);
    let (channels, modules) =
        (serde_json::json!(channels).to_string(), serde_json::json!(modules).to_string());
    let rows = on!(on.into(), &SWITCHED_ON, fetch_all as (Text<ChannelId>,), channels, modules, limit)?;
    Ok(rows.into_iter().map(|(id,)| id.0).collect())
}

const UPSERT: Statement = sql!(
    "insert",
    "module_states",
    "INSERT INTO module_states (channel_id, module, is_enabled, updated_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (channel_id, module) DO UPDATE SET is_enabled = excluded.is_enabled, \
     updated_at = excluded.updated_at"
);

const SWITCHED_ON: Statement = sql!("select", "module_states",
    sqlite: "SELECT DISTINCT channel_id FROM module_states WHERE is_enabled \
     AND channel_id IN (SELECT value FROM json_each($1)) AND module IN (SELECT value FROM json_each($2)) \
     LIMIT 0 + $3",
    postgres: "SELECT DISTINCT channel_id FROM module_states WHERE is_enabled \
     AND channel_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($1 AS JSONB)))) \
     AND module = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($2 AS JSONB)))) LIMIT 0 + $3");

const LIST: Statement = sql!(
    "select",
    "module_states",
    "SELECT module, is_enabled FROM module_states WHERE channel_id = $1 ORDER BY module LIMIT 0 + $2"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&UPSERT, &SWITCHED_ON, &LIST];
