//! What must hold at every step, and at the end.

use crate::OwnedKey;
use crate::ask::{Seat, State, View};
use crate::model::{Owner, Write};

use super::World;

impl World {
    /// No write is committed but under the highest epoch, by its owner.
    pub fn check_write(&mut self, write: &Write) {
        if !self.db.is_owner(write) {
            let owner = self.db.owners.get(&write.key).cloned();
            self.breaks(format!("stale write {write:?}, but {owner:?}"));
        }
    }

    /// Whoever is buried cannot send any more; and in a calm run nobody is.
    pub fn check_burial(&mut self) {
        let Some(victim) = self.db.buried.last().copied() else { return };
        let sends = self.processes.iter().any(|p| p.me == victim && p.is_alive && p.gate_until > self.now);
        if sends {
            self.breaks(format!("{victim} was buried while its gate was open"));
        }
        if self.plan.is_calm {
            self.breaks(format!("{victim} was buried though it renewed as soon as it could"));
        }
    }

    /// No view leaves out who is active, and was in the last one.
    pub fn check_view(&mut self, before: &View) {
        let is_active =
            |seat: &&Seat| self.db.nodes.get(&seat.incarnation).is_some_and(|n| n.state == State::Active);
        let lost = before.members.iter().filter(is_active).find(|seat| !self.db.view.members.contains(seat));
        if let Some(lost) = lost {
            self.breaks(format!("{lost:?} was left out"));
        }
        self.check_returns(before);
    }

    /// Nobody takes keys from others twice within a rebalancing time by coming and going.
    fn check_returns(&mut self, before: &View) {
        let after = self.db.view.members.clone();
        let is_new = |seat: &&Seat| !before.members.iter().any(|old| old.node == seat.node);
        if !after.iter().any(|seat| before.members.iter().any(|old| old.incarnation == seat.incarnation)) {
            return;
        }
        for seat in after.iter().filter(is_new) {
            let last = self.returned_at.insert(seat.node.clone(), self.now);
            let too_soon = last.is_some_and(|last| self.now - last < self.timings.rebalance_us);
            if too_soon && !self.is_clock_wrong {
                self.breaks(format!("{} came back again after {last:?} already", seat.node));
            }
        }
    }

    /// A gate that opens is that of a living incarnation, and of nobody else's keys.
    pub fn check_gate(&mut self, p: usize) {
        let process = &self.processes[p];
        if process.gate_until > self.now && self.db.is_dead(process.me) {
            self.breaks(format!("the gate of {} opened after its death", self.processes[p].me));
        }
        let keys: Vec<_> = self.processes[p].serves.keys().cloned().collect();
        for key in keys {
            self.check_key(p, &key);
        }
    }

    /// Of all who serve a key one may send, whatever the epochs.
    pub fn check_key(&mut self, p: usize, key: &OwnedKey) {
        let may_send = |q: usize| {
            let process = &self.processes[q];
            process.is_alive && process.gate_until > self.now && process.serves.contains_key(key)
        };
        if may_send(p)
            && let Some(q) = self.others(p).into_iter().find(|q| may_send(*q))
        {
            let (a, b) = (self.processes[p].me, self.processes[q].me);
            self.breaks(format!("{a} and {b} may both send for {key}"));
        }
    }

    /// Wanted keys that nobody both serves and may send for, and keys of somebody who lives and does not know of it.
    pub fn not_owned(&self) -> Vec<OwnedKey> {
        let alive = || self.processes.iter().filter(|process| process.is_alive);
        let is_served =
            |key: &&OwnedKey| alive().any(|p| p.gate_until > self.now && p.serves.contains_key(key));
        let is_forgotten = |(key, owner): &(&OwnedKey, &Owner)| {
            !owner.is_released && alive().any(|p| p.me == owner.by && !p.serves.contains_key(key))
        };
        let missing = self.wanted.keys().filter(|key| !is_served(key));
        missing.chain(self.db.owners.iter().filter(is_forgotten).map(|(key, _)| key)).cloned().collect()
    }

    /// For whoever looks into a broken run.
    pub fn show(&self) -> String {
        let alive: Vec<_> =
            self.processes.iter().filter(|process| process.is_alive).map(|p| &p.machine).collect();
        format!("{:?}\n{:#?}\n{alive:#?}", self.db.view, self.db.owners)
    }
}
