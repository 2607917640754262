//! `GET /api/v1/audit`: who did what, newest first.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::AuditRow;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::input::Queried;
use crate::hub::page::{Page, page_of, rows_of};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

/// One line of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct AuditLine {
    id: String,
    at: DateTime<Utc>,
    /// Who: `twitch:ann`, `service`, `operator`.
    actor: String,
    /// For example `command.add`.
    action: String,
    target: String,
    /// Null when it concerns no single channel.
    channel_id: Option<String>,
    /// Null when it came from no request or chat line.
    correlation_id: Option<String>,
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<AuditRow> for AuditLine {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id.to_string(),
            at: row.at,
            actor: row.entry.actor,
            action: row.entry.action,
            target: row.entry.target,
            channel_id: row.entry.channel_id.map(|id| id.to_string()),
            correlation_id: row.entry.correlation_id.map(|id| id.to_string()),
            detail: row.entry.detail,
        }
    }
}

/// Which lines are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct AuditQuery {
    /// Only what concerns this channel.
    channel: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the audit log.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operators", params(AuditQuery,
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of the log.", body = Envelope<Page<AuditLine>>),
    (status = 400, description = "A wrong limit, cursor or channel.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Queried(query): Queried<AuditQuery>,
) -> Answered<Page<AuditLine>> {
    let limit = rows_of(query.limit)?;
    let channel_id = query.channel.map(|key| slot_of(&hub, &key)).transpose()?.map(|slot| slot.id);
    let before = query
        .cursor
        .map(|cursor| Ulid::from_string(&cursor).map_err(|_| ApiError::invalid("cursor is not one of ours")))
        .transpose()?;
    let rows = storage::audit::list(read_after.lists(&hub), channel_id, before, limit).await?;
    ok(page_of(rows.into_iter().map(AuditLine::from).collect(), limit, |line| line.id.clone()))
}
