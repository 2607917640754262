//! Channels on their way to another node, which are still heard here.
//!
//! In a planned move the new owner joins the channel on its platform before the old one parts. Meanwhile what the old
//! owner hears is kept, handed to the new owner as soon as there is one, and known there by its id if it was heard
//! twice. So a line is answered once, and none is lost between a PART and a JOIN.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::{ChannelId, Outcome};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::directory::Directory;
use super::gateway::{Gateway, Peer, PeerCall};
use super::slot::ChannelSlot;
use crate::messages::{ChatEvent, Clock, Completion, Delivery, Offer, ReplySink};

/// Where a node takes over what others still hear of its channels.
pub const PATH: &str = "/peer/relay";
/// Events that are kept for one channel; more are shed and counted.
const EVENTS_MAX: usize = 256;
/// A channel whose new owner does not hear it after that time is parted all the same. Above the platform's window for JOINs.
const HOLD_MAX: Duration = Duration::from_secs(12);
/// Channels on their way at once. The account's JOINs are rationed: those that wait for one stay with their owner, which
/// answers them, and few are between two nodes for long.
const ON_THE_WAY_MAX: usize = 48;
/// Nobody waits longer for room.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);
/// Nor for the next owner to hear the channel: at 150 JOINs a second, about what 2,000 in 10 s come to, it hears 1,800 of
/// them by then.
const ANNOUNCED_MAX: Duration = Duration::from_secs(12);
const TURN: Duration = Duration::from_millis(20);
/// Turns from one question whether a channel is heard there to the next; of those that are still served here fewer.
const ASK_EACH: u32 = 3;
const ANNOUNCE_EACH: u32 = 8;
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// A call is sent when it holds so many channels or events.
const CHANNELS_PER_CALL: usize = 500;
const EVENTS_PER_CALL: usize = 1_000;

/// What is still heard of channels that were given away.
#[derive(Debug)]
pub struct Relay {
    channels: Mutex<HashMap<ChannelId, Leaving>>,
    room: Arc<Semaphore>,
    /// Who waits until the next owner hears a channel that is still served here: goes on when its sender is dropped.
    announced: Mutex<HashMap<ChannelId, oneshot::Sender<()>>>,
    /// Told of the first channel.
    come: Notify,
}

#[derive(Debug)]
struct Leaving {
    slot: Arc<ChannelSlot>,
    since: Instant,
    /// Released: whoever claims it may act.
    is_free: bool,
    is_heard_there: bool,
    kept: VecDeque<Delivery>,
    _room: Option<Room>,
}

/// The place of one channel on its way.
pub type Room = OwnedSemaphorePermit;

/// What is handed over of one channel; without events it asks whether the channel is heard there.
#[derive(Debug, Serialize, Deserialize)]
pub struct Relayed {
    channel_id: ChannelId,
    events: Vec<Arc<ChatEvent>>,
    /// It is still served by who asks: hear it from now on.
    #[serde(default)]
    is_announced: bool,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Taken {
    channel_id: ChannelId,
    /// Of the events, from the first on.
    n_events: usize,
    /// The channel's platform has confirmed that it is joined there.
    is_heard: bool,
}

impl Default for Relay {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(ON_THE_WAY_MAX));
        Self { channels: Mutex::default(), room, announced: Mutex::default(), come: Notify::new() }
    }
}

impl Relay {
    /// Has the next owner hear a channel that is still served here, and waits until it does.
    pub async fn announce(&self, slot: &ChannelSlot) {
        if !slot.is_heard() {
            return;
        }
        let (tell, told) = oneshot::channel();
        self.announced().insert(slot.id, tell);
        self.come.notify_one();
        // It goes all the same.
        drop(tokio::time::timeout(ANNOUNCED_MAX, told).await);
        self.announced().remove(&slot.id);
    }

    fn announced(&self) -> MutexGuard<'_, HashMap<ChannelId, oneshot::Sender<()>>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the channel may be given away. `None`: it has to go without a place.
    pub async fn room(&self) -> Option<Room> {
        let room = Arc::clone(&self.room).acquire_owned();
        tokio::time::timeout(ROOM_WAIT_MAX, room).await.ok()?.ok()
    }

    fn leaving(&self) -> MutexGuard<'_, HashMap<ChannelId, Leaving>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is heard of a channel from now on. One that no platform hears here is left at once.
    pub(super) fn begin(&self, slot: &Arc<ChannelSlot>, room: Option<Room>) {
        if slot.is_heard() {
            slot.set_leaving();
            let (slot, since) = (Arc::clone(slot), Instant::now());
            let id = slot.id;
            self.leaving().insert(
                id,
                Leaving {
                    slot,
                    since,
                    is_free: false,
                    is_heard_there: false,
                    kept: VecDeque::new(),
                    _room: room,
                },
            );
            self.come.notify_one();
        }
    }

    /// Keeps an event. What comes behind the last look at a channel was heard by its new owner too.
    pub(super) fn keep(&self, slot: &ChannelSlot, delivery: Delivery) -> Offer {
        let mut leaving = self.leaving();
        let Some(leaving) = leaving.get_mut(&slot.id) else {
            moved(&delivery.sink);
            return Offer::Queued { wake: false };
        };
        if leaving.kept.len() >= EVENTS_MAX {
            return Offer::Shed { reason: "handoff_full", delivery: Box::new(delivery) };
        }
        leaving.kept.push_back(delivery);
        Offer::Queued { wake: false }
    }

    /// The channels were released: others may own them now. What their actors left undone goes along.
    pub fn released(&self, ids: &[ChannelId]) {
        let mut all = self.leaving();
        for id in ids {
            if let Some(leaving) = all.get_mut(id) {
                leaving.is_free = true;
                sweep(leaving);
            }
        }
    }

    /// The channel came back before it was gone: what was kept is its own again.
    pub(super) fn come_back(&self, id: ChannelId) -> Vec<Delivery> {
        self.leaving().remove(&id).map(|leaving| leaving.kept.into()).unwrap_or_default()
    }

    /// The channels that are still heard here.
    pub fn slots(&self) -> Vec<Arc<ChannelSlot>> {
        self.leaving().values().map(|leaving| Arc::clone(&leaving.slot)).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.leaving().is_empty()
    }

    /// Hands on until nothing is left, and waits for more, without end.
    pub async fn run(&self, directory: &Directory, gateway: &Gateway) {
        for turn in 0_u32.. {
            if self.is_idle() && self.announced().is_empty() {
                self.come.notified().await;
            }
            let mut calls = self.calls(gateway, turn.is_multiple_of(ASK_EACH));
            if turn.is_multiple_of(ANNOUNCE_EACH) {
                calls.extend(self.announcements(gateway));
            }
            for answer in
                join_all(calls.into_iter().map(|call| send(gateway, call))).await.into_iter().flatten()
            {
                self.handed(&answer);
            }
            if self.part() {
                directory.changed();
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// The channels that are about to go. One that falls to nobody else any more goes without.
    fn announcements(&self, gateway: &Gateway) -> Vec<Call> {
        let mut calls = Calls::default();
        self.announced().retain(|id, _| {
            let owner = gateway.owner(*id);
            let relayed = Relayed { channel_id: *id, events: Vec::new(), is_announced: true };
            owner.map(|peer| calls.add(peer, relayed)).is_some()
        });
        calls.0.into_values().flatten().collect()
    }

    /// What goes to whom. `ask`: also of channels of which nothing was heard, to know whether they are heard there.
    fn calls(&self, gateway: &Gateway, ask: bool) -> Vec<Call> {
        let mut calls = Calls::default();
        for (id, leaving) in self.leaving().iter().filter(|(_, leaving)| leaving.is_free) {
            if leaving.kept.is_empty() && !ask {
                continue;
            }
            let Some(peer) = gateway.owner(*id) else { continue };
            let events = leaving.kept.iter().map(|delivery| Arc::clone(&delivery.event)).collect();
            calls.add(peer, Relayed { channel_id: *id, events, is_announced: false });
        }
        calls.0.into_values().flatten().collect()
    }

    /// Forgets what the new owner has, and the channels that it hears itself.
    fn handed(&self, answer: &[Taken]) {
        let mut all = self.leaving();
        for taken in answer {
            let Some(leaving) = all.get_mut(&taken.channel_id) else {
                if taken.is_heard {
                    self.announced().remove(&taken.channel_id);
                }
                continue;
            };
            let n_taken = taken.n_events.min(leaving.kept.len());
            leaving.kept.drain(..n_taken).for_each(|delivery| moved(&delivery.sink));
            sweep(leaving);
            leaving.is_heard_there = taken.is_heard;
        }
    }

    /// Takes out what the new owner hears, or what was held for too long. Tells whether anything was.
    fn part(&self) -> bool {
        let mut all = self.leaving();
        let n_before = all.len();
        all.retain(|_, leaving| {
            let is_late = leaving.since.elapsed() > HOLD_MAX;
            if is_late && !leaving.kept.is_empty() {
                tracing::warn!(channel.key = %leaving.slot.key(), events = leaving.kept.len(),
                    "no other node took over what was heard of a channel that moved");
                let n_lost = u64::try_from(leaving.kept.len()).unwrap_or(u64::MAX);
                metrics::counter!("waddlebot_messages_dropped_total", "reason" => "handoff")
                    .increment(n_lost);
            }
            let is_over = leaving.is_heard_there && leaving.kept.is_empty();
            !is_over && !is_late
        });
        all.len() < n_before
    }
}

/// Takes what lies in the lane of a channel whose actor has ended.
fn sweep(leaving: &mut Leaving) {
    if leaving.is_free {
        let room = EVENTS_MAX.saturating_sub(leaving.kept.len());
        leaving.kept.extend(leaving.slot.lane.take(room).0);
    }
}

/// Tells whoever brought an event that another node has it.
fn moved(sink: &Arc<dyn ReplySink>) {
    sink.done(&Completion { outcome: Outcome::Moved, command: None, module: None });
}

/// One call to one node.
struct Call {
    peer: Peer,
    n_events: usize,
    batch: Vec<Relayed>,
}

impl Call {
    const fn has_room(&self) -> bool {
        self.n_events < EVENTS_PER_CALL && self.batch.len() < CHANNELS_PER_CALL
    }
}

/// By node.
#[derive(Default)]
struct Calls(HashMap<Peer, Vec<Call>>);

impl Calls {
    fn add(&mut self, peer: Peer, relayed: Relayed) {
        let of_peer = self.0.entry(peer.clone()).or_default();
        let call = match of_peer.last_mut() {
            Some(call) if call.has_room() => call,
            _ => of_peer.push_mut(Call { peer, n_events: 0, batch: Vec::new() }),
        };
        call.n_events += relayed.events.len();
        call.batch.push(relayed);
    }
}

async fn send(gateway: &Gateway, call: Call) -> Option<Vec<Taken>> {
    let body = serde_json::to_vec(&call.batch).ok()?;
    let answer = gateway.send(&call.peer, PeerCall::json(PATH, body, CALL_LIMIT)).await;
    let answer =
        answer.inspect_err(|error| tracing::debug!(%error, "could not hand on what was heard")).ok()?;
    serde_json::from_slice(&answer.body).ok()
}

/// Puts what another node heard into the lanes here. A channel that is not here yet takes nothing: it is asked again.
pub fn take(directory: &Directory, clock: &Clock, batch: Vec<Relayed>) -> Vec<Taken> {
    batch.into_iter().map(|relayed| take_one(directory, clock, relayed)).collect()
}

fn take_one(directory: &Directory, clock: &Clock, relayed: Relayed) -> Taken {
    let Relayed { channel_id, events, is_announced } = relayed;
    let mut taken = Taken { channel_id, n_events: 0, is_heard: false };
    let Some(slot) = directory.get(channel_id) else {
        if is_announced {
            taken.is_heard = directory.expect(channel_id);
        }
        return taken;
    };
    let Some(outlet) = slot.outlet() else { return taken };
    taken.is_heard = slot.is_heard();
    for event in events {
        let age = (clock.now() - event.received_at).to_std().unwrap_or_default();
        let now = Instant::now();
        let received = now.checked_sub(age).unwrap_or(now);
        let (class, sink) = (event.class(), Arc::clone(&outlet));
        let platform = event.platform.as_str();
        match directory.route(&slot, Delivery { event, received, sink, permit: None }, class) {
            Offer::Full(_) => break,
            Offer::Queued { .. } | Offer::Shed { .. } => {}
        }
        metrics::counter!("waddlebot_lines_in_total", "platform" => platform).increment(1);
        taken.n_events += 1;
    }
    taken
}

#[cfg(test)]
mod tests;
