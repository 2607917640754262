//! An event whose caller does not wait: stored in the queue, handled later, its replies go to its channel's platform.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use storage::queue::{NewMessage, Stored};
use utoipa::ToSchema;

use super::event::{Receipt, RouterEvent};
use super::new_session;
use crate::hub::answer::{Answer, ApiError};
use crate::hub::ask::not_here;
use crate::hub::router::Hub;
use crate::hub::trace::RequestIds;
use crate::messages::ChatEvent;
use crate::queue::ROUTER_EVENTS;

/// An event that is stored and will be handled.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Queued {
    success: bool,
    /// The id of this handling, in every log line about it; a redelivery gets that of the first delivery.
    session_id: String,
    /// `queued`.
    status: &'static str,
    /// True when it was stored before, under the same `message_id` or `Idempotency-Key`.
    duplicate: bool,
}

/// Checks events and stores those that are good, in one batch; each has its own end.
///
/// # Errors
/// 503 when the storage does not answer or the queue is full: nothing is stored then.
pub(super) async fn accept_later(
    hub: &Hub,
    ids: &RequestIds,
    events: Vec<(RouterEvent, Option<String>)>,
) -> Result<Vec<Result<Queued, ApiError>>, ApiError> {
    let checked: Vec<Result<(NewMessage, String), ApiError>> =
        events.into_iter().map(|(event, key)| message_of(hub, ids, event, key)).collect();
    let messages: Vec<NewMessage> =
        checked.iter().filter_map(|checked| Some(checked.as_ref().ok()?.0.clone())).collect();
    let mut stored = hub.deps.queue.enqueue(&messages).await?;
    let mut results = Vec::with_capacity(checked.len());
    for checked in checked {
        results.push(match checked {
            Ok((message, session_id)) => Ok(queued(hub, &message, session_id, &mut stored).await?),
            Err(error) => Err(error),
        });
    }
    Ok(results)
}

fn message_of(
    hub: &Hub,
    ids: &RequestIds,
    event: RouterEvent,
    idempotency_key: Option<String>,
) -> Result<(NewMessage, String), ApiError> {
    let key = event.channel()?;
    let slot = hub.deps.directory.find(&key).ok_or_else(|| not_here(hub, &key))?;
    let session_id = new_session();
    let receipt = Receipt {
        received_at: hub.deps.clock.now(),
        session_id,
        traceparent: ids.traceparent.as_deref().map(str::to_owned),
        idempotency_key,
    };
    let event = event.into_chat(&slot, receipt)?;
    let session_id = session_id.to_string();
    let id = event.message_id.as_deref().unwrap_or(&session_id);
    // Two channels may use the same id.
    let message_id = format!("{}:{id}", slot.id);
    let message =
        NewMessage::new(ROUTER_EVENTS, slot.id.to_string(), message_id, &event).map_err(|error| {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", error.to_string())
        })?;
    Ok((message, session_id))
}

/// What the caller is told. The first one of an id in the batch is the one that was stored, the others repeat it.
async fn queued(
    hub: &Hub,
    message: &NewMessage,
    session_id: String,
    stored: &mut Vec<Stored>,
) -> Result<Queued, ApiError> {
    let place = stored.iter().position(|stored| stored.message_id == message.message_id());
    if let Some(place) = place {
        stored.swap_remove(place);
        return Ok(Queued { success: true, session_id, status: "queued", duplicate: false });
    }
    let body = storage::queue::body_of(&hub.deps.db, ROUTER_EVENTS, message.message_id()).await?;
    let first = body.and_then(|body| serde_json::from_str::<ChatEvent>(&body).ok());
    let session_id = first.map_or(session_id, |event| event.correlation_id.to_string());
    metrics::counter!("waddlebot_duplicates_suppressed_total", "source" => "queue").increment(1);
    Ok(Queued { success: true, session_id, status: "queued", duplicate: true })
}

/// 202, and a word that the wish was heard.
pub(super) fn answer_later(data: impl Serialize) -> Response {
    let mut response = Answer(StatusCode::ACCEPTED, data).into_response();
    let name = HeaderName::from_static("preference-applied");
    response.headers_mut().insert(name, HeaderValue::from_static("respond-async"));
    response
}
