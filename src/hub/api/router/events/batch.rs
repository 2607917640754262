//! `POST /api/v1/router/events/batch`: 1 to 100 events; each has its own end.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Handled, Queued, RouterEvent, Waiting, accept, accept_later, answer_later};
use crate::hub::answer::{ApiError, Envelope, ErrorBody, ErrorEnvelope, ok};
use crate::hub::input::{BATCH_BYTES_MAX, IdempotencyKey, JsonBody, RespondAsync};
use crate::hub::router::Hub;
use crate::hub::trace::RequestIds;

/// Most events of one batch.
const EVENTS_MAX: usize = 100;

/// Several events.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct Batch {
    /// 1 to 100, handled in this order where they share a channel.
    events: Vec<RouterEvent>,
}

/// How one event of a batch ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::hub) enum BatchItem {
    Handled(Box<Handled>),
    /// With `Prefer: respond-async`.
    Queued(Queued),
    Refused {
        success: bool,
        error: ErrorBody,
    },
}

/// How the events ended, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct BatchHandled {
    results: Vec<BatchItem>,
}

/// Handles several events.
#[utoipa::path(post, path = "/api/v1/router/events/batch", tag = "router", request_body = Batch,
    security(("service_key" = [])), responses(
    (status = 200, description = "Each event's own end, errors too.", body = Envelope<BatchHandled>),
    (status = 202, description = "With `Prefer: respond-async`: each event's own acceptance.",
        body = Envelope<BatchHandled>),
    (status = 400, description = "No event, too many, or a field is unknown or missing.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 413, description = "More than 1 MiB.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    Extension(ids): Extension<RequestIds>,
    IdempotencyKey(key): IdempotencyKey,
    RespondAsync(is_async): RespondAsync,
    JsonBody(batch): JsonBody<Batch, BATCH_BYTES_MAX>,
) -> Result<Response, ApiError> {
    if batch.events.is_empty() || batch.events.len() > EVENTS_MAX {
        return Err(ApiError::invalid(format!("events must hold 1 to {EVENTS_MAX} events")));
    }
    let key_of = |place: usize| key.as_ref().map(|key| format!("{key}:{place}"));
    let events = batch.events.into_iter().enumerate().map(|(place, event)| (event, key_of(place)));
    if is_async {
        let queued = accept_later(&hub, &ids, events.collect()).await?;
        let results =
            queued.into_iter().map(|result| result.map_or_else(refused, BatchItem::Queued)).collect();
        return Ok(answer_later(BatchHandled { results }));
    }
    let accepted: Vec<_> = events.map(|(event, key)| accept(&hub, &ids, event, key)).collect();
    let results = join_all(accepted.into_iter().map(finish)).await;
    Ok(ok(BatchHandled { results }).into_response())
}

async fn finish(accepted: Result<Waiting, ApiError>) -> BatchItem {
    let ended = match accepted {
        Ok(waiting) => waiting.finish().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(handled) => BatchItem::Handled(Box::new(handled)),
        Err(error) => refused(error),
    }
}

fn refused(error: ApiError) -> BatchItem {
    BatchItem::Refused { success: false, error: error.body() }
}
