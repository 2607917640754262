//! `POST` and `DELETE /api/v1/channels/{key}/recording`: keep all lines of a channel for a while.

use std::time::Duration;

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::recordings::{self, Recording};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Longest recording.
const RECORDING_MAX: Duration = Duration::from_hours(24);

/// How long to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewRecording {
    /// For example `1h` or `30m`, at most 24 h from now; it replaces the end of a running recording.
    #[serde(rename = "for")]
    #[schema(example = "1h")]
    duration: String,
}

/// A channel that is recorded, or no longer is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Recorded {
    key: String,
    /// Null when nothing is recorded any more.
    until: Option<DateTime<Utc>>,
    /// What whoever switches it on has to know.
    warning: Option<String>,
}

/// Keeps all lines of a channel, with their texts, for a while.
#[utoipa::path(post, path = "/api/v1/channels/{key}/recording", tag = "operators", request_body = NewRecording,
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is recorded until then.", body = Envelope<Recorded>),
    (status = 400, description = "That is no time, or longer than 24 h.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope),
    (status = 409, description = "The event log is off.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    Path(key): Path<String>,
    JsonBody(new): JsonBody<NewRecording>,
) -> Answered<Recorded> {
    let slot = slot_of(&hub, &key)?;
    if !hub.deps.events.recorder.is_on() {
        return Err(ApiError::conflict("the event log is off; set telemetry.event_log_days to 1 or more"));
    }
    let duration = domain::duration::parse_duration(&new.duration)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    if duration.is_zero() || duration > RECORDING_MAX {
        return Err(ApiError::invalid("a recording takes 1 s to 24 h, for example 1h"));
    }
    let (id, now, key) = (slot.id, hub.deps.clock.now(), slot.key());
    let until = now + duration;
    let entry = caller.entry("channel.record", key.clone());
    let recording = Recording { channel_id: id, until, started_by: entry.actor.clone() };
    let detail = serde_json::json!({ "until": until });
    let audit = AuditEntry { channel_id: Some(id), detail, ..entry };
    let done = caller
        .change(&hub, "channels.recording", Scope::Global, move |tx| {
            async move {
                recordings::start(tx, &recording, now).await?;
                Ok(Effect::new(until).audited(audit))
            }
            .boxed()
        })
        .await?;
    // A repeat says when the first one ends.
    let until = done.outcome;
    hub.deps.directory.record(id, Some(until));
    let days = hub.deps.events.kept.num_days();
    let warning = format!(
        "what viewers write in {key} is kept as it stands until then, and for {days} days after; tell them where the law \
         asks for it"
    );
    ok(Recorded { key, until: Some(until), warning: Some(warning) })
}

/// Ends a recording; what it kept stays as long as the log does.
#[utoipa::path(delete, path = "/api/v1/channels/{key}/recording", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "Nothing is recorded any more.", body = Envelope<Recorded>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there, or nothing is recorded.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path(key): Path<String>,
) -> Answered<Recorded> {
    let slot = slot_of(&hub, &key)?;
    let (id, now, key) = (slot.id, hub.deps.clock.now(), slot.key());
    let audit = AuditEntry { channel_id: Some(id), ..caller.entry("channel.record_end", key.clone()) };
    let done = caller
        .change(&hub, "channels.recording.end", Scope::Global, move |tx| {
            async move {
                let ended = recordings::stop(tx, id, now).await?;
                let effect = Effect::new(ended);
                Ok(if ended { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    hub.deps.directory.record(id, None);
    if !done.outcome {
        return Err(ApiError::not_found(format!("{key} is not recorded")));
    }
    ok(Recorded { key, until: None, warning: None })
}
