//! Questions that each node answers for its own part: all are asked at once, and who does not answer in time is named.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::peers::{self, FromPeer};
use super::router::Hub;
use crate::cluster::gateway::PeerAnswer;
use crate::cluster::{Gateway, Peer, PeerCall, PeerError};

/// A node's time for its part.
const PART_LIMIT: Duration = Duration::from_secs(2);
/// Nodes asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// A request as the other nodes are to get it.
#[derive(Debug)]
pub(super) struct Everywhere {
    /// A peer asks for this node's part only.
    only_here: bool,
    method: Method,
    path: String,
    headers: HeaderMap,
}

/// Which nodes are not in an answer.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Missing {
    /// True when a node did not answer in time.
    pub partial: bool,
    /// The nodes that did not.
    pub missing: Vec<String>,
}

/// What the other nodes answered.
#[derive(Debug)]
pub(super) struct Others<T> {
    /// By node.
    pub parts: Vec<(String, T)>,
    pub missing: Missing,
}

#[derive(Deserialize)]
struct Part<T> {
    data: T,
}

impl<S: Send + Sync> FromRequestParts<S> for Everywhere {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            only_here: parts.extensions.get::<FromPeer>().is_some(),
            method: parts.method.clone(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: peers::passed_on(&parts.headers),
        })
    }
}

impl Everywhere {
    /// Whether a peer asks, which goes no further.
    pub const fn only_here(&self) -> bool {
        self.only_here
    }

    /// The same request for one other node.
    pub fn call(&self, limit: Duration) -> PeerCall {
        self.call_with(&self.path, &Bytes::new(), limit)
    }

    /// Asks the other nodes for their parts of the same.
    pub async fn parts<T: DeserializeOwned>(&self, hub: &Hub) -> Others<T> {
        self.parts_of(hub, &self.path).await
    }

    /// Asks the other nodes for their parts of what stands at `path`.
    pub async fn parts_of<T: DeserializeOwned>(&self, hub: &Hub, path: &str) -> Others<T> {
        let mut others = Others { parts: Vec::new(), missing: Missing::default() };
        for (peer, answer) in self.ask(hub, path, &Bytes::new()).await {
            let part = answer.ok().and_then(|answer| serde_json::from_slice::<Part<T>>(&answer.body).ok());
            match part {
                Some(part) => others.parts.push((peer.node.0, part.data)),
                None => others.missing.missing.push(peer.node.0),
            }
        }
        others.parts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        others.missing.missing.sort_unstable();
        others.missing.partial = !others.missing.missing.is_empty();
        others
    }

    /// Sends the same request with that body to all other nodes.
    pub async fn send(&self, hub: &Hub, body: &Bytes) -> Vec<(Peer, Result<PeerAnswer, PeerError>)> {
        self.ask(hub, &self.path, body).await
    }

    /// In the order in which they answered.
    async fn ask(&self, hub: &Hub, path: &str, body: &Bytes) -> Vec<(Peer, Result<PeerAnswer, PeerError>)> {
        let Some(gateway) = hub.deps.gateway.as_ref().filter(|_| !self.only_here) else {
            return Vec::new();
        };
        stream::iter(gateway.peers())
            .map(|peer| self.ask_one(gateway, peer, (path, body)))
            .buffer_unordered(ASKED_AT_ONCE)
            .collect()
            .await
    }

    async fn ask_one(
        &self,
        gateway: &Gateway,
        peer: Peer,
        (path, body): (&str, &Bytes),
    ) -> (Peer, Result<PeerAnswer, PeerError>) {
        let answer = gateway.send(&peer, self.call_with(path, body, PART_LIMIT)).await;
        if let Err(error) = &answer {
            tracing::warn!(%error, "a node's part of an answer is missing");
        }
        (peer, answer)
    }

    fn call_with(&self, path: &str, body: &Bytes, limit: Duration) -> PeerCall {
        let (method, headers) = (self.method.clone(), self.headers.clone());
        PeerCall { method, path: path.to_owned(), headers, body: body.clone(), limit }
    }
}
