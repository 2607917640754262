//! Between a process and the database: what is late, what is lost, and whether it was done all the same.

use rand::RngExt;

use crate::ask::Ask;
use crate::model::Write;
use crate::{DbTime, Input, Lane};

use super::{Event, MS, SEC, World};

/// The driver's limit of an ask.
const TIMEOUT_US: i64 = 300 * MS;

pub struct Request {
    number: u64,
    lane: Lane,
    ask: Ask,
    /// Whether the answer comes back.
    is_answered: bool,
}

impl World {
    pub fn is_reachable(&self, p: usize) -> bool {
        self.db_down_until <= self.now && self.processes[p].cut_until <= self.now
    }

    pub fn send(&mut self, p: usize, (number, lane, ask): (u64, Lane, Ask)) {
        if let Ask::Bury { victim, .. } = &ask {
            self.processes[p].burials.insert(number, *victim);
        }
        if !self.is_reachable(p) {
            let within = self.within(MS, TIMEOUT_US);
            return self.lose(p, within, number, lane);
        }
        if lane == Lane::Lease && self.processes[p].session.is_none() {
            self.n_numbers += 1;
            self.processes[p].session = Some(self.n_numbers);
            self.db.locks.insert((self.processes[p].me, self.n_numbers));
        }
        let lost = if self.lossy_until > self.now { 0.3 } else { 0.004 };
        let is_answered = !self.rng.random_bool(lost);
        if !is_answered {
            self.lose(p, TIMEOUT_US, number, lane);
            if self.rng.random_bool(0.5) {
                return;
            }
        }
        let slow = !is_answered || (self.lossy_until > self.now && self.rng.random_bool(0.2));
        let latest = if is_answered { TIMEOUT_US / 2 } else { TIMEOUT_US + self.timings.settle_us - 1 };
        let within = if slow { self.within(MS, latest) } else { self.within(MS / 2, 8 * MS) };
        self.after(within, Event::Serve(p, Request { number, lane, ask, is_answered }));
    }

    /// Who loses an ask of the lease takes the session for lost.
    fn lose(&mut self, p: usize, within: i64, number: u64, lane: Lane) {
        if lane == Lane::Lease {
            self.after(within, Event::Input(p, Input::LeaseSessionLost));
        }
        self.after(within, Event::Input(p, Input::Lost { number }));
    }

    /// The process shut its gate and makes a new session; the database frees the lock of the old one when it notices.
    pub fn forget_session(&mut self, p: usize) {
        if let Some(session) = self.processes[p].session.take() {
            let within = self.within(20 * MS, 5 * SEC);
            self.after(within, Event::LockFreed(self.processes[p].me, session));
        }
    }

    pub fn serve(&mut self, p: usize, request: Request) {
        if self.db.waits(&request.ask) {
            return self.after(MS, Event::Serve(p, request));
        }
        let Request { number, lane, ask, is_answered } = request;
        if self.db_down_until > self.now {
            if is_answered {
                self.lose(p, MS, number, lane);
            }
            return;
        }
        let (n_buried, view) = (self.db.buried.len(), self.db.view.clone());
        let answer = self.db.answer(DbTime(self.now + self.db_ahead_us), ask);
        if self.db.buried.len() > n_buried {
            self.check_burial();
        }
        self.check_view(&view);
        if is_answered {
            let within = self.within(MS / 2, 8 * MS);
            self.after(within, Event::Input(p, Input::Answer { number, answer }));
        }
    }

    /// The database takes up a write; a transaction that stays open for a second is ended.
    pub fn begin(&mut self, p: usize, number: u64, write: Write) {
        if self.is_reachable(p) && self.processes[p].is_alive && self.db.begin_write(number, write) {
            self.after(MS, Event::Began(p, number));
            self.after(SEC, Event::Rollback(number));
        }
    }

    pub fn commit(&mut self, number: u64) {
        if let Some(write) = self.db.commit_write(number) {
            self.n_committed += 1;
            self.check_write(&write);
        }
    }
}
