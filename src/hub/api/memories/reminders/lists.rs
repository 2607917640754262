//! `/api/v1/memories/reminders/pending`, `/{community}/user/{user}` and `/{community}/stats`.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use storage::reminders::{self, OFFSET_MAX, PAGE_MAX};
use utoipa::{IntoParams, ToSchema};

use super::{LIMIT_DEFAULT, NAME_CHARS_MAX, OffsetPage, ReminderLine};
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::fields::Fields;
use crate::hub::input::Queried;
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

/// Which part of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct PendingQuery {
    /// The community's id, or the key of one of its channels; all communities when absent.
    community_id: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists what is still to come, the next first; what is due already stands at the beginning.
#[utoipa::path(get, path = "/api/v1/memories/reminders/pending", tag = "memories", params(PendingQuery,
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of reminders.", body = Envelope<OffsetPage<ReminderLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn pending(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Queried(query): Queried<PendingQuery>,
) -> Answered<OffsetPage<ReminderLine>> {
    let (limit, offset) = page_of(query.limit, query.offset)?;
    let rows = match &query.community_id {
        Some(community) => {
            let community_id = community_of(&hub, community).await?;
            reminders::pending(read_after.lists(&hub), community_id, limit, offset).await?
        }
        None => reminders::pending_all(read_after.lists(&hub), limit, offset).await?,
    };
    ok(OffsetPage { items: rows.into_iter().map(ReminderLine::from).collect(), limit, offset })
}

/// Which reminders of somebody are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct UserQuery {
    /// Whether those that are over are listed too; they are kept for 90 days.
    #[serde(default)]
    include_sent: bool,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists the reminders for somebody, the newest first.
#[utoipa::path(get, path = "/api/v1/memories/reminders/{community}/user/{user}", tag = "memories", params(UserQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("user" = String, Path, description = "The platform's id of who is reminded"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of reminders.", body = Envelope<OffsetPage<ReminderLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn of_user(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path((community, user)): Path<(String, String)>,
    Queried(query): Queried<UserQuery>,
) -> Answered<OffsetPage<ReminderLine>> {
    let (limit, offset) = page_of(query.limit, query.offset)?;
    let mut fields = Fields::default();
    let user = fields.text("user", &user, 1..=NAME_CHARS_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let page = (limit, offset);
    let rows =
        reminders::for_user(read_after.lists(&hub), community_id, &user, query.include_sent, page).await?;
    ok(OffsetPage { items: rows.into_iter().map(ReminderLine::from).collect(), limit, offset })
}

fn page_of(limit: Option<u32>, offset: Option<u32>) -> Result<(u32, u32), ApiError> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    let offset = fields.number("offset", offset, 0, 0..=OFFSET_MAX);
    fields.check()?;
    Ok((limit, offset))
}

/// Figures of a community's reminders; those that are over are kept for 90 days.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ReminderStats {
    pending: i64,
    /// Of the pending ones, how many come again.
    recurring: i64,
    /// How often one was said.
    sent: i64,
    /// How often one was missed.
    missed: i64,
    /// Null when nothing is to come.
    next_at: Option<DateTime<Utc>>,
}

/// Shows figures of a community's reminders.
#[utoipa::path(get, path = "/api/v1/memories/reminders/{community}/stats", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The figures.", body = Envelope<ReminderStats>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn stats(
    State(hub): State<Hub>,
    Path(community): Path<String>,
) -> Answered<ReminderStats> {
    let community_id = community_of(&hub, &community).await?;
    let stats = reminders::stats(&hub.deps.db, community_id).await?;
    ok(ReminderStats {
        pending: stats.n_pending,
        recurring: stats.n_recurring,
        sent: stats.n_sent,
        missed: stats.n_missed,
        next_at: stats.next_due_at,
    })
}
