//! The connections of the account: how many there should be, when the next may open, which one replaces which.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::restart::{Backoff, RestartPolicy, Restarts, Verdict};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;

use super::budget::{Pace, Permits};
use super::connection::{ConnectionId, Order};
use super::outlet::Outlet;

/// A connection that stood this long after its login was healthy: the next one may follow at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(2);

/// 250 ms doubling to a minute, for ever.
const POLICY: RestartPolicy = RestartPolicy::Forever {
    backoff: Backoff { base: Duration::from_millis(250), max: Duration::from_mins(1) },
    healthy_after: HEALTHY_AFTER,
};

/// How long a connection without channels stays, so that what is under way on it arrives.
const LINGER: Duration = Duration::from_secs(5);

/// A place for one connection, whichever holds it at the moment.
#[derive(Debug)]
struct Place {
    restarts: Restarts,
    not_before: Instant,
    /// `None`: to be opened.
    connection: Option<ConnectionId>,
}

/// A connection as the actor sees it.
#[derive(Debug)]
pub struct Line {
    pub outlet: Arc<Outlet>,
    /// The connection's task holds the other end.
    pub orders: mpsc::Sender<Order>,
    pub is_ready: bool,
    /// When Twitch asked for it to be replaced; it takes no more JOINs. `None`: it did not.
    retired_at: Option<Instant>,
    place: usize,
}

/// All connections and their places.
#[derive(Debug)]
pub struct Fleet {
    places: Vec<Place>,
    lines: BTreeMap<ConnectionId, Line>,
    next_id: ConnectionId,
    pace: Pace,
    logins: Permits,
    rng: SmallRng,
}

impl Fleet {
    /// `connections_per_second` 0 is no limit.
    pub fn new(connections_per_second: f64, logins: Permits, rng: SmallRng) -> Self {
        Self {
            places: Vec::new(),
            lines: BTreeMap::new(),
            next_id: 0,
            pace: Pace::new(connections_per_second),
            logins,
            rng,
        }
    }

    /// Sees to it that there are `wanted` places; those too many go when their connections do.
    pub fn resize(&mut self, wanted: usize, now: Instant) {
        while self.places.len() < wanted {
            self.places.push(Place { restarts: Restarts::new(POLICY), not_before: now, connection: None });
        }
        while self.places.len() > wanted && self.places.last().is_some_and(|place| place.connection.is_none())
        {
            self.places.pop();
        }
    }

    /// A place whose connection may be opened now. Its permits are taken.
    pub fn take_due(&mut self, now: Instant) -> Option<usize> {
        let index =
            self.places.iter().position(|place| place.connection.is_none() && place.not_before <= now)?;
        if !self.pace.is_free(now) || self.logins.try_take(now).is_err() {
            return None;
        }
        self.pace.take(now);
        Some(index)
    }

    /// Enters the connection of a place that was due.
    pub fn open(&mut self, place: usize, outlet: Arc<Outlet>, orders: mpsc::Sender<Order>) -> ConnectionId {
        self.next_id += 1;
        self.places[place].connection = Some(self.next_id);
        self.lines.insert(self.next_id, Line { outlet, orders, is_ready: false, retired_at: None, place });
        self.next_id
    }

    /// The connection is logged in: it takes JOINs.
    pub fn ready(&mut self, id: ConnectionId, now: Instant) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.is_ready = true;
        if let Some(place) = self.places.get_mut(line.place) {
            place.restarts.started(now);
        }
    }

    /// Twitch is about to close the connection: another takes its place, and it lives until its channels moved there.
    pub fn retire(&mut self, id: ConnectionId, now: Instant) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.retired_at.is_none()) else { return };
        line.retired_at = Some(now);
        if let Some(place) = self.places.get_mut(line.place) {
            place.connection = None;
            place.not_before = now;
        }
    }

    /// The connection is gone; says how long its place now pauses.
    pub fn ended(&mut self, id: ConnectionId, now: Instant) -> Option<Duration> {
        let line = self.lines.remove(&id)?;
        let place = self.places.get_mut(line.place).filter(|place| place.connection == Some(id))?;
        place.connection = None;
        let pause = match place.restarts.crashed(now, self.rng.random()) {
            Verdict::RestartAfter(pause) | Verdict::Park(pause) => pause,
            // This policy never says so.
            Verdict::Escalate => Duration::from_mins(1),
        };
        place.not_before = now + pause;
        Some(pause)
    }

    /// Closes those that were replaced a while ago and that `is_empty`.
    pub fn close_retired(&self, is_empty: impl Fn(ConnectionId) -> bool, now: Instant) {
        let is_old =
            |line: &Line| line.retired_at.is_some_and(|at| now.saturating_duration_since(at) >= LINGER);
        for (_, line) in self.lines.iter().filter(|(id, line)| is_old(line) && is_empty(**id)) {
            line.outlet.finish();
        }
    }

    /// Those that take JOINs.
    pub fn open_lines(&self) -> impl Iterator<Item = (ConnectionId, &Line)> {
        self.lines
            .iter()
            .filter(|(_, line)| line.is_ready && line.retired_at.is_none())
            .map(|(id, line)| (*id, line))
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Line> {
        self.lines.get(&id)
    }

    pub fn n_ready(&self) -> usize {
        self.lines.values().filter(|line| line.is_ready).count()
    }

    /// Whether a connection is still writing.
    pub fn any_open(&self) -> bool {
        self.lines.values().any(|line| !line.outlet.is_closed())
    }

    /// Closes every connection once what waits in it is written.
    pub fn finish_all(&self) {
        for line in self.lines.values() {
            line.outlet.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::platforms::twitch::budget::JOIN_WINDOW;

    fn fleet() -> Fleet {
        Fleet::new(0.0, Permits::alone(0, JOIN_WINDOW), SmallRng::seed_from_u64(1))
    }

    fn open(fleet: &mut Fleet, now: Instant) -> (ConnectionId, Arc<Outlet>) {
        let outlet = Arc::new(Outlet::default());
        let place = fleet.take_due(now).expect("a place is due");
        (fleet.open(place, Arc::clone(&outlet), mpsc::channel(1).0), outlet)
    }

    #[test]
    fn a_lost_connection_is_replaced_soon_when_it_stood_and_later_when_it_did_not() {
        let mut now = Instant::now();
        let mut fleet = fleet();
        fleet.resize(1, now);
        for _ in 0..20 {
            let (id, _) = open(&mut fleet, now);
            fleet.ready(id, now);
            now += Duration::from_secs(4);
            let pause = fleet.ended(id, now).expect("its place pauses");
            assert!(pause < Duration::from_millis(350), "{pause:?}");
            now += pause;
        }
        let mut pause = Duration::ZERO;
        for _ in 0..20 {
            let (id, _) = open(&mut fleet, now);
            pause = fleet.ended(id, now).expect("its place pauses");
            now += pause;
        }
        assert!(pause > Duration::from_secs(45), "{pause:?}");
    }

    #[test]
    fn a_retiring_connection_lives_until_its_channels_moved() {
        let now = Instant::now();
        let mut fleet = fleet();
        fleet.resize(1, now);
        let (old, outlet) = open(&mut fleet, now);
        fleet.ready(old, now);
        fleet.retire(old, now);
        assert_eq!(fleet.open_lines().count(), 0);
        let (new, _) = open(&mut fleet, now);
        assert!(outlet.has_room(), "the old one still serves");
        fleet.ready(new, now);
        fleet.close_retired(|_| false, now + LINGER);
        assert!(outlet.has_room(), "it still has channels");
        fleet.close_retired(|_| true, now + LINGER);
        assert!(!outlet.has_room(), "the old one closes");
        assert_eq!(fleet.ended(old, now), None, "its place is taken already");
        assert_eq!(fleet.open_lines().map(|(id, _)| id).collect::<Vec<_>>(), [new]);
    }

    #[test]
    fn connections_open_at_their_pace() {
        let now = Instant::now();
        let mut fleet = Fleet::new(0.5, Permits::alone(20, JOIN_WINDOW), SmallRng::seed_from_u64(1));
        fleet.resize(2, now);
        open(&mut fleet, now);
        assert_eq!(fleet.take_due(now + Duration::from_secs(1)), None);
        assert_eq!(fleet.take_due(now + Duration::from_secs(2)), Some(1));
    }
}
