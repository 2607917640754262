//! The database as the simulation has it: it answers by exactly the rules of [`crate::ask`].

use std::collections::{BTreeMap, BTreeSet};

use crate::ask::{Answer, Ask, Claimed, Evidence, From, Member, Newcomer, Seat, State, View};
use crate::{DbTime, Epoch, Incarnation, OwnedKey};

/// A lease further ahead than its length and this much is none.
const AHEAD_US_MAX: i64 = 1_000_000;

/// All that is committed, the sessions, and the transactions that are open.
#[derive(Debug, Default)]
pub struct Database {
    pub nodes: BTreeMap<Incarnation, Member>,
    pub view: View,
    pub owners: BTreeMap<OwnedKey, Owner>,
    /// Sessions that hold the advisory lock on an incarnation.
    pub locks: BTreeSet<(Incarnation, u64)>,
    /// Writes of keys that passed the fence and are not committed: each holds its owner's row.
    pub open_writes: BTreeMap<u64, Write>,
    /// For the test of the tests: nothing is fenced.
    pub is_fence_off: bool,
    /// In order.
    pub buried: Vec<Incarnation>,
}

#[derive(Clone, Debug)]
pub struct Owner {
    pub by: Incarnation,
    pub epoch: Epoch,
    pub is_released: bool,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub by: Incarnation,
    pub key: OwnedKey,
    pub epoch: Epoch,
}

impl Database {
    /// One transaction.
    pub fn answer(&mut self, now: DbTime, ask: Ask) -> Answer {
        match ask {
            Ask::Join(newcomer) => self.join(now, newcomer),
            Ask::Renew { me, .. }
            | Ask::Look { me }
            | Ask::Enter { me, .. }
            | Ask::Bury { me, .. }
            | Ask::Leave { me }
            | Ask::Publish { me, .. }
            | Ask::Claim { me, .. }
            | Ask::Release { me, .. }
                if !self.is_alive(me) =>
            {
                Answer::Dead
            }
            ask => self.answer_living(now, ask),
        }
    }

    fn answer_living(&mut self, now: DbTime, ask: Ask) -> Answer {
        match ask {
            Ask::Join(newcomer) => self.join(now, newcomer),
            Ask::Renew { me, lease_us } => {
                let lease_until = DbTime(now.0 + lease_us);
                self.node(me).lease_until = lease_until;
                Answer::Renewed { now, lease_until, view: self.view.version }
            }
            Ask::Look { .. } => {
                Answer::Look { now, members: self.living().cloned().collect(), view: self.view.clone() }
            }
            Ask::Enter { me, state } => {
                let node = self.node(me);
                node.state = node.state.max(state);
                Answer::Entered
            }
            Ask::Bury { me, .. } if self.node(me).lease_until < now => Answer::NotValid,
            Ask::Bury { victim, evidence, .. } => self.bury(now, victim, evidence),
            Ask::Leave { me } => {
                self.node(me).state = State::Dead;
                self.owners
                    .values_mut()
                    .filter(|owner| owner.by == me)
                    .for_each(|owner| owner.is_released = true);
                Answer::Left
            }
            Ask::Publish { version, .. } if version != self.view.version => {
                Answer::Outdated(self.view.clone())
            }
            Ask::Publish { version, members, .. } => {
                self.view = View { version: version + 1, members, published_at: now };
                Answer::Published(self.view.clone())
            }
            Ask::Claim { me, keys } => self.claim(me, keys),
            Ask::Release { me, keys } => {
                let mut n_released = 0;
                for (key, epoch) in keys {
                    let mine =
                        |owner: &&mut Owner| owner.by == me && owner.epoch == epoch && !owner.is_released;
                    if let Some(owner) = self.owners.get_mut(&key).filter(mine) {
                        owner.is_released = true;
                        n_released += 1;
                    }
                }
                Answer::Released { n_released }
            }
        }
    }

    /// Begins a write of a key; `false`: the fence refuses it.
    pub fn begin_write(&mut self, number: u64, write: Write) -> bool {
        let passes = self.is_fence_off || self.is_owner(&write);
        if passes {
            self.open_writes.insert(number, write);
        }
        passes
    }

    /// Commits a write that is open yet.
    pub fn commit_write(&mut self, number: u64) -> Option<Write> {
        self.open_writes.remove(&number)
    }

    /// Ends all sessions of an incarnation, and what they had open.
    pub fn end_sessions(&mut self, of: Incarnation) {
        self.locks.retain(|(holder, _)| *holder != of);
        self.open_writes.retain(|_, write| write.by != of);
    }

    /// Whether it waits for the rows of open writes: a claim skips them, who releases does not.
    pub fn waits(&self, ask: &Ask) -> bool {
        self.open_writes.values().any(|write| match ask {
            Ask::Release { keys, .. } => keys.iter().any(|(key, _)| *key == write.key),
            Ask::Leave { me } => write.by == *me,
            _ => false,
        })
    }

    pub fn is_owner(&self, write: &Write) -> bool {
        let owns = |owner: &Owner| owner.by == write.by && owner.epoch == write.epoch && !owner.is_released;
        self.owners.get(&write.key).is_some_and(owns)
    }

    pub fn is_dead(&self, incarnation: Incarnation) -> bool {
        self.nodes.get(&incarnation).is_some_and(|node| node.state == State::Dead)
    }

    fn is_alive(&self, incarnation: Incarnation) -> bool {
        self.nodes.get(&incarnation).is_some_and(|node| node.state != State::Dead)
    }

    fn living(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values().filter(|node| node.state != State::Dead)
    }

    fn node(&mut self, incarnation: Incarnation) -> &mut Member {
        self.nodes.get_mut(&incarnation).expect("it was found alive")
    }

    fn join(&mut self, now: DbTime, newcomer: Newcomer) -> Answer {
        if self.is_dead(newcomer.me) {
            return Answer::Dead;
        }
        if let Some((victim, evidence)) = newcomer.predecessor {
            self.bury(now, victim, evidence);
        }
        let other = self.living().find(|m| m.seat.node == newcomer.node && m.seat.incarnation != newcomer.me);
        if let Some(Member { seat, address, lease_until, .. }) = other {
            return Answer::Occupied {
                now,
                by: seat.incarnation,
                address: address.clone(),
                lease_until: *lease_until,
            };
        }
        let Newcomer { me, node, address, roles, weight, protocol, lease_us, .. } = newcomer;
        let lease_until = DbTime(now.0 + lease_us);
        let seat = Seat { node, incarnation: me, roles, weight };
        let row = Member { seat, state: State::Joining, address, protocol, lease_until };
        self.nodes.entry(me).or_insert(row).lease_until = lease_until;
        Answer::Joined { now, lease_until }
    }

    fn bury(&mut self, now: DbTime, victim: Incarnation, evidence: Evidence) -> Answer {
        let is_locked = self.locks.iter().any(|(holder, _)| *holder == victim);
        let Some(node) = self.nodes.get_mut(&victim) else { return Answer::Alive };
        let lease = node.lease_until;
        let holds = match evidence {
            Evidence::Lapsed { lease_us, seen } => {
                lease == seen && (lease < now || lease.0 > now.0 + lease_us + AHEAD_US_MAX)
            }
            Evidence::Refused => !is_locked,
        };
        if node.state != State::Dead {
            if !holds {
                return Answer::Alive;
            }
            node.state = State::Dead;
            self.buried.push(victim);
        }
        Answer::Buried
    }

    fn claim(&mut self, me: Incarnation, keys: Vec<OwnedKey>) -> Answer {
        assert!(keys.len() <= 10_000, "a claim of too many keys");
        let (mut claimed, mut owned_by_others, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            if !self.is_fence_off && self.open_writes.values().any(|write| write.key == key) {
                skipped.push(key);
                continue;
            }
            let before = self.owners.get(&key).cloned();
            let from = match &before {
                None => From::Nobody,
                Some(owner) if owner.is_released => From::Released(owner.by),
                Some(owner) if owner.by == me => From::Mine,
                Some(owner) if self.is_dead(owner.by) => From::Dead(owner.by),
                Some(_) => {
                    owned_by_others.push(key);
                    continue;
                }
            };
            let epoch =
                before.map_or(Epoch(1), |o| if from == From::Mine { o.epoch } else { Epoch(o.epoch.0 + 1) });
            self.owners.insert(key.clone(), Owner { by: me, epoch, is_released: false });
            claimed.push(Claimed { key, epoch, from });
        }
        Answer::Claimed { claimed, owned_by_others, skipped }
    }
}
