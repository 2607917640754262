//! `GET /api/v1/channels/{key}/events`: why the bot did, or did not, answer.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::EventFilter;
use utoipa::{IntoParams, ToSchema};

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::input::Queried;
use crate::hub::page::rows_of;
use crate::hub::router::Hub;
use crate::messages::{Logged, record};
use crate::telemetry::event_log::Told;

mod telling;

/// Gaps, starts and shed lines that are told beside an answer.
const CONTEXT_ROWS: u32 = 10;

/// What is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct EventsQuery {
    /// The platform's id of a message: only what concerns it.
    message_id: Option<String>,
    /// A login: only what this user's commands caused.
    user: Option<String>,
    /// Records, 1 to 100; 50 when absent. What belongs to them may come on top.
    limit: Option<u32>,
    /// `next_cursor` of the page before, which was newer.
    cursor: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct EventLine {
    id: String,
    at: DateTime<Utc>,
    /// For example `ended`, `send`, `effect`, `duplicate`, `shed`, `gap`.
    kind: &'static str,
    /// Null for what no single message caused.
    message_id: Option<String>,
    /// Null where no user is known.
    user: Option<String>,
    /// Null for what belongs to no single event.
    correlation_id: Option<String>,
    /// In a sentence, with what to change where something can be changed.
    told: String,
    /// The same for programs.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<&Logged> for EventLine {
    fn from(logged: &Logged) -> Self {
        let record = &logged.record;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: logged.id.to_string(),
            at: logged.at(),
            kind: record.what.kind(),
            message_id: some(&record.message_id),
            user: some(&record.user_login),
            correlation_id: record.correlation_id.map(|id| id.to_string()),
            told: telling::sentence(logged),
            detail: serde_json::to_value(&record.what).unwrap_or_default(),
        }
    }
}

/// What happened, and what it means when nothing is found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Events {
    /// The oldest first.
    items: Vec<EventLine>,
    /// Give it back as `cursor` for older ones; null when there are none.
    next_cursor: Option<String>,
    /// What follows from it, in sentences.
    conclusion: Vec<String>,
    /// When the channel may have missed something, the newest first.
    context: Vec<EventLine>,
    /// False when the store did not answer and only the node's memory was read.
    complete: bool,
}

/// Tells what happened to commands of a channel.
#[utoipa::path(get, path = "/api/v1/channels/{key}/events", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id"), EventsQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "What the event log has.", body = Envelope<Events>),
    (status = 400, description = "A wrong limit or cursor.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    Path(key): Path<String>,
    Queried(query): Queried<EventsQuery>,
) -> Answered<Events> {
    let (slot, limit, log) = (slot_of(&hub, &key)?, rows_of(query.limit)?, &hub.deps.events);
    let before = match query.cursor.as_deref().map(str::parse) {
        None => i64::MAX,
        Some(Ok(before)) => before,
        Some(Err(_)) => return Err(ApiError::invalid("cursor is not one of ours")),
    };
    // Cut as they were when they were noted.
    let message_id = query.message_id.as_deref().map(record::text);
    let user = query.user.as_deref().map(|login| record::name(&login.trim_start_matches('@').to_lowercase()));
    let filter = EventFilter { message_id: message_id.as_deref(), user_login: user.as_deref() };
    let Told { mut records, mut is_complete } = log.newest(slot.id, filter, before, limit).await;
    let oldest = records.last().map(|logged| logged.id);
    let next_cursor = oldest.filter(|_| records.len() >= limit as usize).map(|id| id.to_string());
    if filter.message_id.is_none() && filter.user_login.is_some() {
        // Replies and effects know their event, not its user.
        let others = log.companions(slot.id, &records).await;
        is_complete &= others.is_complete;
        records.extend(others.records);
    }
    records.sort_unstable_by_key(|logged| logged.id);
    records.dedup_by_key(|logged| logged.id);
    let context = log.context(slot.id, CONTEXT_ROWS).await.records;
    let asked = telling::Asked {
        is_on: log.recorder.is_on(),
        is_narrow: message_id.is_some() || user.is_some(),
        kept: log.kept,
    };
    ok(Events {
        conclusion: telling::conclusion(asked, &records, &context),
        items: records.iter().map(EventLine::from).collect(),
        next_cursor,
        context: context.iter().map(EventLine::from).collect(),
        complete: is_complete,
    })
}
