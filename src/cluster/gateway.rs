//! Calls from one node of the cluster to another: HTTP over TLS, with the cluster's own authority on both sides.
//!
//! Every call has a time limit and goes one hop: whoever gets one answers it or says that it cannot. What is asked is what
//! the hub answers anyway, so a node needs no second interface for its peers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::ChannelId;
use membership::ask::{Role, View};
use membership::{Incarnation, NodeId, Place, Placement};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::member::{Member, Seen};
use super::peer_tls::PeerTls;
use super::roster::Roster;

/// Carries the cluster's cookie.
pub const COOKIE: &str = "x-waddlebot-cookie";
/// Where a node takes events for its channels from others.
pub const EVENTS: &str = "/peer/events";
/// Where a node is told which keys are free for it.
pub const FREED: &str = "/peer/freed";
/// Longest answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a process that is no member any more may still answer: one that leaves does.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// Idle connections that are kept to each peer.
const IDLE_MAX: usize = 8;

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub node: NodeId,
    pub incarnation: Incarnation,
    /// `host:port`.
    pub address: String,
}

/// What a peer said.
#[derive(Debug)]
pub struct PeerAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A peer did not answer; whether it did what it was asked is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node {node} did not answer: {why}")]
pub struct PeerError {
    pub node: NodeId,
    pub why: String,
}

/// One call.
#[derive(Debug)]
pub struct PeerCall {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub limit: Duration,
}

impl PeerCall {
    /// A POST of JSON.
    pub fn json(path: &str, body: Vec<u8>, limit: Duration) -> Self {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(reqwest::header::CONTENT_TYPE, json)]);
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into(), limit }
    }
}

/// The way to the other nodes. A clone is the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    scheme: &'static str,
    cookie: SecretString,
    me: Incarnation,
    member: Member,
    roster: Arc<Roster>,
    virtual_nodes: u32,
    /// The rings of the view that was asked for last.
    placed: Mutex<Arc<(View, Placement)>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("me", &self.0.me).finish_non_exhaustive()
    }
}

/// What a gateway is made from.
#[derive(Debug)]
pub struct GatewayOptions {
    /// `None`: links are not encrypted.
    pub tls: Option<PeerTls>,
    pub cookie: SecretString,
    pub me: Incarnation,
    pub member: Member,
    pub roster: Arc<Roster>,
    pub virtual_nodes: u32,
}

impl Gateway {
    /// # Errors
    /// When the client cannot be made of the certificates.
    pub fn new(options: GatewayOptions) -> Result<Self, reqwest::Error> {
        let GatewayOptions { tls, cookie, me, member, roster, virtual_nodes } = options;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_nodelay(true);
        let client = match tls {
            Some(tls) => client.tls_backend_preconfigured(tls.client),
            None => client,
        };
        let (client, placed) = (client.build()?, Mutex::default());
        Ok(Self(Arc::new(Inner { client, scheme, cookie, me, member, roster, virtual_nodes, placed })))
    }

    /// The other node that a channel's pin or the ring names. `None`: this one, or nobody.
    pub fn owner(&self, id: ChannelId) -> Option<Peer> {
        let node = self.placed_at(&self.0.roster.place(id)?)?;
        self.peers().into_iter().find(|peer| peer.node == node)
    }

    /// The node that the ring names for a channel without its pin. `None`: nobody.
    pub fn owner_unpinned(&self, id: ChannelId) -> Option<NodeId> {
        self.placed_at(&Place { pin: None, ..self.0.roster.place(id)? })
    }

    fn placed_at(&self, place: &Place) -> Option<NodeId> {
        self.placed().1.owner(place).cloned()
    }

    /// The nodes that can own channels, this one too.
    pub fn owners(&self) -> Vec<NodeId> {
        let placed = self.placed();
        let seats = placed.0.members.iter().filter(|seat| seat.roles.contains(&Role::Channels));
        seats.map(|seat| seat.node.clone()).collect()
    }

    /// Every other node that is not dead.
    pub fn peers(&self) -> Vec<Peer> {
        let seen = self.0.member.seen();
        let seen = seen.borrow();
        let others = seen.members.iter().filter(|member| member.seat.incarnation != self.0.me);
        others
            .map(|member| Peer {
                node: member.seat.node.clone(),
                incarnation: member.seat.incarnation,
                address: member.address.clone(),
            })
            .collect()
    }

    /// Keys that this node hands over, and keys that fall to it and are not yet its own.
    pub fn moves(&self) -> (usize, usize) {
        let seen = self.0.member.seen();
        let seen = seen.borrow();
        (seen.n_leaving, seen.n_awaited)
    }

    fn placed(&self) -> Arc<(View, Placement)> {
        let seen = self.0.member.seen();
        let seen = seen.borrow();
        let mut placed = self.0.placed.lock().unwrap_or_else(PoisonError::into_inner);
        if placed.0.version != seen.view.version {
            let placement = Placement::new(&seen.view, self.0.virtual_nodes);
            *placed = Arc::new((seen.view.clone(), placement));
        }
        Arc::clone(&placed)
    }

    /// Asks a peer.
    ///
    /// # Errors
    /// When there was no whole answer in time, or a longer one than 4 MiB, or when the peer was found dead meanwhile. A
    /// repeat helps, if the call can be repeated: it goes to the next owner.
    pub async fn send(&self, peer: &Peer, call: PeerCall) -> Result<PeerAnswer, PeerError> {
        let limit = call.limit;
        let answer = async {
            let mut response = self.begin(peer, call).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| failed(peer, &error))? {
                if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return Err(PeerError { node: peer.node.clone(), why: "too long an answer".to_owned() });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(PeerAnswer { status, headers, body: body.freeze() })
        };
        let failed = |why: String| PeerError { node: peer.node.clone(), why };
        tokio::select! {
            answer = tokio::time::timeout(limit, answer) => {
                answer.unwrap_or_else(|_elapsed| Err(failed(format!("not within {limit:?}"))))
            }
            () = self.gone(peer) => Err(failed("it is dead".to_owned())),
        }
    }

    /// Waits until the peer's process is no member any more, and its last answers are through.
    async fn gone(&self, peer: &Peer) {
        let mut seen = self.0.member.seen();
        let is_gone = |seen: &Seen| seen.members.iter().all(|one| one.seat.incarnation != peer.incarnation);
        // The member's thread ended: nothing is known of anybody any more, and the call's own limit ends it.
        if seen.wait_for(is_gone).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_ANSWERS).await;
    }

    /// Begins to ask a peer whose answer has no end. [`PeerCall::limit`] is the caller's to keep.
    ///
    /// # Errors
    /// When the peer cannot be reached.
    pub async fn begin(&self, peer: &Peer, call: PeerCall) -> Result<reqwest::Response, PeerError> {
        let Inner { client, scheme, cookie, .. } = &*self.0;
        let url = format!("{scheme}://{}{}", peer.address, call.path);
        let request = client.request(call.method, url).headers(call.headers).body(call.body);
        let sent = request.header(COOKIE, cookie.expose_secret()).send().await;
        sent.map_err(|error| failed(peer, &error))
    }
}

fn failed(peer: &Peer, error: &reqwest::Error) -> PeerError {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        why = error.to_string();
        cause = error.source();
    }
    PeerError { node: peer.node.clone(), why }
}
