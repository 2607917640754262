//! The node's map from its own channels to their data lanes.
//!
//! A [`ChannelSlot`] exists for every channel that the node owns, whether its actor runs or not. Whoever brings an event
//! looks the slot up once (a platform connection keeps it), puts the event into the slot's lane, and wakes: the path of
//! a chat line never comes to the map and its lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::{ChannelId, ChannelKey, Platform};
use storage::{ChangeKind, Made};
use tokio::sync::watch;

use super::guests::Guests;
use super::relay::{Relay, Room};
use super::roster::Roster;
use super::send_gate::SendGate;
use super::slot::{ChannelSlot, SlotSpec};
use super::versions::Versions;
use crate::messages::spawner::SharedSpawner;
use crate::messages::{ByteBudget, ChannelMsg, Delivery, EventClass, Lane, Memory, Offer, Recorder};

/// The label of `messages_dropped_total` for what is shed because memory is short.
const MEMORY: &str = "memory";

#[derive(Debug, Default)]
struct Maps {
    by_id: HashMap<ChannelId, Arc<ChannelSlot>>,
    /// By login, and by the platform's id where it is known.
    by_name: HashMap<(Platform, String), Arc<ChannelSlot>>,
    /// Taken out, while somebody works on what they have.
    ending: HashMap<ChannelId, Weak<ChannelSlot>>,
}

impl Maps {
    fn remove(&mut self, id: ChannelId) -> Option<Arc<ChannelSlot>> {
        let slot = self.by_id.remove(&id)?;
        let names = slot.platform_id().map(|platform_id| platform_id.to_string());
        for name in names.into_iter().chain([slot.login.clone()]) {
            let key = (slot.platform, name);
            if self.by_name.get(&key).is_some_and(|other| other.id == id) {
                self.by_name.remove(&key);
            }
        }
        self.ending.retain(|_, ending| ending.strong_count() > 0);
        self.ending.insert(id, Arc::downgrade(&slot));
        Some(slot)
    }
}

/// The node's channels by id and by name.
#[derive(Debug)]
pub struct Directory {
    maps: RwLock<Maps>,
    budget: Arc<ByteBudget>,
    /// How near the process is to its ceiling; supervision holds the other end.
    memory: Arc<Memory>,
    /// Takes notes of what happened; the event log's writer holds the other end.
    recorder: Arc<Recorder>,
    gate: Arc<SendGate>,
    /// Every channel of the cluster. `None`: this node owns all there are.
    roster: Option<Arc<Roster>>,
    /// Channels that were given away and are still heard.
    relay: Relay,
    /// Channels that will come and are heard already.
    guests: Guests,
    /// Until when which channels are recorded.
    recordings: Mutex<HashMap<ChannelId, DateTime<Utc>>>,
    channel_bound: usize,
    /// Whether a module wants every line of a channel where nobody said otherwise.
    lines_wanted: bool,
    spawner: SharedSpawner,
    /// Changes that running channels were told of.
    versions: Versions,
    /// Counts changes of the set of channels; platforms join and part by it.
    version: watch::Sender<u64>,
}

impl Directory {
    /// An empty directory whose lanes hold at most `channel_bound` events each and draw on `budget`.
    pub fn new(channel_bound: usize, budget: Arc<ByteBudget>, spawner: SharedSpawner) -> Self {
        Self {
            maps: RwLock::default(),
            budget,
            memory: Arc::default(),
            recorder: Arc::default(),
            gate: Arc::new(SendGate::open()),
            roster: None,
            relay: Relay::default(),
            guests: Guests::default(),
            recordings: Mutex::default(),
            channel_bound,
            lines_wanted: false,
            versions: Versions::default(),
            spawner,
            version: watch::Sender::new(0),
        }
    }

    /// Says that a module wants every line of a channel where nobody switched it off.
    #[must_use]
    pub fn with_lines_wanted(mut self, wanted: bool) -> Self {
        self.lines_wanted = wanted;
        self
    }

    /// Sheds while `memory` is short.
    #[must_use]
    pub fn with_memory(mut self, memory: Arc<Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// Notes what happens in `recorder`.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Takes notes of what happens.
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Keeps all lines of a channel until then; `None` ends that.
    pub fn record(&self, channel_id: ChannelId, until: Option<DateTime<Utc>>) {
        let mut recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        match until {
            Some(until) => drop(recordings.insert(channel_id, until)),
            None => drop(recordings.remove(&channel_id)),
        }
        if let Some(slot) = self.get(channel_id) {
            slot.set_recorded(until.is_some());
        }
    }

    /// Ends the recordings whose time is over.
    pub fn end_recordings(&self, now: DateTime<Utc>) {
        let recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<_> = recordings
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(channel_id, _)| *channel_id)
            .collect();
        drop(recordings);
        for channel_id in over {
            self.record(channel_id, None);
        }
    }

    /// Makes it the directory of one node of a cluster: nothing is said while `gate` is shut, and the cluster decides
    /// which channels of `roster` are here.
    #[must_use]
    pub fn in_cluster(mut self, gate: Arc<SendGate>, roster: Arc<Roster>) -> Self {
        (self.gate, self.roster) = (gate, Some(roster));
        self
    }

    /// Every channel of the cluster. `None`: this node owns all there are.
    pub const fn roster(&self) -> Option<&Arc<Roster>> {
        self.roster.as_ref()
    }

    /// Whether what the channels say may leave.
    pub const fn gate(&self) -> &Arc<SendGate> {
        &self.gate
    }

    /// The bytes that all lanes share.
    pub fn budget(&self) -> &ByteBudget {
        &self.budget
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Adds channels; those already known stay as they are.
    pub fn add(&self, specs: Vec<SlotSpec>) -> Vec<Arc<ChannelSlot>> {
        let mut maps = self.write();
        let Maps { by_id, by_name, .. } = &mut *maps;
        let slots: Vec<_> = specs
            .into_iter()
            .map(|spec| {
                let slot = by_id.entry(spec.id).or_insert_with(|| Arc::new(self.slot(spec)));
                by_name.insert((slot.platform, slot.login.clone()), Arc::clone(slot));
                if let Some(platform_id) = slot.platform_id() {
                    by_name.insert((slot.platform, platform_id.to_string()), Arc::clone(slot));
                }
                Arc::clone(slot)
            })
            .collect();
        drop(maps);
        for slot in &slots {
            self.guests.remove(slot.id);
            self.take_back(slot);
        }
        self.changed();
        slots
    }

    /// A channel that was on its way to another node is here again.
    fn take_back(&self, slot: &Arc<ChannelSlot>) {
        for delivery in self.relay.come_back(slot.id) {
            let class = delivery.event.class();
            if let Offer::Full(_) = self.route(slot, delivery, class) {
                self.count_dropped(slot, "channel_full");
            }
        }
    }

    fn slot(&self, spec: SlotSpec) -> ChannelSlot {
        let slot = ChannelSlot::new(spec, Lane::new(self.channel_bound, Arc::clone(&self.budget)));
        slot.set_wants_lines(self.lines_wanted);
        slot
    }

    /// Takes a channel out; its actor, if any, is drained by whoever removes it.
    pub fn remove(&self, id: ChannelId) -> Option<Arc<ChannelSlot>> {
        let slot = self.write().remove(id)?;
        self.changed();
        Some(slot)
    }

    /// [`Directory::remove`] of a channel that another node gets: what is still heard of it is kept for that one.
    pub fn give_away(&self, id: ChannelId, room: Option<Room>) -> Option<Arc<ChannelSlot>> {
        let mut maps = self.write();
        let slot = maps.remove(id)?;
        self.relay.begin(&slot, room);
        drop(maps);
        self.changed();
        Some(slot)
    }

    /// Channels that were given away and are still heard.
    pub const fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Hears a channel that another node is about to give to this one, and tells whether its lines come here already.
    pub(super) fn expect(&self, id: ChannelId) -> bool {
        if let Some(is_heard) = self.guests.asked(id) {
            return is_heard;
        }
        if let Some(spec) = self.roster.as_ref().and_then(|roster| roster.get(id)) {
            self.guests.add(Arc::new(self.slot(spec)));
            self.changed();
        }
        false
    }

    /// Lets go of channels that were expected and did not come.
    pub fn let_guests_go(&self, now: Instant) {
        if self.guests.leave_late(now) {
            self.changed();
        }
    }

    /// The channels that platforms should hear: those here, those on their way elsewhere, and those that are expected.
    pub fn heard(&self) -> Vec<Arc<ChannelSlot>> {
        let maps = self.read();
        let guests = self.guests.slots().into_iter().filter(|guest| !maps.by_id.contains_key(&guest.id));
        maps.by_id.values().map(Arc::clone).chain(self.relay.slots()).chain(guests).collect()
    }

    /// Has platforms look at the set of channels.
    pub(super) fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Tells of every change of the set of channels (level-triggered: read [`Directory::heard`] and compare).
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Notes the platform's ids of channels, learned from the platform; from then on they are found by them too.
    pub fn learn_platform_ids(&self, learned: &[(Arc<ChannelSlot>, String)]) {
        let mut maps = self.write();
        for (slot, platform_id) in learned {
            slot.set_platform_id(platform_id.clone());
            // One that is on its way is not found here.
            if maps.by_id.contains_key(&slot.id) {
                maps.by_name.insert((slot.platform, platform_id.clone()), Arc::clone(slot));
            }
        }
    }

    pub fn get(&self, id: ChannelId) -> Option<Arc<ChannelSlot>> {
        self.read().by_id.get(&id).map(Arc::clone)
    }

    /// A channel that is here, or was taken out and is not done with what it had.
    pub fn get_even_ending(&self, id: ChannelId) -> Option<Arc<ChannelSlot>> {
        let maps = self.read();
        maps.by_id.get(&id).map(Arc::clone).or_else(|| maps.ending.get(&id)?.upgrade())
    }

    /// Finds a channel by login or platform id.
    pub fn find(&self, key: &ChannelKey) -> Option<Arc<ChannelSlot>> {
        self.read().by_name.get(&(key.platform(), key.name().to_owned())).map(Arc::clone)
    }

    /// A snapshot of all channels, in no order.
    pub fn all(&self) -> Vec<Arc<ChannelSlot>> {
        self.read().by_id.values().map(Arc::clone).collect()
    }

    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an event of that class would be shed now, which is then counted here: under a flood nobody need make an
    /// event of a line that finds no room.
    pub fn sheds_unmade(&self, slot: &ChannelSlot, class: EventClass) -> bool {
        let memory = self.memory.sheds(class).then_some(MEMORY);
        let reason = memory.or_else(|| slot.lane.sheds(class));
        reason.inspect(|reason| self.count_dropped(slot, reason)).is_some()
    }

    /// Puts an event into its channel's lane and wakes the channel when needed. What is shed is counted here and its
    /// sink is told; [`Offer::Full`] comes back to the caller, who waits with it.
    pub fn route(&self, slot: &ChannelSlot, delivery: Delivery, class: EventClass) -> Offer {
        let offer = if slot.is_leaving() {
            self.relay.keep(slot, delivery)
        } else if self.memory.sheds(class) {
            Offer::Shed { reason: MEMORY, delivery: Box::new(delivery) }
        } else {
            slot.lane.offer(delivery, class)
        };
        match &offer {
            Offer::Queued { wake: true } => self.wake(slot),
            Offer::Queued { wake: false } | Offer::Full(_) => {}
            Offer::Shed { reason, delivery } => {
                self.count_dropped(slot, reason);
                delivery.sink.done(&crate::messages::Completion {
                    outcome: domain::Outcome::Shed,
                    command: None,
                    module: None,
                });
            }
        }
        offer
    }

    fn count_dropped(&self, slot: &ChannelSlot, reason: &'static str) {
        metrics::counter!("waddlebot_messages_dropped_total", "reason" => reason).increment(1);
        self.recorder.shed(slot.id, reason);
    }

    /// Wakes a channel's actor, or has it started.
    pub fn wake(&self, slot: &ChannelSlot) {
        let woken = slot.actor().is_some_and(|actor| actor.cast(ChannelMsg::Wake).is_ok());
        if !woken {
            self.spawner.activate_channel(slot.id);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the running actors of the changed scopes to read anew, once per change however often it is announced.
    /// Passive ones read when they start.
    pub fn announce(&self, made: &[Made]) {
        let news: Vec<_> = made.iter().filter(|made| self.versions.is_news(made)).collect();
        if let Some(roster) = &self.roster {
            let of_channels = news.iter().filter(|made| made.change.kind == ChangeKind::Channels);
            of_channels.for_each(|made| roster.mark(made.change.scope));
        }
        for made in news.iter().filter(|made| made.change.kind == ChangeKind::Modules) {
            // Whether a module hears lines now only the channel's table tells, which the next line has read.
            let maps = self.read();
            let concerned =
                maps.by_id.values().filter(|slot| made.change.concerns(slot.id, slot.community_id));
            concerned.for_each(|slot| slot.set_wants_lines(true));
        }
        if !news.is_empty() {
            self.reload(|slot| news.iter().any(|made| made.change.concerns(slot.id, slot.community_id)));
        }
    }

    /// Tells every running channel to read anew: what it holds may be too old to act upon.
    pub fn reload_all(&self) {
        self.reload(|_| true);
    }

    fn reload(&self, is_concerned: impl Fn(&ChannelSlot) -> bool) {
        for slot in self.read().by_id.values().filter(|slot| is_concerned(slot)) {
            if let Some(actor) = slot.actor() {
                // A channel that is just ending reads anew when it starts again.
                drop(actor.cast(ChannelMsg::Reload));
            }
        }
    }
}

#[cfg(test)]
mod tests;
