//! The keys: which should be mine, which are, and on the way from one to the other.
//!
//! An answer that is lost leaves a key in doubt: the claim may be applied yet, up to the settling time later. Until then
//! the key is not released, and after it the database is asked once more, so that no key is owned by who forgot it.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use siphasher::sip::SipHasher13;

use crate::ask::{Answer, Ask, Claimed};
use crate::machine::Output;
use crate::machine::lanes::Flight;
use crate::machine::view::Rings;
use crate::{Epoch, Incarnation, MonotonicUs, OwnedKey, Place, Timings};

/// Keys of one claim or release.
const BATCH_MAX: usize = 2_500;
/// A node that leaves gives away so many times faster than one that rebalances.
const DRAIN_PACE: i64 = 5;
/// Hand-overs begin in slots of this length.
const SLOT_US: i64 = 50_000;

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Each key of the cluster: most are others', so an entry is small. What is done in an order stands in the sets below.
    entries: HashMap<OwnedKey, Entry, BuildHasherDefault<SipHasher13>>,
    /// Keys to claim or to release, by when; an entry has one due time at most.
    claims: BTreeSet<(MonotonicUs, OwnedKey)>,
    releases: BTreeSet<(MonotonicUs, OwnedKey)>,
    /// Keys to hand over.
    moves: BTreeSet<OwnedKey>,
    next_slot: MonotonicUs,
    /// Keys that are or may become mine, but for those in doubt.
    n_held: usize,
    /// Keys that are being handed over.
    n_leaving: usize,
    /// Keys that are being claimed.
    n_claiming: usize,
    /// I want none any more, for ever.
    closed: bool,
    /// The node leaves: it gives away faster than one that rebalances.
    is_leaving: bool,
}

#[derive(Debug)]
struct Entry {
    /// `None`: nobody should own it.
    place: Option<Place>,
    /// By the view it should be mine.
    mine: bool,
    phase: Phase,
    /// When to claim next; `None`: not.
    claim_at: Option<MonotonicUs>,
    /// Until then a claim whose answer was lost may be applied; `None`: there is none.
    doubt_until: Option<MonotonicUs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    /// `freed`: the owner released it since.
    Claiming {
        freed: bool,
    },
    Mine(Epoch),
    Moving(Epoch),
    Releasing(Epoch),
}

/// What an answer is judged by.
pub(super) struct Around<'a> {
    pub now: MonotonicUs,
    pub rings: &'a Rings,
    pub timings: &'a Timings,
}

impl Keys {
    pub fn place(&self, key: &OwnedKey) -> Option<&Place> {
        self.entries.get(key)?.place.as_ref()
    }

    pub fn epoch(&self, key: &OwnedKey) -> Option<Epoch> {
        match self.entries.get(key)?.phase {
            Phase::Mine(epoch) | Phase::Moving(epoch) => Some(epoch),
            Phase::Away | Phase::Claiming { .. } | Phase::Releasing(_) => None,
        }
    }

    pub const fn n_held(&self) -> usize {
        self.n_held
    }

    /// Keys to hand over, and keys to become mine.
    pub fn moves(&self) -> (usize, usize) {
        (self.moves.len() + self.n_leaving, self.claims.len() + self.n_claiming)
    }

    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn want(&mut self, now: MonotonicUs, keys: Vec<(OwnedKey, Place)>, rings: &Rings) {
        for (key, place) in keys {
            let mine = rings.is_mine(&place);
            let away = Entry { place: None, mine, phase: Phase::Away, claim_at: None, doubt_until: None };
            let entry = self.entries.entry(key.clone()).or_insert(away);
            (entry.place, entry.mine) = (Some(place), mine);
            self.settle(now, &key);
        }
    }

    pub fn unwant(&mut self, now: MonotonicUs, key: &OwnedKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            (entry.place, entry.mine) = (None, false);
            self.settle(now, key);
        }
    }

    /// Places every key anew.
    pub fn replace_all(&mut self, now: MonotonicUs, rings: &Rings) {
        let mut changed = Vec::new();
        for (key, entry) in &mut self.entries {
            let mine = entry.place.as_ref().is_some_and(|place| rings.is_mine(place));
            if let Phase::Claiming { freed } = &mut entry.phase {
                *freed = true;
            }
            if mine != entry.mine || (mine && entry.phase == Phase::Away) {
                entry.mine = mine;
                changed.push(key.clone());
            }
        }
        for key in &changed {
            self.settle(now, key);
        }
    }

    /// Claims at once what others own: one of them died.
    pub fn retry_all(&mut self, now: MonotonicUs) {
        let asked = |entry: &Entry| entry.claim_at.is_some() || matches!(entry.phase, Phase::Claiming { .. });
        let keys: Vec<_> =
            self.entries.iter().filter(|(_, entry)| asked(entry)).map(|(key, _)| key.clone()).collect();
        self.freed(now, &keys);
    }

    /// Claims at once what its owner released. False when one of them should not be mine.
    pub fn freed(&mut self, now: MonotonicUs, keys: &[OwnedKey]) -> bool {
        let mut are_mine = true;
        for key in keys {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            are_mine &= entry.mine;
            match &mut entry.phase {
                Phase::Claiming { freed } => *freed = true,
                Phase::Away if entry.claim_at.is_some() => self.settle(now, key),
                Phase::Away | Phase::Mine(_) | Phase::Moving(_) | Phase::Releasing(_) => {}
            }
        }
        are_mine
    }

    pub const fn leave(&mut self) {
        self.is_leaving = true;
    }

    pub fn close(&mut self, now: MonotonicUs, close: bool) {
        if close && !self.closed {
            self.closed = true;
            let keys: Vec<_> = self.entries.keys().cloned().collect();
            for key in &keys {
                self.settle(now, key);
            }
        }
    }

    pub fn drained(&mut self, now: MonotonicUs, key: &OwnedKey, epoch: Epoch) {
        if self.entries.get(key).is_some_and(|entry| entry.phase == Phase::Moving(epoch)) {
            self.release(now, key, epoch);
        }
    }

    /// Begins the hand-overs that are due.
    pub fn move_away(&mut self, now: MonotonicUs, rings: &Rings, timings: &Timings, out: &mut Vec<Output>) {
        if self.moves.is_empty() || self.next_slot > now {
            return;
        }
        self.next_slot = now.plus(SLOT_US);
        let pace = if self.is_leaving { DRAIN_PACE } else { 1 };
        let mut n_left = (timings.moves_per_sec * pace * SLOT_US / 1_000_000).max(1);
        while n_left > 0 {
            let Some(key) = self.moves.pop_first() else { break };
            let Some(Entry { phase: Phase::Mine(epoch), .. }) = self.entries.get(&key) else { continue };
            let (epoch, to) = (*epoch, self.heir(&key, rings));
            // Where nobody follows nobody is overrun.
            n_left -= i64::from(to.is_some());
            self.set_phase(&key, Phase::Moving(epoch));
            out.push(Output::HandOver { key, epoch, to });
        }
    }

    pub fn move_due(&self) -> Option<MonotonicUs> {
        (!self.moves.is_empty()).then_some(self.next_slot)
    }

    /// The next ask; releases go first, as somebody waits for them.
    pub fn ask(&mut self, now: MonotonicUs, me: Incarnation) -> Option<Ask> {
        let releases: Vec<_> = due(&mut self.releases, now)
            .into_iter()
            .filter_map(|key| match self.entries.get(&key)?.phase {
                Phase::Releasing(epoch) => Some((key, epoch)),
                _ => None,
            })
            .collect();
        if !releases.is_empty() {
            return Some(Ask::Release { me, keys: releases });
        }
        let keys = due(&mut self.claims, now);
        for key in &keys {
            self.set_phase(key, Phase::Claiming { freed: false });
        }
        (!keys.is_empty()).then_some(Ask::Claim { me, keys })
    }

    pub fn ask_due(&self) -> Option<MonotonicUs> {
        let first = |queue: &BTreeSet<(MonotonicUs, OwnedKey)>| queue.first().map(|(at, _)| *at);
        first(&self.claims).into_iter().chain(first(&self.releases)).min()
    }

    pub fn answered(&mut self, around: &Around<'_>, flight: Flight, answer: Answer, out: &mut Vec<Output>) {
        let Around { now, rings, timings } = *around;
        match (flight.ask, answer) {
            (Ask::Claim { .. }, Answer::Claimed { claimed, owned_by_others, skipped }) => {
                for claimed in claimed {
                    self.claimed(now, claimed, out);
                }
                for key in owned_by_others {
                    self.denied(now, flight.sent_at, &key, timings);
                }
                for key in skipped {
                    self.set_phase(&key, Phase::Away);
                    self.claim_at(&key, Some(now.plus(timings.retry_us)));
                }
            }
            (Ask::Release { keys, .. }, Answer::Released { .. }) => {
                for (key, _) in keys {
                    let to = self.heir(&key, rings);
                    self.set_phase(&key, Phase::Away);
                    if let Some(entry) = self.entries.get_mut(&key) {
                        entry.doubt_until = None;
                    }
                    self.settle(now, &key);
                    out.push(Output::Released { key, to });
                }
            }
            _ => {}
        }
    }

    pub fn lost(&mut self, now: MonotonicUs, flight: Flight, timings: &Timings) {
        match flight.ask {
            Ask::Claim { keys, .. } => {
                for key in keys {
                    if let Some(entry) = self.entries.get_mut(&key) {
                        entry.doubt_until = Some(now.plus(timings.settle_us));
                    }
                    self.set_phase(&key, Phase::Away);
                    self.settle(now, &key);
                }
            }
            Ask::Release { keys, .. } => self.releases.extend(keys.into_iter().map(|(key, _)| (now, key))),
            _ => {}
        }
    }

    fn claimed(&mut self, now: MonotonicUs, claimed: Claimed, out: &mut Vec<Output>) {
        let Claimed { key, epoch, from } = claimed;
        let Some(entry) = self.entries.get(&key) else { return };
        if entry.mine && !self.closed {
            self.set_phase(&key, Phase::Mine(epoch));
            out.push(Output::Granted { key, epoch, from });
        } else {
            self.release(now, &key, epoch);
        }
    }

    /// Another node owns it.
    fn denied(&mut self, now: MonotonicUs, sent_at: MonotonicUs, key: &OwnedKey, timings: &Timings) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let freed = entry.phase == Phase::Claiming { freed: true };
        entry.doubt_until = entry.doubt_until.filter(|until| *until > sent_at);
        self.set_phase(key, Phase::Away);
        self.settle(if freed { now } else { now.plus(timings.owned_retry_us) }, key);
    }

    /// Releases it as soon as no lost claim can bring it back.
    fn release(&mut self, now: MonotonicUs, key: &OwnedKey, epoch: Epoch) {
        self.set_phase(key, Phase::Releasing(epoch));
        let doubt_until = self.entries.get(key).and_then(|entry| entry.doubt_until);
        self.releases.insert((doubt_until.map_or(now, |until| until.max(now)), key.clone()));
    }

    /// Sets out from where the key is to where it should be.
    fn settle(&mut self, at: MonotonicUs, key: &OwnedKey) {
        let Some(entry) = self.entries.get(key) else { return };
        let wanted = entry.mine && !self.closed;
        match entry.phase {
            Phase::Mine(_) if wanted => drop(self.moves.remove(key)),
            Phase::Mine(_) => drop(self.moves.insert(key.clone())),
            Phase::Claiming { .. } | Phase::Moving(_) | Phase::Releasing(_) => {}
            Phase::Away if wanted => self.claim_at(key, Some(at)),
            Phase::Away => {
                let (doubt_until, forgotten) = (entry.doubt_until, entry.place.is_none());
                self.claim_at(key, doubt_until.map(|until| until.max(at)));
                if forgotten && doubt_until.is_none() {
                    self.entries.remove(key);
                }
            }
        }
    }

    fn claim_at(&mut self, key: &OwnedKey, at: Option<MonotonicUs>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(before) = entry.claim_at.take() {
            self.claims.remove(&(before, key.clone()));
        }
        entry.claim_at = at;
        self.claims.extend(at.map(|at| (at, key.clone())));
    }

    fn set_phase(&mut self, key: &OwnedKey, phase: Phase) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let count = |n: &mut usize, counts: fn(Phase) -> bool| {
            *n = *n + usize::from(counts(phase)) - usize::from(counts(entry.phase));
        };
        count(&mut self.n_held, |phase| phase != Phase::Away);
        count(&mut self.n_leaving, |phase| matches!(phase, Phase::Moving(_) | Phase::Releasing(_)));
        count(&mut self.n_claiming, |phase| matches!(phase, Phase::Claiming { .. }));
        entry.phase = phase;
        self.claim_at(key, None);
    }

    fn heir(&self, key: &OwnedKey, rings: &Rings) -> Option<crate::NodeId> {
        let owner = rings.owner(self.place(key)?)?;
        (!rings.is_me(owner)).then(|| owner.clone())
    }
}

/// Takes up to a batch of what is due.
fn due(queue: &mut BTreeSet<(MonotonicUs, OwnedKey)>, now: MonotonicUs) -> Vec<OwnedKey> {
    let mut keys = Vec::new();
    while keys.len() < BATCH_MAX && queue.first().is_some_and(|(at, _)| *at <= now) {
        keys.extend(queue.pop_first().map(|(_, key)| key));
    }
    keys
}
