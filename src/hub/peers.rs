//! The node's side of calls between nodes: the API as everybody has it, behind the cluster's cookie, and what only peers ask.
//!
//! A request for a channel that another node owns is handed to that one, once: what came from a peer goes no further.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequestParts, RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::ChannelKey;
use membership::OwnedKey;
use rustls::ServerConfig;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

use super::answer::ApiError;
use super::router::Hub;
use crate::cluster::gateway::{COOKIE, EVENTS, FREED, PeerAnswer};
use crate::cluster::relay::{self, Relayed, Taken};
use crate::cluster::{Peer, PeerCall, PeerError, links};
use crate::messages::ChatEvent;

/// A forwarded call's time: less than a request has, more than an event.
pub(super) const FORWARD_LIMIT: Duration = Duration::from_secs(8);
/// Longest wait for what the database says of a silent owner.
const EPOCH_LIMIT: Duration = Duration::from_millis(500);
/// Largest forwarded body; the endpoint itself may allow less.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of what peers tell each other.
const PEER_BODY_BYTES_MAX: usize = 4 << 20;

/// Headers that go along with a forwarded call.
const PASSED_ON: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-acting-user"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-read-after"),
];
/// Headers that come back with its answer.
const PASSED_BACK: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("x-read-after"),
];

/// Stands beside a request that came from another node.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromPeer;

/// Where the other nodes dial.
#[derive(Debug)]
pub struct PeerListener {
    pub listener: TcpListener,
    /// `None`: links are not encrypted.
    pub tls: Option<Arc<ServerConfig>>,
    /// What the nodes of the cluster know each other by.
    pub cookie: SecretString,
}

/// Everything that a peer may ask: the API, and what nodes ask each other.
pub(super) fn router(hub: &Hub, api: Router, cookie: SecretString) -> Router {
    let only_peers = Router::new()
        .route(links::PATH, get(link))
        .route(EVENTS, post(take_event))
        .route(FREED, post(freed))
        .route(relay::PATH, post(take_relayed))
        .layer(DefaultBodyLimit::max(PEER_BODY_BYTES_MAX))
        .with_state(hub.clone());
    api.merge(only_peers).layer(from_fn_with_state(cookie, require_cookie))
}

/// Lets nobody in but who knows the cookie.
async fn require_cookie(State(cookie): State<SecretString>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(COOKIE).map_or(&b""[..], |value| value.as_bytes());
    if !bool::from(given.ct_eq(cookie.expose_secret().as_bytes())) {
        tracing::warn!("a call to cluster.listen without the right cookie was refused");
        return StatusCode::UNAUTHORIZED.into_response();
    }
    request.headers_mut().remove(COOKIE);
    request.extensions_mut().insert(FromPeer);
    next.run(request).await
}

/// A byte a second without end.
async fn link() -> Response {
    let signs =
        futures_util::stream::unfold(tokio::time::interval(links::SIGN_EVERY), |mut interval| async {
            interval.tick().await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b".")), interval))
        });
    Body::from_stream(signs).into_response()
}

async fn take_event(State(hub): State<Hub>, Json(event): Json<ChatEvent>) -> Response {
    match hub.deps.operator.deliver(event).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(not_delivered) => (StatusCode::CONFLICT, Json(not_delivered)).into_response(),
    }
}

async fn freed(State(hub): State<Hub>, Json(keys): Json<Vec<OwnedKey>>) -> StatusCode {
    hub.deps.operator.freed(keys).await;
    StatusCode::NO_CONTENT
}

/// What another node still hears of channels that it gave to this one.
async fn take_relayed(State(hub): State<Hub>, Json(batch): Json<Vec<Relayed>>) -> Json<Vec<Taken>> {
    Json(relay::take(&hub.deps.directory, &hub.deps.clock, batch))
}

/// The owner of a channel that is not here; `None` when this node should answer.
pub(super) fn elsewhere(hub: &Hub, key: &ChannelKey) -> Option<Peer> {
    let gateway = hub.deps.gateway.as_ref()?;
    if hub.deps.directory.find(key).is_some() {
        return None;
    }
    gateway.owner(hub.deps.directory.roster()?.find(key)?)
}

/// Hands a request whose path names a channel of another node to that node.
pub(super) async fn to_owner(
    State(hub): State<Hub>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let key = match RawPathParams::from_request_parts(&mut parts, &hub).await {
        Ok(params) if parts.extensions.get::<FromPeer>().is_none() => {
            params.iter().find(|(name, _)| *name == "key").and_then(|(_, key)| key.parse().ok())
        }
        _ => None,
    };
    let owner = key.and_then(|key: ChannelKey| Some((elsewhere(&hub, &key)?, key)));
    let Some((peer, key)) = owner else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_too_long| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "the body is longer than 1 MiB")
    })?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let call = PeerCall {
        method: parts.method,
        path,
        headers: passed_on(&parts.headers),
        body,
        limit: FORWARD_LIMIT,
    };
    match ask(&hub, &peer, call).await {
        Ok(answer) => Ok(answered(answer)),
        Err(error) => Err(with_epoch(&hub, &key, error).await),
    }
}

/// Asks a node and gives its answer back as it is.
///
/// # Errors
/// 503 with Retry-After when it does not answer.
pub(super) async fn forward(hub: &Hub, peer: &Peer, call: PeerCall) -> Result<Response, ApiError> {
    Ok(answered(ask(hub, peer, call).await?))
}

/// A node's answer as a caller gets it.
pub(super) fn answered(answer: PeerAnswer) -> Response {
    let PeerAnswer { status, headers, body } = answer;
    let mut response = (status, body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for name in PASSED_BACK {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Asks a node.
///
/// # Errors
/// 503 with Retry-After when it does not answer.
pub(super) async fn ask(hub: &Hub, peer: &Peer, call: PeerCall) -> Result<PeerAnswer, ApiError> {
    let silent = || {
        let text = format!("the node {} does not answer; try again in a moment", peer.node);
        ApiError::unavailable("owner_silent", text, 1).details(serde_json::json!({ "owner": peer.node.0 }))
    };
    let Some(gateway) = &hub.deps.gateway else { return Err(silent()) };
    gateway.send(peer, call).await.map_err(|error: PeerError| {
        tracing::debug!(%error, "a call could not be handed to another node");
        silent()
    })
}

/// Adds to the error of a channel's silent owner under which epoch it owns the channel, if that is known in time.
async fn with_epoch(hub: &Hub, key: &ChannelKey, error: ApiError) -> ApiError {
    let Some(id) = hub.deps.directory.roster().and_then(|roster| roster.find(key)) else { return error };
    let key = OwnedKey(format!("channel:{id}"));
    match tokio::time::timeout(EPOCH_LIMIT, storage::cluster::owner(&hub.deps.db, &key)).await {
        Ok(Ok(Some(owner))) => {
            error.details(serde_json::json!({ "owner": owner.node, "epoch": owner.epoch }))
        }
        _ => error,
    }
}

/// What of a caller's headers the owner gets to see.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    PASSED_ON.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}
