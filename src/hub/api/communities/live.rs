//! `GET /api/v1/communities/{community}/live`: what the bot does in a community, while it does it.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use domain::CommunityId;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use storage::event_log::{event_id, event_time};
use utoipa::IntoParams;

use crate::hub::answer::{ApiError, ErrorEnvelope};
use crate::hub::api::channels::stored;
use crate::hub::ask::{key_of, unknown_channel};
use crate::hub::input::Queried;
use crate::hub::live::{Follow, merged, own};
use crate::hub::peers::FromPeer;
use crate::hub::router::Hub;

/// What a client that comes back is told anew: records of several nodes come in about this order.
const OVERLAP: TimeDelta = TimeDelta::seconds(2);

/// Where the stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct LiveQuery {
    /// The id of a record: only later ones. `Last-Event-ID`, which browsers send when they come back, begins 2 s before that, so
    /// some may come twice, with the same id. Absent: from now on.
    after: Option<i64>,
}

/// Follows the channels of a community on all nodes: each record as it is noted, as server-sent events without an end.
///
/// `message` events are records, with the node's own count in `seq`; `here` says that a node's records follow; `gap` that some of a
/// node may be missing, which `GET /api/v1/channels/{key}/events` has.
#[utoipa::path(get, path = "/api/v1/communities/{community}/live", tag = "clients",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels."), LiveQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "Events, the first at once.", content_type = "text/event-stream", body = String),
    (status = 400, description = "No community of that name, or a wrong `after`.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope),
    (status = 409, description = "The event log is off.", body = ErrorEnvelope),
    (status = 503, description = "64 streams are open at this node.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(
    State(hub): State<Hub>,
    Path(name): Path<String>,
    Queried(query): Queried<LiveQuery>,
    peer: Option<Extension<FromPeer>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let community = find(&hub, &name).await?;
    let seen_to = query.after.or_else(|| resumed(&headers));
    let gateway = hub.deps.gateway.clone().filter(|_| peer.is_none());
    let follow = Follow::new(hub, community, seen_to, peer.is_some())?;
    let body = match gateway {
        Some(gateway) => {
            let path = format!("/api/v1/communities/{community}/live");
            stream(merged::frames(follow, gateway, path))
        }
        None => stream(own::frames(follow)),
    };
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, body).into_response())
}

fn stream(frames: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(frames.map(Ok::<_, Infallible>))
}

async fn find(hub: &Hub, name: &str) -> Result<CommunityId, ApiError> {
    let Some(id) = CommunityId::parse(name) else {
        let key = key_of(name)?;
        let channel = stored(hub, &key).await?;
        return channel.map(|channel| channel.community_id).ok_or_else(|| unknown_channel(&key));
    };
    match storage::communities::get(&hub.deps.db, id).await? {
        Some(community) => Ok(community.id),
        None => {
            Err(ApiError::not_found(format!("there is no community {id}; GET /api/v1/channels names them")))
        }
    }
}

/// Where a client goes on that was there before.
fn resumed(headers: &HeaderMap) -> Option<i64> {
    let last = headers.get("last-event-id")?.to_str().ok()?.parse().ok()?;
    Some(event_id(event_time(last) - OVERLAP, 0))
}
