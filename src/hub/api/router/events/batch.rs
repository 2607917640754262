//! `POST /api/v1/router/events/batch`: 1 to 100 events; each has its own end.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Handled, Queued, RouterEvent, Waiting, accept, accept_later, answer_later};
use crate::cluster::{Peer, PeerCall};
use crate::hub::answer::{ApiError, Envelope, ErrorBody, ErrorEnvelope, ok};
use crate::hub::input::{BATCH_BYTES_MAX, IdempotencyKey, JsonBody, RespondAsync};
use crate::hub::peers::{self, FromPeer};
use crate::hub::router::Hub;
use crate::hub::trace::RequestIds;

/// Where the owner takes one.
const ONE_EVENT: &str = "/api/v1/router/events";

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
    /// The same, said by the node that has the channel.
    #[schema(value_type = Object)]
    Elsewhere(Value),
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
    (headers, from_peer): (HeaderMap, Option<Extension<FromPeer>>),
    wishes: (IdempotencyKey, RespondAsync),
    JsonBody(batch): JsonBody<Batch, BATCH_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let (IdempotencyKey(key), RespondAsync(is_async)) = wishes;
    if batch.events.is_empty() || batch.events.len() > EVENTS_MAX {
        return Err(ApiError::invalid(format!("events must hold 1 to {EVENTS_MAX} events")));
    }
    let key_of = |place: usize| key.as_ref().map(|key| format!("{key}:{place}"));
    let events = batch.events.into_iter().enumerate().map(|(place, event)| (event, key_of(place)));
    let is_last_hop = from_peer.is_some() || hub.deps.gateway.is_none();
    if is_async && is_last_hop {
        let queued = accept_later(&hub, &ids, events.collect()).await?;
        let results =
            queued.into_iter().map(|result| result.map_or_else(refused, BatchItem::Queued)).collect();
        return Ok(answer_later(BatchHandled { results }));
    }
    if !is_last_hop {
        return each_at_its_owner(&hub, &ids, events.collect(), (is_async, headers)).await;
    }
    let accepted: Vec<_> = events.map(|(event, key)| accept(&hub, &ids, event, key)).collect();
    let results = join_all(accepted.into_iter().map(finish)).await;
    Ok(ok(BatchHandled { results }).into_response())
}

/// In a cluster each event goes to the node that has its channel; events of one channel keep their order.
async fn each_at_its_owner(
    hub: &Hub,
    ids: &RequestIds,
    events: Vec<(RouterEvent, Option<String>)>,
    (is_async, headers): (bool, HeaderMap),
) -> Result<Response, ApiError> {
    let mut here: Vec<(usize, Waiting)> = Vec::new();
    let mut results: Vec<Option<BatchItem>> = Vec::new();
    results.resize_with(events.len(), || None);
    let mut there: BTreeMap<String, Vec<(usize, Peer, PeerCall)>> = BTreeMap::new();
    for (place, (event, key)) in events.into_iter().enumerate() {
        let channel = match event.channel() {
            Ok(channel) => channel,
            Err(error) => {
                results[place] = Some(refused(error));
                continue;
            }
        };
        if let Some(peer) = peers::elsewhere(hub, &channel) {
            let call = event.call(ONE_EVENT, with_key(peers::passed_on(&headers), key.as_deref()));
            there.entry(channel.to_string()).or_default().push((place, peer, call));
        } else if is_async {
            let queued = accept_later(hub, ids, vec![(event, key)]).await?.remove(0);
            results[place] = Some(queued.map_or_else(refused, BatchItem::Queued));
        } else {
            match accept(hub, ids, event, key) {
                Ok(waiting) => here.push((place, waiting)),
                Err(error) => results[place] = Some(refused(error)),
            }
        }
    }
    let of_channel = |calls: Vec<(usize, Peer, PeerCall)>| async move {
        let mut said = Vec::with_capacity(calls.len());
        for (place, peer, call) in calls {
            said.push((place, at_owner(hub, &peer, call).await));
        }
        said
    };
    let finished = async |(place, waiting): (usize, Waiting)| (place, finish(Ok(waiting)).await);
    let (said, finished) =
        tokio::join!(join_all(there.into_values().map(of_channel)), join_all(here.into_iter().map(finished)));
    for (place, item) in said.into_iter().flatten().chain(finished) {
        results[place] = Some(item);
    }
    let results = results.into_iter().flatten().collect();
    Ok(if is_async {
        answer_later(BatchHandled { results })
    } else {
        ok(BatchHandled { results }).into_response()
    })
}

fn with_key(mut headers: HeaderMap, key: Option<&str>) -> HeaderMap {
    headers.remove("idempotency-key");
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
        headers.insert("idempotency-key", key);
    }
    headers
}

/// What the owner says of one event.
async fn at_owner(hub: &Hub, peer: &Peer, call: PeerCall) -> BatchItem {
    let answer = match peers::ask(hub, peer, call).await {
        Ok(answer) => answer,
        Err(error) => return refused(error),
    };
    let mut envelope: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        return BatchItem::Elsewhere(envelope["data"].take());
    }
    BatchItem::Elsewhere(serde_json::json!({ "success": false, "error": envelope["error"].take() }))
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
