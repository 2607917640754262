//! What goes wrong, or changes, and when.

use rand::RngExt;

use crate::{Input, OwnedKey};

use super::{Event, HEALED_AT, MS, SEC, World, node_id};

/// All of it is over when the time of healing comes.
pub enum Fault {
    Pause,
    Crash,
    /// A process is cut off from the database.
    Cut,
    Outage,
    ClockStep,
    /// Many answers are late or lost.
    Lossy,
    Drain,
    /// A node more.
    Join,
    /// A second process with the node id of one that lives.
    Twin,
    /// Peers think that a session dropped, and the address refuses: only the lock speaks for it.
    FalseHint,
    /// An operator ties a key to a node, or unties it.
    Pin,
    /// A key is not wanted for a while.
    Unwant,
    Want(OwnedKey),
}

impl World {
    pub fn plan_faults(&mut self) {
        let n_faults = self.within(1, 6);
        for _ in 0..n_faults {
            let kind = self.within(0, 13);
            let fault = match kind {
                _ if self.plan.is_calm => {
                    [Fault::Outage, Fault::ClockStep].into_iter().nth(usize::from(kind > 6))
                }
                0 | 1 => Some(Fault::Pause),
                2 | 3 => Some(Fault::Crash),
                4 => Some(Fault::Cut),
                5 => Some(Fault::Outage),
                6 => Some(Fault::ClockStep),
                7 => Some(Fault::Lossy),
                8 => Some(Fault::Drain),
                9 => Some(Fault::Join),
                10 => Some(Fault::Twin),
                11 => Some(Fault::FalseHint),
                12 => Some(Fault::Pin),
                _ => Some(Fault::Unwant),
            };
            let at = self.within(5 * SEC, 17 * SEC);
            if let Some(fault) = fault {
                self.after(at, Event::Fault(fault));
            }
        }
    }

    pub fn go_wrong(&mut self, fault: Fault) {
        let alive: Vec<_> = (0..self.processes.len()).filter(|p| self.processes[*p].is_alive).collect();
        let lasts = self.within(50 * MS, 8 * SEC);
        let until = (self.now + lasts).min(HEALED_AT);
        let Some(p) = alive.get(self.rng.random_range(0..alive.len().max(1))).copied() else { return };
        match fault {
            Fault::Pause => self.processes[p].paused_until = until,
            Fault::Crash => self.crash(p),
            Fault::Cut => {
                self.processes[p].cut_until = until;
                self.after(300 * MS, Event::Input(p, Input::LeaseSessionLost));
            }
            Fault::Outage => self.fail_database(),
            Fault::ClockStep => {
                let step = if self.rng.random_bool(0.5) { 3_600 * SEC } else { self.within(0, 3 * SEC) };
                self.is_clock_wrong = true;
                self.db_ahead_us += if self.rng.random_bool(0.5) { step } else { -step };
            }
            Fault::Lossy => self.lossy_until = until,
            Fault::Drain => {
                if alive.len() > 2 && !alive.iter().any(|p| self.processes[*p].is_draining) {
                    self.processes[p].is_draining = true;
                    self.after(0, Event::Input(p, Input::Drain));
                }
            }
            Fault::Join => self.start(3),
            Fault::Twin => self.start(self.processes[p].node),
            Fault::FalseHint => {
                self.processes[p].refuses_until = until;
                for q in self.others(p) {
                    self.tell(q, Input::PeerDropped(self.processes[p].me));
                }
            }
            Fault::Pin => {
                let pin = self.rng.random_bool(0.7).then(|| node_id(self.processes[p].node));
                let at = self.rng.random_range(0..self.wanted.len());
                let Some((key, place)) = self.wanted.iter_mut().nth(at) else { return };
                place.pin = pin.map(Box::new);
                let wanted = vec![(key.clone(), place.clone())];
                self.tell_all(&Input::Wanted(wanted));
            }
            Fault::Unwant => {
                let at = self.rng.random_range(0..self.wanted.len());
                let Some((key, place)) =
                    self.wanted.iter().nth(at).map(|(key, place)| (key.clone(), place.clone()))
                else {
                    return;
                };
                self.wanted.remove(&key);
                self.tell_all(&Input::Unwanted(key.clone()));
                self.unwanted.insert(key.clone(), place);
                self.after(lasts.min(4 * SEC), Event::Fault(Fault::Want(key)));
            }
            Fault::Want(key) => {
                if let Some(place) = self.unwanted.remove(&key) {
                    self.wanted.insert(key.clone(), place.clone());
                    self.tell_all(&Input::Wanted(vec![(key, place)]));
                }
            }
        }
    }

    fn crash(&mut self, p: usize) {
        self.end(p);
        for q in self.others(p) {
            self.tell(q, Input::PeerDropped(self.processes[p].me));
        }
        let within = self.within(200 * MS, 3 * SEC);
        if !self.processes[p].is_draining {
            self.after(within, Event::Start(self.processes[p].node));
        }
    }

    /// Ten seconds at most; every session is gone with it.
    fn fail_database(&mut self) {
        let lasts = self.within(100 * MS, 10 * SEC);
        self.db_down_until = (self.now + lasts).min(HEALED_AT);
        self.db.locks.clear();
        self.db.open_writes.clear();
        for p in 0..self.processes.len() {
            if self.processes[p].session.take().is_some() {
                let within = self.within(MS, 50 * MS);
                self.after(within, Event::Input(p, Input::LeaseSessionLost));
            }
        }
    }

    /// What is configured reaches everybody, in this order, not at one time.
    fn tell_all(&mut self, input: &Input) {
        for p in 0..self.processes.len() {
            self.after(20 * MS, Event::Input(p, input.clone()));
        }
    }
}
