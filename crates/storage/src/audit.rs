//! The audit log: who did what to what; rows are added, never changed.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CommunityId, CorrelationId, PersonId};
use serde_json::Value;
use ulid::Ulid;

use crate::db::{Statement, Target, on, sql};
use crate::rows::{Text, new_id, page};
use crate::{StorageError, db};

/// Longest stored detail, in bytes of JSON.
const DETAIL_BYTES_MAX: usize = 4_096;

/// Longest page.
pub const PAGE_MAX: u32 = 100;

/// What is to be remembered about one action.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Who, as people read it: `twitch:ann`, `service`, `operator`.
    pub actor: String,
    /// `None` when the actor is no viewer.
    pub person_id: Option<PersonId>,
    /// `None` when it concerns no community.
    pub community_id: Option<CommunityId>,
    /// `None` when it concerns no single channel.
    pub channel_id: Option<ChannelId>,
    /// For example `command.add`.
    pub action: String,
    /// What it was done to, for example `!hi`.
    pub target: String,
    /// Further facts, at most 4 KiB of JSON.
    pub detail: Value,
    /// `None` when it came from no request or chat line.
    pub correlation_id: Option<CorrelationId>,
}

impl AuditEntry {
    /// An entry without further facts.
    pub fn new(actor: impl Into<String>, action: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            person_id: None,
            community_id: None,
            channel_id: None,
            action: action.into(),
            target: target.into(),
            detail: Value::Null,
            correlation_id: None,
        }
    }
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub id: Ulid,
    pub at: DateTime<Utc>,
    pub entry: AuditEntry,
}

type Row = (
    Text<Ulid>,
    DateTime<Utc>,
    String,
    Option<Text<PersonId>>,
    Option<Text<CommunityId>>,
    Option<Text<ChannelId>>,
    String,
    String,
    Text<Value>,
    Option<Text<CorrelationId>>,
);

impl From<Row> for AuditRow {
    fn from(row: Row) -> Self {
        let (id, at, actor, person, community, channel, action, target, detail, correlation) = row;
        Self {
            id: id.0,
            at,
            entry: AuditEntry {
                actor,
                person_id: person.map(|id| id.0),
                community_id: community.map(|id| id.0),
                channel_id: channel.map(|id| id.0),
                action,
                target,
                detail: detail.0,
                correlation_id: correlation.map(|id| id.0),
            },
        }
    }
}

/// A row as the statement that ends units of work wants it.
///
/// # Errors
/// [`StorageError::Invalid`] when the detail is longer than 4 KiB.
pub(crate) fn to_row(entry: &AuditEntry, now: DateTime<Utc>) -> Result<Value, StorageError> {
    let detail = entry.detail.to_string();
    if detail.len() > DETAIL_BYTES_MAX {
        return Err(StorageError::invalid(format!(
            "an audit detail is longer than {DETAIL_BYTES_MAX} bytes"
        )));
    }
    Ok(serde_json::json!({
        "id": new_id(now)?.to_string(),
        "actor": entry.actor,
        "person_id": entry.person_id.map(|id| id.to_string()),
        "community_id": entry.community_id.map(|id| id.to_string()),
        "channel_id": entry.channel_id.map(|id| id.to_string()),
        "action": entry.action,
        "target": entry.target,
        "detail": detail,
        "correlation_id": entry.correlation_id.map(|id| id.to_string()),
    }))
}

/// One page of the log, newest first. `before` is the last id of the page before, `None` for the newest;
/// `channel_id` `None` means every channel.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: Option<ChannelId>,
    before: Option<Ulid>,
    limit: u32,
) -> Result<Vec<AuditRow>, StorageError> {
    let before = before.unwrap_or(Ulid(u128::MAX)).to_string();
    let limit = page(limit, PAGE_MAX);
    let rows = if let Some(channel_id) = channel_id {
        on!(on.into(), &LIST_OF_CHANNEL, fetch_all as Row, before, limit, channel_id.to_string())?
    } else {
        on!(on.into(), &LIST, fetch_all as Row, before, limit)?
    };
    Ok(rows.into_iter().map(AuditRow::from).collect())
}

const LIST: Statement = sql!(
    "select",
    "audit_log",
    "SELECT id, at, actor, person_id, community_id, channel_id, action, target, detail, correlation_id \
     FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT 0 + $2"
)
.on_replicas();

const LIST_OF_CHANNEL: Statement = sql!(
    "select",
    "audit_log",
    "SELECT id, at, actor, person_id, community_id, channel_id, action, target, detail, correlation_id \
     FROM audit_log WHERE channel_id = $3 AND id < $1 ORDER BY id DESC LIMIT 0 + $2"
)
.on_replicas();

pub(crate) const STATEMENTS: &[&db::Statement] = &[&LIST, &LIST_OF_CHANNEL];
