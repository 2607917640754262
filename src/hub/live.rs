//! What happens in a community while it happens: each node follows its own records ([`own`]), the node that was asked has the
//! others do the same and passes on what they say ([`merged`]).
//!
//! Nobody waits for who reads. Who reads too slowly finds that records went meanwhile and is told so by a `gap`; then the
//! event log has what is missing here.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use domain::CommunityId;
use serde::Serialize;
use storage::event_log::event_id;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::ApiError;
use super::router::Hub;

pub(super) mod merged;
pub(super) mod own;

/// Streams that a node gives at the same time.
const STREAMS_MAX: usize = 64;
/// Streams that it gives to other nodes, which pass them on.
const PARTS_MAX: usize = 256;
/// A stream without a record says this often that it is alive.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// Places for streams.
#[derive(Debug)]
pub(super) struct Places {
    streams: Arc<Semaphore>,
    parts: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self { streams: Arc::new(Semaphore::new(STREAMS_MAX)), parts: Arc::new(Semaphore::new(PARTS_MAX)) }
    }
}

/// What one stream is about.
pub(super) struct Follow {
    pub hub: Hub,
    pub community: CommunityId,
    /// The id of the last record that is known already.
    pub seen_to: i64,
    /// Given back with the stream's end.
    _place: OwnedSemaphorePermit,
}

impl Follow {
    /// Begins with what comes from now on, or after a record that is known.
    ///
    /// # Errors
    /// 409 when the node keeps no records, 503 when too many follow already.
    pub fn new(
        hub: Hub,
        community: CommunityId,
        seen_to: Option<i64>,
        for_peer: bool,
    ) -> Result<Self, ApiError> {
        if !hub.deps.events.recorder.is_on() {
            return Err(ApiError::conflict("the event log is off: set telemetry.event_log = true"));
        }
        let places = if for_peer { &hub.live.parts } else { &hub.live.streams };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_none| {
            ApiError::unavailable("too_many_streams", "too many follow this node already; ask another one", 5)
        })?;
        let seen_to = seen_to.unwrap_or_else(|| event_id(hub.deps.clock.now(), 0));
        Ok(Self { hub, community, seen_to, _place: place })
    }
}

/// A record's number among all of its node's in this stream: one that is missing was lost on the way.
#[derive(Serialize)]
struct Numbered<'a, T> {
    node: &'a str,
    seq: u64,
    channel: &'a str,
    #[serde(flatten)]
    line: T,
}

/// What a stream says of a node: `here` or `gap`.
#[derive(Serialize)]
struct Said<'a> {
    node: &'a str,
    why: &'a str,
}

/// The part of that node begins, or goes on.
fn here(node: &str) -> Bytes {
    frame("event: here\n", &Said { node, why: "its records follow" })
}

/// Something of that node may be missing.
fn gap(node: &str, why: &str) -> Bytes {
    frame("event: gap\n", &Said { node, why })
}

/// One event of a stream in the format of <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
fn frame(head: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{head}data: {data}\n\n").into()
}
