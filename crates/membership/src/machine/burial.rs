//! Who is thought dead: a lease that lapsed, or a peer whose session dropped and whose address refuses.

use std::collections::BTreeMap;

use crate::ask::{Evidence, Member};
use crate::machine::Output;
use crate::{DbTime, Incarnation, MonotonicUs, Timings};

/// A lease further ahead than its length and this much is none.
const AHEAD_US_MAX: i64 = 1_000_000;
/// Refusals before the database is asked whether the lock is free too.
const REFUSALS: u32 = 2;

/// Answers after which a doubt is over. One is not enough: a process that is killed closes its sessions and its address one
/// after the other, and a probe may fall in between.
const ANSWERS: u32 = 3;

/// Of the time to a probe after the lock was found held.
const DOUBLINGS_MAX: u32 = 5;

/// By the rule of [`Evidence::Lapsed`].
pub(crate) const fn is_lapsed(lease_until: DbTime, now: DbTime, lease_us: i64) -> bool {
    lease_until.0 < now.0 || lease_until.0 > now.0 + lease_us + AHEAD_US_MAX
}

#[derive(Debug, Default)]
pub(super) struct Burial {
    /// Leases that a steady look found lapsed, to be buried one by one.
    lapsed: Vec<(Incarnation, DbTime)>,
    /// The lease of each as last seen, and since when it is the same.
    leases: BTreeMap<Incarnation, (DbTime, MonotonicUs)>,
    /// Members whose session dropped, until they answer or die.
    doubts: BTreeMap<Incarnation, Doubt>,
}

/// A look's answer, and who asked.
pub(super) struct Look<'a> {
    pub me: Incarnation,
    pub db_now: DbTime,
    pub members: &'a [Member],
    pub is_steady: bool,
}

#[derive(Debug)]
struct Doubt {
    n_refused: u32,
    /// Probes in a row that were not refused.
    n_answered: u32,
    /// Burials that found the lock held; each doubles the time to the next probe.
    n_held: u32,
    /// `None`: a probe is under way, or the refusals suffice.
    probe_at: Option<MonotonicUs>,
}

impl Burial {
    /// Starts to probe that member.
    pub fn doubt(&mut self, now: MonotonicUs, peer: Incarnation, members: &[Member]) {
        if members.iter().any(|member| member.seat.incarnation == peer) {
            self.doubts.entry(peer).or_insert(Doubt {
                n_refused: 0,
                n_answered: 0,
                n_held: 0,
                probe_at: Some(now),
            });
        }
    }

    pub fn probed(&mut self, now: MonotonicUs, peer: Incarnation, refused: bool, timings: &Timings) {
        let Some(doubt) = self.doubts.get_mut(&peer) else { return };
        if refused {
            (doubt.n_refused, doubt.n_answered) = (doubt.n_refused + 1, 0);
            doubt.probe_at = (doubt.n_refused < REFUSALS).then(|| now.plus(timings.probe_us));
        } else {
            (doubt.n_refused, doubt.n_answered) = (0, doubt.n_answered + 1);
            doubt.probe_at = Some(now.plus(timings.probe_us));
            if doubt.n_answered >= ANSWERS {
                self.doubts.remove(&peer);
            }
        }
    }

    /// Sends the probes that are due.
    pub fn probe(&mut self, now: MonotonicUs, members: &[Member], out: &mut Vec<Output>) {
        for (incarnation, doubt) in &mut self.doubts {
            if doubt.probe_at.take_if(|at| *at <= now).is_some() {
                let member = members.iter().find(|member| member.seat.incarnation == *incarnation);
                out.extend(member.map(|member| Output::Probe {
                    incarnation: *incarnation,
                    address: member.address.clone(),
                }));
            }
        }
    }

    pub fn probe_due(&self) -> Option<MonotonicUs> {
        self.doubts.values().filter_map(|doubt| doubt.probe_at).min()
    }

    /// Notes a lease, and says whether its owner cannot send any more whatever the database's clock did: it has not
    /// renewed for as long as a gate is open.
    pub fn watch(
        &mut self,
        now: MonotonicUs,
        of: Incarnation,
        lease_until: DbTime,
        timings: &Timings,
    ) -> bool {
        let (lease, since) = self.leases.entry(of).or_insert((lease_until, now));
        if *lease != lease_until {
            (*lease, *since) = (lease_until, now);
        }
        since.plus(timings.gate_us) <= now
    }

    /// Takes over what a look showed that came now; `steady`: up to its own time.
    pub fn looked(&mut self, now: MonotonicUs, look: &Look<'_>, timings: &Timings) {
        let is_there =
            |incarnation: &Incarnation| look.members.iter().any(|m| m.seat.incarnation == *incarnation);
        self.doubts.retain(|incarnation, _| is_there(incarnation));
        self.leases.retain(|incarnation, _| is_there(incarnation));
        self.lapsed.clear();
        for Member { seat, lease_until, .. } in look.members {
            let silent = self.watch(now, seat.incarnation, *lease_until, timings);
            let lapsed = is_lapsed(*lease_until, look.db_now, timings.lease_us);
            if silent && lapsed && look.is_steady && seat.incarnation != look.me {
                self.lapsed.push((seat.incarnation, *lease_until));
            }
        }
    }

    /// The next one to bury; the caller is steady.
    pub fn victim(&mut self, lease_us: i64) -> Option<(Incarnation, Evidence)> {
        let refused =
            self.doubts.iter().find(|(_, doubt)| doubt.n_refused >= REFUSALS && doubt.probe_at.is_none());
        if let Some((incarnation, _)) = refused {
            return Some((*incarnation, Evidence::Refused));
        }
        let (incarnation, seen) = self.lapsed.pop()?;
        Some((incarnation, Evidence::Lapsed { lease_us, seen }))
    }

    pub fn buried(&mut self, victim: Incarnation) {
        self.doubts.remove(&victim);
    }

    /// The lock is held yet: one more refusal, at first soon, before it is asked again.
    pub fn alive(&mut self, now: MonotonicUs, victim: Incarnation, timings: &Timings) {
        if let Some(doubt) = self.doubts.get_mut(&victim) {
            let wait_us = timings.retry_us << doubt.n_held;
            let n_held = (doubt.n_held + 1).min(DOUBLINGS_MAX);
            let probe_at = Some(now.plus(wait_us));
            *doubt = Doubt { n_refused: REFUSALS - 1, n_answered: 0, n_held, probe_at };
        }
    }
}
