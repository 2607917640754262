//! What all nodes noted of a community's channels: this node's own part, and those of the others as they send them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::body::Bytes;
use bytes::BytesMut;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Follow, gap, own};
use crate::cluster::{Gateway, Peer, PeerCall};
use crate::hub::router::Hub;

/// Between two looks at who is there.
const PEERS_EVERY: Duration = Duration::from_secs(1);
/// A part without a sign of life for so long is given up; longer than the wait for one.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Longest frame of another node.
const FRAME_BYTES_MAX: usize = 256 << 10;

/// What came from a part.
enum Heard {
    Own(Bytes),
    Frame(Peer, Bytes),
    Ended(Peer, String),
}

struct Merged {
    hub: Hub,
    gateway: Gateway,
    /// The same stream at another node, without its query.
    path: String,
    began_at: i64,
    parts: SelectAll<BoxStream<'static, Heard>>,
    asked: HashSet<Peer>,
    /// The last record that came from each.
    seen_to: HashMap<Peer, i64>,
    /// Their gaps were told.
    lost: HashSet<Peer>,
    look: Interval,
}

/// The records of all nodes as frames, until the node stops. `path` is where they are asked.
pub(in crate::hub) fn frames(
    follow: Follow,
    gateway: Gateway,
    path: String,
) -> impl Stream<Item = Bytes> + Send {
    let mut look = interval(PEERS_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (hub, began_at) = (follow.hub.clone(), follow.seen_to);
    let mut parts = SelectAll::new();
    parts.push(own::frames(follow).map(Heard::Own).boxed());
    let merged = Merged {
        hub,
        gateway,
        path,
        began_at,
        parts,
        asked: HashSet::new(),
        seen_to: HashMap::new(),
        lost: HashSet::new(),
        look,
    };
    stream::unfold(merged, |mut merged| async move { merged.next().await.map(|bytes| (bytes, merged)) })
}

impl Merged {
    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.hub.deps.stop.clone();
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => return None,
                _ = self.look.tick() => { self.ask_who_is_new(); continue }
                heard = self.parts.next() => heard?,
            };
            match heard {
                Heard::Own(bytes) => return Some(bytes),
                // The node's own signs are enough for who reads.
                Heard::Frame(_, bytes) if bytes.starts_with(b":") => {}
                Heard::Frame(peer, bytes) => {
                    self.lost.remove(&peer);
                    if let Some(id) = id_of(&bytes) {
                        self.seen_to.insert(peer, id);
                    }
                    return Some(bytes);
                }
                Heard::Ended(peer, why) => {
                    self.asked.remove(&peer);
                    let told = gap(&peer.node.0, &why);
                    if self.lost.insert(peer) {
                        return Some(told);
                    }
                }
            }
        }
    }

    /// Asks each node that is not asked yet, or no more, from its last record on.
    fn ask_who_is_new(&mut self) {
        let peers = self.gateway.peers();
        self.lost.retain(|peer| peers.contains(peer));
        self.seen_to.retain(|peer, _| peers.contains(peer));
        for peer in peers {
            if !self.asked.insert(peer.clone()) {
                continue;
            }
            let after = self.seen_to.get(&peer).copied().unwrap_or(self.began_at);
            let path = format!("{}?after={after}", self.path);
            let part = Part {
                gateway: self.gateway.clone(),
                peer,
                path,
                response: None,
                buffer: BytesMut::new(),
                is_over: false,
            };
            let heard =
                stream::unfold(part, |mut part| async move { part.next().await.map(|heard| (heard, part)) });
            self.parts.push(heard.boxed());
        }
    }
}

/// The id of the record in a frame.
fn id_of(frame: &[u8]) -> Option<i64> {
    let line = frame.strip_prefix(b"id: ")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// The stream of one other node.
struct Part {
    gateway: Gateway,
    peer: Peer,
    path: String,
    response: Option<reqwest::Response>,
    buffer: BytesMut,
    is_over: bool,
}

impl Part {
    /// The next frame; the last thing heard is why there are no more.
    async fn next(&mut self) -> Option<Heard> {
        if self.is_over {
            return None;
        }
        let frame = tokio::time::timeout(SILENCE_MAX, self.frame()).await;
        let why = match frame {
            Ok(Ok(bytes)) => return Some(Heard::Frame(self.peer.clone(), bytes)),
            Ok(Err(why)) => why,
            Err(_elapsed) => format!("it was silent for {SILENCE_MAX:?}"),
        };
        self.is_over = true;
        Some(Heard::Ended(self.peer.clone(), why))
    }

    async fn frame(&mut self) -> Result<Bytes, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                return Ok(self.buffer.split_to(end + 2).freeze());
            }
            if self.buffer.len() > FRAME_BYTES_MAX {
                return Err("it said something without an end".to_owned());
            }
            let response = match &mut self.response {
                Some(response) => response,
                none => none.insert(begin(&self.gateway, &self.peer, &self.path).await?),
            };
            match response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Err("it ended".to_owned()),
                Err(error) => return Err(format!("it broke off: {error}")),
            }
        }
    }
}

async fn begin(gateway: &Gateway, peer: &Peer, path: &str) -> Result<reqwest::Response, String> {
    let call = PeerCall {
        method: Method::GET,
        path: path.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        limit: SILENCE_MAX,
    };
    let response = gateway.begin(peer, call).await.map_err(|error| error.to_string())?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(format!("it answered {status}")),
    }
}
