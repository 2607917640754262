//! Which channel is on which connection, and which JOIN goes out next. Pure: time and connections come in.
//!
//! Level-triggered: whoever calls [`Joins::reconcile`] with the wanted channels gets what has to be parted; everything
//! else follows from [`Joins::plan`], asked again and again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use domain::ChannelId;

use super::budget::{JOIN_WINDOW, SlidingWindow};
use super::connection::ConnectionId;

/// A JOIN without an answer for this long is asked again, each time later.
const CONFIRM_WAIT: Duration = Duration::from_secs(10);
const CONFIRM_WAIT_MAX: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the queue for a JOIN.
    Waiting,
    /// Left alone until then.
    Resting {
        until: Instant,
    },
    Asked {
        connection: ConnectionId,
        until: Instant,
    },
    Joined {
        connection: ConnectionId,
    },
}

#[derive(Clone, Debug)]
struct Channel {
    login: String,
    place: Place,
    /// JOINs in a row that nobody confirmed.
    n_unconfirmed: u32,
    /// A connection that may still have the channel though it is counted there no more.
    left: Option<ConnectionId>,
}

impl Channel {
    const fn connection(&self) -> Option<ConnectionId> {
        match self.place {
            Place::Asked { connection, .. } | Place::Joined { connection } => Some(connection),
            Place::Waiting | Place::Resting { .. } => None,
        }
    }
}

/// A connection that takes JOINs.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    pub connection: ConnectionId,
    /// Channels it can take beyond those it has.
    pub room: usize,
}

/// The channels of the account and where they are.
#[derive(Debug)]
pub struct Joins {
    channels: HashMap<ChannelId, Channel>,
    waiting: VecDeque<ChannelId>,
    on_connection: HashMap<ConnectionId, usize>,
    n_joined: usize,
    budget: SlidingWindow,
    /// Connections that are being replaced: their channels move as the budget permits.
    retiring: HashSet<ConnectionId>,
    /// Channels that are asked for elsewhere: these connections let go of them first.
    leaving: HashMap<ConnectionId, Vec<String>>,
}

impl Joins {
    pub fn new(joins_per_10s: usize) -> Self {
        Self {
            channels: HashMap::new(),
            waiting: VecDeque::new(),
            on_connection: HashMap::new(),
            n_joined: 0,
            budget: SlidingWindow::new(joins_per_10s, JOIN_WINDOW),
            retiring: HashSet::new(),
            leaving: HashMap::new(),
        }
    }

    /// Takes over which channels are wanted; gives those that are no more, with the connection that must part.
    pub fn reconcile(
        &mut self,
        wanted: Vec<(ChannelId, String)>,
    ) -> Vec<(ChannelId, String, Option<ConnectionId>)> {
        let ids: HashSet<ChannelId> = wanted.iter().map(|(id, _)| *id).collect();
        let gone: Vec<ChannelId> = self.channels.keys().filter(|id| !ids.contains(id)).copied().collect();
        let mut parted = Vec::with_capacity(gone.len());
        for id in gone {
            let connection = self.settle(id, Place::Waiting);
            if let Some(channel) = self.channels.remove(&id) {
                parted.push((id, channel.login, connection));
            }
        }
        for (id, login) in wanted {
            if let Entry::Vacant(entry) = self.channels.entry(id) {
                entry.insert(Channel { login, place: Place::Waiting, n_unconfirmed: 0, left: None });
                self.waiting.push_back(id);
            }
        }
        parted
    }

    /// A connection is gone; its channels are joined again elsewhere. Returns them.
    pub fn lost(&mut self, connection: ConnectionId) -> Vec<ChannelId> {
        let on_it = |channel: &Channel| channel.connection() == Some(connection);
        let ids: Vec<ChannelId> =
            self.channels.iter().filter(|(_, channel)| on_it(channel)).map(|(id, _)| *id).collect();
        for id in &ids {
            self.settle(*id, Place::Waiting);
            self.waiting.push_back(*id);
        }
        self.on_connection.remove(&connection);
        self.retiring.remove(&connection);
        ids
    }

    /// A connection is being replaced: its channels move to others one by one, and stay on it until then.
    pub fn retire(&mut self, connection: ConnectionId) {
        let on_it = |channel: &Channel| channel.connection() == Some(connection);
        self.waiting.extend(self.channels.iter().filter(|(_, channel)| on_it(channel)).map(|(id, _)| *id));
        self.retiring.insert(connection);
    }

    /// Twitch confirmed a JOIN.
    pub fn confirmed(&mut self, id: ChannelId, connection: ConnectionId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if matches!(channel.place, Place::Asked { connection: asked, .. } if asked == connection) {
            channel.n_unconfirmed = 0;
            channel.place = Place::Joined { connection };
            self.n_joined += 1;
        }
    }

    /// Twitch refused a JOIN: the channel rests.
    pub fn refused(&mut self, id: ChannelId, connection: ConnectionId, until: Instant) {
        if self.channels.get(&id).is_some_and(|channel| channel.connection() == Some(connection)) {
            self.settle(id, Place::Resting { until });
        }
    }

    /// The JOINs that may go out now, at most as the seats and the budget permit.
    pub fn plan(&mut self, seats: &[Seat], now: Instant) -> Vec<(ConnectionId, Vec<ChannelId>)> {
        self.wake(now);
        let mut plan = Vec::new();
        for seat in seats {
            let n = seat.room.min(self.budget.free(now)).min(self.waiting.len());
            let mut ids = Vec::with_capacity(n);
            while ids.len() < n {
                let Some(id) = self.waiting.pop_front() else { break };
                // One that was removed, or queued twice, stands here no more.
                if self.ask(id, seat.connection, now) {
                    ids.push(id);
                }
            }
            if !ids.is_empty() {
                self.budget.take(ids.len(), now);
                *self.on_connection.entry(seat.connection).or_default() += ids.len();
                plan.push((seat.connection, ids));
            }
        }
        plan
    }

    /// Channels that must be parted before the JOINs of the last plan go out, so that none is on two connections.
    pub fn take_leaving(&mut self) -> HashMap<ConnectionId, Vec<String>> {
        std::mem::take(&mut self.leaving)
    }

    /// Takes back a planned JOIN that its connection did not take.
    pub fn not_sent(&mut self, connection: ConnectionId, ids: &[ChannelId]) {
        for id in ids {
            if self.channels.get(id).is_some_and(|channel| channel.connection() == Some(connection)) {
                self.settle(*id, Place::Waiting);
                self.waiting.push_back(*id);
            }
        }
    }

    /// The connection that a channel is joined or asked for on.
    pub fn connection(&self, id: ChannelId) -> Option<ConnectionId> {
        self.channels.get(&id)?.connection()
    }

    pub fn is_joined(&self, id: ChannelId) -> bool {
        self.channels.get(&id).is_some_and(|channel| matches!(channel.place, Place::Joined { .. }))
    }

    pub fn n_on(&self, connection: ConnectionId) -> usize {
        self.on_connection.get(&connection).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.channels.len()
    }

    pub const fn n_joined(&self) -> usize {
        self.n_joined
    }

    fn ask(&mut self, id: ChannelId, connection: ConnectionId, now: Instant) -> bool {
        let Some(channel) = self.channels.get(&id) else { return false };
        let moves = channel.connection().is_some_and(|connection| self.retiring.contains(&connection));
        if !moves && channel.place != Place::Waiting {
            return false;
        }
        let left = self.settle(id, Place::Waiting);
        let Some(channel) = self.channels.get_mut(&id) else { return false };
        if let Some(left) = left.or(channel.left.take()).filter(|left| *left != connection) {
            self.leaving.entry(left).or_default().push(channel.login.clone());
        }
        let wait = CONFIRM_WAIT * 2u32.saturating_pow(channel.n_unconfirmed.min(16));
        channel.n_unconfirmed = channel.n_unconfirmed.saturating_add(1);
        channel.place = Place::Asked { connection, until: now + wait.min(CONFIRM_WAIT_MAX) };
        true
    }

    /// Puts those back into the queue whose time is up.
    fn wake(&mut self, now: Instant) {
        let is_due = |channel: &Channel| match channel.place {
            Place::Resting { until } | Place::Asked { until, .. } => until <= now,
            Place::Waiting | Place::Joined { .. } => false,
        };
        if self.n_joined == self.channels.len() {
            return;
        }
        let due: Vec<ChannelId> =
            self.channels.iter().filter(|(_, channel)| is_due(channel)).map(|(id, _)| *id).collect();
        for id in due {
            let left = self.settle(id, Place::Waiting);
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.left = left;
            }
            self.waiting.push_back(id);
        }
    }

    /// Moves a channel off its connection, if it is on one, and returns that.
    fn settle(&mut self, id: ChannelId, place: Place) -> Option<ConnectionId> {
        let channel = self.channels.get_mut(&id)?;
        let connection = channel.connection();
        if matches!(channel.place, Place::Joined { .. }) {
            self.n_joined -= 1;
        }
        channel.place = place;
        if let Some(n) = connection.and_then(|connection| self.on_connection.get_mut(&connection)) {
            *n -= 1;
        }
        connection
    }
}

#[cfg(test)]
mod tests;
