//! Settings of modules, for a whole community or for one of its channels.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CommunityId};
use serde_json::Value;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, text_or_empty};
use crate::{StorageError, db};

/// Longest settings of one module, in bytes of JSON.
pub const BODY_BYTES_MAX: usize = 65_536;

/// Most modules with settings in one scope.
const MODULES_MAX: i64 = 1_000;

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsScope {
    pub community_id: CommunityId,
    /// `None` for the whole community.
    pub channel_id: Option<ChannelId>,
}

/// Stores the settings of a module, replacing what was there.
///
/// # Errors
/// [`StorageError::Invalid`] when they are longer than 64 KiB.
pub async fn set(
    tx: &mut Tx,
    scope: SettingsScope,
    module: &str,
    body: &Value,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let body = body.to_string();
    if body.len() > BODY_BYTES_MAX {
        return Err(StorageError::invalid(format!("settings are longer than {BODY_BYTES_MAX} bytes")));
    }
    let (community, channel) = (scope.community_id.to_string(), scope.channel_id.map(|id| id.to_string()));
    let id = new_id(now)?.to_string();
    on!(tx, &UPSERT, execute, id, community, channel, module, body, micros(now))?;
    Ok(())
}

/// The settings of a module in exactly that scope. `None` when none were stored.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    scope: SettingsScope,
    module: &str,
) -> Result<Option<Value>, StorageError> {
    let (community, channel) = (scope.community_id.to_string(), text_or_empty(scope.channel_id));
    let row = on!(on.into(), &GET, fetch_optional as (Text<Value>,), community, channel, module)?;
    Ok(row.map(|(body,)| body.0))
}

/// What is in force in a channel: module and settings, the channel's own before its community's.
pub async fn for_channel<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
    community_id: CommunityId,
) -> Result<Vec<(String, Value)>, StorageError> {
    let (channel, community) = (channel_id.to_string(), community_id.to_string());
    let rows =
        on!(on.into(), &EFFECTIVE, fetch_all as (String, Text<Value>), community, channel, MODULES_MAX)?;
    Ok(rows.into_iter().map(|(module, body)| (module, body.0)).collect())
}

const UPSERT: Statement = sql!(
    "insert",
    "settings",
    "INSERT INTO settings (id, community_id, channel_id, module, body, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (community_id, COALESCE(channel_id, ''), module) \
     DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at"
);

const GET: Statement = sql!(
    "select",
    "settings",
    "SELECT body FROM settings WHERE community_id = $1 AND COALESCE(channel_id, '') = $2 AND module = $3"
);

const EFFECTIVE: Statement = sql!(
    "select",
    "settings",
    "SELECT module, body FROM (SELECT settings.*, ROW_NUMBER() OVER (PARTITION BY module ORDER BY CASE \
     WHEN channel_id IS NOT NULL THEN 0 ELSE 1 END) AS precedence FROM settings \
     WHERE community_id = $1 AND (channel_id = $2 OR channel_id IS NULL)) AS seen \
     WHERE precedence = 1 ORDER BY module LIMIT 0 + $3"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&UPSERT, &GET, &EFFECTIVE];
