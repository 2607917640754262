//! What this node noted of a community's channels, as it notes it.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::{Follow, Numbered, SIGN_EVERY, frame, gap, here};
use crate::hub::api::channels::events::EventLine;
use crate::messages::Logged;

/// Between two looks at what is new.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Records that one look reads, of all channels.
const LOOK_MAX: usize = 1_024;

struct Own {
    follow: Follow,
    look: Interval,
    seq: u64,
    said_at: Instant,
    has_begun: bool,
}

/// The records as frames, until the node stops.
pub(in crate::hub) fn frames(follow: Follow) -> impl Stream<Item = Bytes> + Send {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let own = Own { follow, look, seq: 0, said_at: Instant::now(), has_begun: false };
    stream::unfold(own, |mut own| async move { own.next().await.map(|bytes| (bytes, own)) })
}

impl Own {
    async fn next(&mut self) -> Option<Bytes> {
        let hub = self.follow.hub.clone();
        let node = hub.deps.node.id.as_str();
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(here(node));
        }
        loop {
            tokio::select! {
                () = hub.deps.stop.cancelled() => return None,
                _ = self.look.tick() => {}
            }
            let found = hub.deps.events.recorder.after(self.follow.seen_to, LOOK_MAX);
            self.follow.seen_to = found.seen_to;
            if found.records.len() == LOOK_MAX {
                self.look.reset_immediately();
            }
            let mut said = Vec::new();
            if !found.is_whole {
                said.extend_from_slice(&gap(node, "records came faster than they were read"));
            }
            for logged in &found.records {
                if let Some(bytes) = self.told(node, logged) {
                    said.extend_from_slice(&bytes);
                }
            }
            if said.is_empty() && self.said_at.elapsed() >= SIGN_EVERY {
                said.extend_from_slice(b":\n\n");
            }
            if !said.is_empty() {
                self.said_at = Instant::now();
                return Some(said.into());
            }
        }
    }

    /// `None` for what concerns no channel of the community.
    fn told(&mut self, node: &str, logged: &Logged) -> Option<Bytes> {
        let id = logged.record.channel_id?;
        let slot = self.follow.hub.deps.directory.get_even_ending(id)?;
        if slot.community_id != self.follow.community {
            return None;
        }
        self.seq += 1;
        let numbered = Numbered { node, seq: self.seq, channel: &slot.key(), line: EventLine::from(logged) };
        Some(frame(&format!("id: {}\n", logged.id), &numbered))
    }
}
