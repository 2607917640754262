//! A process: a machine, and a driver that carries out what it says.

use std::collections::BTreeMap;

use rand::RngExt;

use crate::ask::{Newcomer, Role};
use crate::model::Write;
use crate::{Epoch, Incarnation, Input, Machine, MonotonicUs, Output, OwnedKey};

use super::{Event, MS, SEC, World, node_id};

pub struct Process {
    pub me: Incarnation,
    pub node: usize,
    pub machine: Machine,
    pub is_alive: bool,
    pub is_draining: bool,
    pub paused_until: i64,
    /// Without the database until then.
    pub cut_until: i64,
    /// Its address refuses until then, though it lives.
    pub refuses_until: i64,
    /// The session that renews; `None`: to be made.
    pub session: Option<u64>,
    /// Its clock is ahead by this.
    pub ahead_us: i64,
    pub wake_at: Option<i64>,
    /// Granted and not drained.
    pub serves: BTreeMap<OwnedKey, Epoch>,
    /// By the world's clock; 0: shut.
    pub gate_until: i64,
    /// Whom its asks of these numbers bury.
    pub burials: BTreeMap<u64, Incarnation>,
}

impl World {
    pub fn start(&mut self, node: usize) {
        let me = Incarnation(u128::from(self.rng.random::<u64>()));
        let newcomer = Newcomer {
            me,
            node: node_id(node),
            address: node.to_string(),
            roles: vec![Role::Channels, Role::Platforms],
            weight: 100,
            protocol: (1, 1),
            lease_us: 0,
            predecessor: None,
        };
        let p = self.processes.len();
        self.processes.push(Process {
            me,
            node,
            machine: Machine::new(newcomer, self.timings.clone()),
            is_alive: true,
            is_draining: false,
            paused_until: 0,
            cut_until: 0,
            refuses_until: 0,
            session: None,
            ahead_us: self.rng.random_range(0..1_000_000 * SEC),
            wake_at: None,
            serves: BTreeMap::new(),
            gate_until: 0,
            burials: BTreeMap::new(),
        });
        let wanted = self.wanted.iter().map(|(key, place)| (key.clone(), place.clone())).collect();
        self.hand_in(p, Input::Wanted(wanted));
        self.after(100 * MS, Event::WriteTick(p));
    }

    pub fn wake(&mut self, p: usize) {
        if self.processes[p].wake_at.is_some_and(|at| at <= self.now) {
            self.processes[p].wake_at = None;
            self.hand_in(p, Input::Tick);
        }
    }

    pub fn hand_in(&mut self, p: usize, input: Input) {
        if let Input::Answer { number, answer } = &input {
            let victim = self.processes[p].burials.remove(number);
            if let (Some(victim), crate::ask::Answer::Buried) = (victim, answer) {
                self.db.end_sessions(victim);
            }
        }
        let is_session_lost = input == Input::LeaseSessionLost;
        let process = &mut self.processes[p];
        let outputs = process.machine.on(MonotonicUs(self.now + process.ahead_us), input);
        for output in outputs {
            self.carry_out(p, output);
        }
        if is_session_lost {
            self.forget_session(p);
        }
        let process = &self.processes[p];
        let next = process.machine.next_wake().map(|at| (at.0 - process.ahead_us).max(self.now + 1));
        if let Some(at) = next.filter(|at| process.wake_at.is_none_or(|before| *at < before)) {
            self.processes[p].wake_at = Some(at);
            self.after(at - self.now, Event::Wake(p));
        }
    }

    fn carry_out(&mut self, p: usize, output: Output) {
        match output {
            Output::Ask { number, lane, ask } => self.send(p, (number, lane, ask)),
            Output::Probe { incarnation, address } => {
                let listens = self
                    .processes
                    .iter()
                    .any(|q| q.is_alive && q.refuses_until <= self.now && q.node.to_string() == address);
                let within = self.within(MS, 5 * MS);
                self.after(within, Event::Input(p, Input::Probed { incarnation, refused: !listens }));
            }
            Output::Gate { until } => {
                let process = &mut self.processes[p];
                process.gate_until = until.map_or(0, |until| until.0 - process.ahead_us);
                self.check_gate(p);
            }
            Output::Granted { key, epoch, .. } => {
                self.processes[p].serves.insert(key.clone(), epoch);
                self.check_key(p, &key);
            }
            Output::HandOver { key, epoch, .. } => {
                self.n_handed_over += 1;
                if self.plan.is_calm {
                    self.breaks(format!("{key} moved for nothing"));
                }
                let within = self.within(MS, 50 * MS);
                self.after(within, Event::Drain(p, key, epoch));
            }
            Output::Released { key, to } => {
                for q in self.others(p) {
                    if to.as_ref().is_some_and(|to| *to == node_id(self.processes[q].node)) {
                        self.tell(q, Input::Freed(vec![key.clone()]));
                    }
                }
            }
            Output::View(view) => {
                for q in self.others(p) {
                    self.tell(q, Input::ViewHeard(view.version));
                }
            }
            Output::Members => {}
            Output::Left => self.end(p),
            Output::Died => {
                self.end(p);
                let within = self.within(100 * MS, SEC);
                self.after(within, Event::Start(self.processes[p].node));
            }
        }
    }

    /// The process is gone; its machine's kernel closes the sessions, unless it is cut off.
    pub fn end(&mut self, p: usize) {
        let process = &mut self.processes[p];
        process.is_alive = false;
        process.serves.clear();
        let (me, cut_until) = (process.me, process.cut_until);
        let within = (cut_until - self.now).max(self.within(10 * MS, 40 * MS));
        if let Some(session) = self.processes[p].session.take() {
            self.after(within, Event::LockFreed(me, session));
        }
        self.db.open_writes.retain(|_, write| write.by != me);
    }

    pub fn others(&self, p: usize) -> Vec<usize> {
        (0..self.processes.len()).filter(|q| *q != p && self.processes[*q].is_alive).collect()
    }

    /// Peers hear nearly everything, soon.
    pub fn tell(&mut self, p: usize, input: Input) {
        if self.rng.random_bool(0.8) {
            let within = self.within(MS, 20 * MS);
            self.after(within, Event::Input(p, input));
        }
    }

    /// Nothing is drained before its writes are through.
    pub fn drain(&mut self, p: usize, key: OwnedKey, epoch: Epoch) {
        let me = self.processes[p].me;
        if self.db.open_writes.values().any(|write| write.by == me && write.key == key) {
            return self.after(10 * MS, Event::Drain(p, key, epoch));
        }
        self.processes[p].serves.remove(&key);
        self.hand_in(p, Input::Drained { key, epoch });
    }

    /// Writes one of the keys that it thinks it owns, whatever its gate says: the fence alone must hold.
    pub fn write(&mut self, p: usize) {
        let within = self.within(100 * MS, 300 * MS);
        self.after(within, Event::WriteTick(p));
        let n_keys = self.processes[p].serves.len();
        if n_keys == 0 || !self.is_reachable(p) {
            return;
        }
        let at = self.rng.random_range(0..n_keys);
        let process = &self.processes[p];
        if let Some((key, epoch)) = process.serves.iter().nth(at) {
            let write = Write { by: process.me, key: key.clone(), epoch: *epoch };
            let slow = !self.plan.is_calm && self.rng.random_bool(0.02);
            let within = if slow { self.within(0, 3 * SEC) } else { self.within(MS, 10 * MS) };
            self.n_numbers += 1;
            self.after(within, Event::Begin(p, self.n_numbers, write));
        }
    }
}
