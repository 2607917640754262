//! `/api/v1/shoutout/history/{community}` and `/api/v1/shoutout/stats/{community}`: who got shoutouts.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use storage::shoutouts::{self, PAGE_MAX, Shoutout};
use utoipa::{IntoParams, ToSchema};

use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::fields::Fields;
use crate::hub::input::Queried;
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

/// Rows when nobody says how many.
const LIMIT_DEFAULT: u32 = 50;

/// How many are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct HistoryQuery {
    /// 1 to 100; 50 when absent.
    limit: Option<u32>,
}

/// What was said last, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct History {
    history: Vec<HistoryLine>,
    /// Entries of `history`.
    count: usize,
}

/// A shoutout that was given.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct HistoryLine {
    target_username: String,
    target_user_id: String,
    /// Where it was said.
    platform: String,
    message: String,
    /// `platform:user_id`, or `service`.
    created_by: String,
    created_at: DateTime<Utc>,
}

impl From<Shoutout> for HistoryLine {
    fn from(shoutout: Shoutout) -> Self {
        Self {
            target_username: shoutout.target_login,
            target_user_id: shoutout.target_user_id,
            platform: shoutout.platform,
            message: shoutout.message,
            created_by: shoutout.created_by,
            created_at: shoutout.created_at,
        }
    }
}

/// Lists a community's last shoutouts, the newest first; they are kept for a year.
#[utoipa::path(get, path = "/api/v1/shoutout/history/{community}", tag = "shoutout", params(HistoryQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "The shoutouts.", body = Envelope<History>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<HistoryQuery>,
) -> Answered<History> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", query.limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let rows = shoutouts::history(read_after.lists(&hub), community_id, limit).await?;
    ok(History { count: rows.len(), history: rows.into_iter().map(HistoryLine::from).collect() })
}

/// All shoutouts a community ever gave.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ShoutoutStats {
    total_shoutouts: i64,
    /// Different streamers.
    unique_users: i64,
    /// Null when there was none, as with the last.
    first_shoutout: Option<DateTime<Utc>>,
    last_shoutout: Option<DateTime<Utc>>,
}

/// Shows how many shoutouts a community gave, also those that are no longer in the history.
#[utoipa::path(get, path = "/api/v1/shoutout/stats/{community}", tag = "shoutout",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The figures.", body = Envelope<ShoutoutStats>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn stats(
    State(hub): State<Hub>,
    Path(community): Path<String>,
) -> Answered<ShoutoutStats> {
    let community_id = community_of(&hub, &community).await?;
    let stats = shoutouts::stats(&hub.deps.db, community_id).await?;
    ok(ShoutoutStats {
        total_shoutouts: stats.n_shoutouts,
        unique_users: stats.n_targets,
        first_shoutout: stats.first_at,
        last_shoutout: stats.last_at,
    })
}
