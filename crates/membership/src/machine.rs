//! The membership and the ownership of one incarnation, as a state machine.
//!
//! The driver hands in what happened, with the time at which it hands it in, and carries out what comes back, in order.
//! Each [`Output::Ask`] is answered exactly once, by [`Input::Answer`] or [`Input::Lost`], however late; a lane has one
//! ask under way. An ask counts as sent when it was put out, which is never later than it was.

mod burial;
mod keys;
mod lanes;
mod lease;
mod members;
mod steady;
#[cfg(test)]
mod tests;
mod view;

use crate::ask::{Answer, Ask, From, Member, Newcomer, State, View};
use crate::{Epoch, Incarnation, MonotonicUs, NodeId, OwnedKey, Place, Timings};

use self::burial::Burial;
use self::keys::{Around, Keys};
pub use self::lanes::Lane;
use self::lanes::{Flight, Lanes};
use self::lease::Lease;
use self::steady::Steady;
use self::view::Rings;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The time of [`Machine::next_wake`] has come.
    Tick,
    /// The database's answer to the ask of that number.
    Answer { number: u64, answer: Answer },
    /// There will be no answer: whether it was done is unknown.
    Lost { number: u64 },
    /// The session that renews, and with it the lock on the incarnation, is gone.
    LeaseSessionLost,
    /// The session with a peer dropped.
    PeerDropped(Incarnation),
    /// What became of a probe: `refused` only if the peer's machine said that nobody listens.
    Probed { incarnation: Incarnation, refused: bool },
    /// A peer knows a view of this version.
    ViewHeard(i64),
    /// Keys that somebody should own, and where; again with another place to pin or to move one.
    Wanted(Vec<(OwnedKey, Place)>),
    /// A key that nobody should own any more.
    Unwanted(OwnedKey),
    /// A key that was to be handed over: nothing is written or sent under this epoch any more.
    Drained { key: OwnedKey, epoch: Epoch },
    /// A peer released keys for this node.
    Freed(Vec<OwnedKey>),
    /// The operator wants the node to hand over everything and to leave.
    Drain,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask the database.
    Ask { number: u64, lane: Lane, ask: Ask },
    /// Dial that address and say whether it refuses.
    Probe { incarnation: Incarnation, address: String },
    /// Sending is allowed until then; `None`: no more.
    Gate { until: Option<MonotonicUs> },
    /// The key is owned: load and serve it.
    Granted { key: OwnedKey, epoch: Epoch, from: From },
    /// Stop serving the key, hand what is in memory to that node (`None`: nobody follows), then [`Input::Drained`].
    HandOver { key: OwnedKey, epoch: Epoch, to: Option<NodeId> },
    /// The key is free: tell that node, as [`Input::Freed`] (`None`: nobody follows).
    Released { key: OwnedKey, to: Option<NodeId> },
    /// Keys are placed by this view now. Peers may be told its version.
    View(View),
    /// Somebody came, went or changed state: see [`Machine::members`].
    Members,
    /// The drain is over: exit 0.
    Left,
    /// This incarnation is dead, for ever: kill the tree, close the sockets, exit 75.
    Died,
}

/// One incarnation.
#[derive(Debug)]
pub struct Machine {
    timings: Timings,
    newcomer: Newcomer,
    life: Life,
    /// The operator wants it to leave.
    draining: bool,
    lanes: Lanes,
    lease: Lease,
    steady: Steady,
    burial: Burial,
    /// Everybody who is not dead, myself too, as last seen.
    members: Vec<Member>,
    look_at: MonotonicUs,
    rings: Rings,
    keys: Keys,
}

/// How far this incarnation has come, by what the database answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It has no row.
    Outside,
    Inside(State),
    /// Left or dead.
    Over,
}

impl Machine {
    /// Makes a node that will join; lease and predecessor of `newcomer` are filled in.
    pub fn new(newcomer: Newcomer, timings: Timings) -> Self {
        Self {
            newcomer: Newcomer { lease_us: timings.lease_us, predecessor: None, ..newcomer },
            life: Life::Outside,
            draining: false,
            lanes: Lanes::default(),
            lease: Lease::default(),
            steady: Steady::default(),
            burial: Burial::default(),
            members: Vec::new(),
            look_at: MonotonicUs::default(),
            rings: Rings::default(),
            keys: Keys::default(),
            timings,
        }
    }

    /// Takes in what happened and says what is to be done. Nothing any more once it left or died.
    pub fn on(&mut self, now: MonotonicUs, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.life == Life::Over {
            return out;
        }
        match input {
            Input::Tick => {}
            Input::Answer { number, answer } => {
                if let Some(flight) = self.lanes.land(number) {
                    self.answered(now, flight, answer, &mut out);
                }
            }
            Input::Lost { number } => {
                if let Some(flight) = self.lanes.lose(number, now.plus(self.timings.retry_us)) {
                    self.lost(now, flight);
                }
            }
            Input::LeaseSessionLost => self.lease.session_lost(self.lanes.next_number(), &mut out),
            Input::PeerDropped(peer) => self.burial.doubt(now, peer, &self.members),
            Input::Probed { incarnation, refused } => {
                self.burial.probed(now, incarnation, refused, &self.timings);
            }
            Input::ViewHeard(version) => self.heard(now, version),
            Input::Wanted(keys) => self.keys.want(now, keys, &self.rings),
            Input::Unwanted(key) => self.keys.unwant(now, &key),
            Input::Drained { key, epoch } => self.keys.drained(now, &key, epoch),
            Input::Freed(keys) => {
                if !self.keys.freed(now, &keys) {
                    // Freed for this node by a view that it does not know yet.
                    self.look_at = now;
                }
            }
            Input::Drain => {
                self.draining = true;
                self.keys.leave();
            }
        }
        if self.life != Life::Over {
            self.act(now, &mut out);
        }
        out
    }

    /// When [`Input::Tick`] is due; `None` once it is over.
    pub fn next_wake(&self) -> Option<MonotonicUs> {
        if self.life == Life::Over {
            return None;
        }
        let lanes = [
            (Lane::Lease, Some(self.lease.renew_at)),
            (Lane::Members, self.members_due()),
            (Lane::Keys, self.keys.ask_due().filter(|_| self.life != Life::Outside)),
        ];
        let asks = lanes
            .into_iter()
            .filter_map(|(lane, due)| self.lanes.free_at(lane).zip(due).map(|(a, b)| a.max(b)));
        asks.chain(self.lease.gate_until()).chain(self.burial.probe_due()).chain(self.keys.move_due()).min()
    }

    /// Everybody who is not dead, by the last look.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The view that keys are placed by.
    pub const fn view(&self) -> &View {
        self.rings.view()
    }

    /// The node that should own the key by the view; `None` where nobody can or nobody should.
    pub fn owner(&self, key: &OwnedKey) -> Option<&NodeId> {
        self.rings.owner(self.keys.place(key)?)
    }

    /// The epoch under which this node owns the key and serves it; `None` where it does not.
    pub fn epoch(&self, key: &OwnedKey) -> Option<Epoch> {
        self.keys.epoch(key)
    }

    /// Keys that this node hands over or is about to, and keys that fall to it and are not yet its own.
    pub fn moves(&self) -> (usize, usize) {
        self.keys.moves()
    }

    const fn heard(&mut self, now: MonotonicUs, version: i64) {
        if version > self.rings.version() {
            self.look_at = now;
        }
    }

    const fn me(&self) -> Incarnation {
        self.newcomer.me
    }

    fn answered(&mut self, now: MonotonicUs, flight: Flight, answer: Answer, out: &mut Vec<Output>) {
        match answer {
            Answer::Dead | Answer::Left => self.end(answer == Answer::Left || self.leaving(), out),
            answer => match flight.lane {
                Lane::Lease => self.lease_answered(now, &flight, &answer, out),
                Lane::Members => self.members_answered(now, &flight, answer, out),
                Lane::Keys => {
                    let around = Around { now, rings: &self.rings, timings: &self.timings };
                    self.keys.answered(&around, flight, answer, out);
                }
            },
        }
    }

    fn lost(&mut self, now: MonotonicUs, flight: Flight) {
        match flight.lane {
            Lane::Lease => {}
            Lane::Members => self.look_at = now,
            Lane::Keys => self.keys.lost(now, flight, &self.timings),
        }
    }

    fn end(&mut self, left: bool, out: &mut Vec<Output>) {
        self.life = Life::Over;
        self.lease.shut(out);
        out.push(if left { Output::Left } else { Output::Died });
    }

    /// Does all that is due.
    fn act(&mut self, now: MonotonicUs, out: &mut Vec<Output>) {
        self.lease.lapse(now, out);
        if self.draining && self.life == Life::Outside {
            return self.end(true, out);
        }
        if self.lanes.is_free(Lane::Lease, now) && self.lease.renew_at <= now {
            let ask = self.lease_ask();
            self.lanes.send(now, Lane::Lease, ask, out);
        }
        self.burial.probe(now, &self.members, out);
        if self.life == Life::Outside {
            return;
        }
        self.keys.close(now, self.gives_up_all());
        self.keys.move_away(now, &self.rings, &self.timings, out);
        if self.lanes.is_free(Lane::Members, now)
            && let Some(ask) = self.members_ask(now)
        {
            if matches!(ask, Ask::Leave { .. }) {
                self.lease.close(out);
            }
            self.lanes.send(now, Lane::Members, ask, out);
        }
        if self.lanes.is_free(Lane::Keys, now)
            && let Some(ask) = self.keys.ask(now, self.newcomer.me)
        {
            self.lanes.send(now, Lane::Keys, ask, out);
        }
    }
}
