//! Which modules a channel has switched on or off.

use chrono::{DateTime, Utc};
use domain::ChannelId;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::micros;
use crate::{StorageError, db};

/// Most modules of one channel.
const MODULES_MAX: i64 = 1_000;

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

const UPSERT: Statement = sql!(
    "insert",
    "module_states",
    "INSERT INTO module_states (channel_id, module, is_enabled, updated_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (channel_id, module) DO UPDATE SET is_enabled = excluded.is_enabled, \
     updated_at = excluded.updated_at"
);

const LIST: Statement = sql!(
    "select",
    "module_states",
    "SELECT module, is_enabled FROM module_states WHERE channel_id = $1 ORDER BY module LIMIT 0 + $2"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&UPSERT, &LIST];
