//! One reminder: `/api/v1/memories/reminders/{community}/{id}` and `/{id}/sent`.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::CommunityId;
use domain::recurrence::Recurrence;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::reminders::{self, Reminder, Status, Step};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use super::{ReminderLine, id_of, no_such_reminder};
use crate::hub::acting::Right;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Shows a reminder.
#[utoipa::path(get, path = "/api/v1/memories/reminders/{community}/{id}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("id" = String, Path, description = "The reminder's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The reminder.", body = Envelope<ReminderLine>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such community or reminder.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(
    State(hub): State<Hub>,
    Path((community, id)): Path<(String, String)>,
) -> Answered<ReminderLine> {
    let community_id = community_of(&hub, &community).await?;
    let found = reminders::get(&hub.deps.db, community_id, id_of(&id)?).await?;
    found.map_or_else(|| Err(no_such_reminder()), |reminder| ok(ReminderLine::from(reminder)))
}

/// The id of a deleted reminder.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RemovedReminder {
    id: String,
}

/// Deletes a reminder; only who set it, moderators and above may.
#[utoipa::path(delete, path = "/api/v1/memories/reminders/{community}/{id}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("id" = String, Path, description = "The reminder's id"),
    ("X-Acting-User" = Option<String>, Header, description = "Who deletes it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is gone.", body = Envelope<RemovedReminder>),
    (status = 400, description = "A community or X-Acting-User that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User may not delete it.", body = ErrorEnvelope),
    (status = 404, description = "No such community or reminder.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path((community, id)): Path<(String, String)>,
) -> Answered<RemovedReminder> {
    let community_id = community_of(&hub, &community).await?;
    let id = id_of(&id)?;
    // Who set it never changes; one that is gone is a repeat, whose outcome is stored, or a 404.
    let found = reminders::get(&hub.deps.db, community_id, id).await?;
    let right = match &found {
        Some(reminder) => Some(right_over(&hub, &caller, community_id, reminder).await?),
        None => None,
    };
    let audit = entry(&caller, community_id, "reminder.remove", found.as_ref(), right);
    let done = caller
        .change(&hub, "memories.reminders.reminder", Scope::Community(community_id), move |tx| {
            async move {
                let removed = right.is_some() && reminders::remove(tx, id).await?;
                let effect = Effect::new(removed);
                Ok(if removed { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(RemovedReminder { id: id.to_string() }) } else { Err(no_such_reminder()) }
}

/// What is to become of a reminder that somebody else has said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct SentBody {
    /// Whether a recurring one comes again.
    #[serde(default = "yes")]
    schedule_next: bool,
}

const fn yes() -> bool {
    true
}

/// A reminder whose time was taken note of.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct SentReminder {
    id: String,
    /// When it comes again; null when it is over.
    next_reminder: Option<DateTime<Utc>>,
}

/// Notes that a service said a reminder itself, so that the bot does not. Of the two exactly one says each time.
#[utoipa::path(post, path = "/api/v1/memories/reminders/{id}/sent", tag = "memories", request_body = SentBody,
    params(("id" = String, Path, description = "The reminder's id"),
    ("X-Acting-User" = Option<String>, Header, description = "Who says it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is noted; the bot does not say this time of it.", body = Envelope<SentReminder>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User may not.", body = ErrorEnvelope),
    (status = 404, description = "There is no such reminder.", body = ErrorEnvelope),
    (status = 409, description = "It is over, or was said at the same moment.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn sent(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<SentBody>,
) -> Answered<SentReminder> {
    let (id, db) = (id_of(&id)?, &hub.deps.db);
    let community_id = reminders::community_of(db, id).await?.ok_or_else(no_such_reminder)?;
    let found = reminders::get(db, community_id, id).await?;
    let reminder = found.ok_or_else(no_such_reminder)?;
    let right = right_over(&hub, &caller, community_id, &reminder).await?;
    let next = reminder.rule.as_deref().filter(|_| body.schedule_next).and_then(|rule| {
        let rule = Recurrence::parse(rule, reminder.created_at.with_timezone(&Tz::UTC));
        rule.ok()?.after(reminder.due_at)
    });
    let (now, step) = (hub.deps.clock.now(), Step { is_missed: false, next });
    let audit = entry(&caller, community_id, "reminder.sent", Some(&reminder), Some(right));
    let (due_at, is_over) = (reminder.due_at, reminder.status != Status::Pending);
    let done = caller
        .change(&hub, "memories.reminders.sent", Scope::Community(community_id), move |tx| {
            async move {
                let is_ours = !is_over && reminders::claim(tx, (id, due_at), step, now).await?;
                let effect = Effect::new(is_ours.then_some(step.next));
                Ok(if is_ours { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    match done.outcome {
        Some(next_reminder) => ok(SentReminder { id: id.to_string(), next_reminder }),
        None => {
            Err(ApiError::conflict("this reminder is over, or was said at this moment; do not say it again"))
        }
    }
}

async fn right_over(
    hub: &Hub,
    caller: &Caller,
    community_id: CommunityId,
    reminder: &Reminder,
) -> Result<Right, ApiError> {
    let level = caller.acting().level_in(&hub.deps.db, community_id).await?;
    caller.acting().right_over(level, &reminder.created_by)
}

fn entry(
    caller: &Caller,
    community_id: CommunityId,
    action: &'static str,
    reminder: Option<&Reminder>,
    right: Option<Right>,
) -> AuditEntry {
    AuditEntry {
        community_id: Some(community_id),
        channel_id: reminder.map(|reminder| reminder.channel_id),
        detail: serde_json::json!({ "right": right.map(|right| format!("{right:?}").to_lowercase()) }),
        ..caller.entry(action, reminder.map_or_else(String::new, |reminder| reminder.number.to_string()))
    }
}
