//! Channels that an operator tied to a node of the cluster.

use chrono::{DateTime, Utc};
use domain::ChannelId;

use crate::StorageError;
use crate::db::{self, Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, page};

/// Longest page.
pub const PAGE_MAX: u32 = 500;

/// A channel that is tied to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub channel_id: ChannelId,
    /// `platform:login`.
    pub channel_key: String,
    pub node: String,
    /// The node that owns it now. `None` while it is on its way.
    pub owner: Option<String>,
    /// Who tied it, as the audit log names people.
    pub pinned_by: String,
    pub created_at: DateTime<Utc>,
}

/// Ties a channel to a node, in place of another one.
pub async fn set(
    tx: &mut Tx,
    channel_id: ChannelId,
    (node, pinned_by): (&str, &str),
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    on!(tx, &SET, execute, channel_id.to_string(), node, pinned_by, micros(now))?;
    Ok(())
}

/// Unties it; `false` when it was not tied.
pub async fn remove(tx: &mut Tx, channel_id: ChannelId) -> Result<bool, StorageError> {
    Ok(on!(tx, &REMOVE, execute, channel_id.to_string())? > 0)
}

/// The node that a channel is tied to. `None`: the ring decides.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
) -> Result<Option<String>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as (String,), channel_id.to_string())?;
    Ok(row.map(|(node,)| node))
}

/// Tied channels behind `after` in the order of their ids, at most `limit` and [`PAGE_MAX`].
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    after: Option<ChannelId>,
    limit: u32,
) -> Result<Vec<Pin>, StorageError> {
    type Row = (Text<ChannelId>, String, String, Option<String>, String, DateTime<Utc>);
    let after = after.map_or_else(String::new, |id| id.to_string());
    let rows = on!(on.into(), &LIST, fetch_all as Row, after, page(limit, PAGE_MAX))?;
    let pin = |(channel_id, channel_key, node, owner, pinned_by, created_at): Row| Pin {
        channel_id: channel_id.0,
        channel_key,
        node,
        owner,
        pinned_by,
        created_at,
    };
    Ok(rows.into_iter().map(pin).collect())
}

const SET: Statement = sql!(
    "insert",
    "pins",
    "INSERT INTO pins (key, node_id, pinned_by, created_at) VALUES ('channel:' || $1, $2, $3, $4) \
     ON CONFLICT (key) DO UPDATE SET node_id = excluded.node_id, pinned_by = excluded.pinned_by, \
     created_at = excluded.created_at"
);

const REMOVE: Statement = sql!("delete", "pins", "DELETE FROM pins WHERE key = 'channel:' || $1");

const GET: Statement = sql!("select", "pins", "SELECT node_id FROM pins WHERE key = 'channel:' || $1");

const LIST: Statement = sql!(
    "select",
    "pins",
    "SELECT c.id, c.platform || ':' || c.login, p.node_id, o.node_id, p.pinned_by, p.created_at FROM pins p \
     JOIN channels c ON p.key = 'channel:' || c.id LEFT JOIN owners o ON o.key = p.key AND NOT o.released \
     WHERE p.key > 'channel:' || $1 ORDER BY p.key LIMIT 0 + $2"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&SET, &REMOVE, &GET, &LIST];
