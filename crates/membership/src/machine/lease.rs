//! The lease and the gate: a renewal allows sending for a while, counted from before it was sent.

use crate::MonotonicUs;
use crate::ask::{Answer, Ask, Evidence, Newcomer, State};
use crate::machine::lanes::Flight;
use crate::machine::{Life, Machine, Output, burial};

#[derive(Debug, Default)]
pub(super) struct Lease {
    /// When to renew, or to ask for admission, next.
    pub renew_at: MonotonicUs,
    /// Until when sending is allowed; `None`: shut.
    gate_until: Option<MonotonicUs>,
    /// Renewals before this number went over a session that is gone, and its lock with it.
    counts_from: u64,
}

impl Lease {
    pub const fn gate_until(&self) -> Option<MonotonicUs> {
        self.gate_until
    }

    pub fn session_lost(&mut self, next_number: u64, out: &mut Vec<Output>) {
        self.counts_from = self.counts_from.max(next_number);
        self.shut(out);
    }

    /// For ever: it leaves.
    pub fn close(&mut self, out: &mut Vec<Output>) {
        self.session_lost(u64::MAX, out);
    }

    /// Says it where the time ran out.
    pub fn lapse(&mut self, now: MonotonicUs, out: &mut Vec<Output>) {
        if self.gate_until.is_some_and(|until| until <= now) {
            self.shut(out);
        }
    }

    pub fn shut(&mut self, out: &mut Vec<Output>) {
        if self.gate_until.take().is_some() {
            out.push(Output::Gate { until: None });
        }
    }

    fn open(&mut self, now: MonotonicUs, number: u64, until: MonotonicUs, out: &mut Vec<Output>) {
        if number >= self.counts_from && until > now {
            self.gate_until = Some(until);
            out.push(Output::Gate { until: Some(until) });
        }
    }
}

impl Machine {
    pub(super) fn lease_ask(&self) -> Ask {
        match self.life {
            Life::Outside => Ask::Join(self.newcomer.clone()),
            Life::Inside(_) | Life::Over => Ask::Renew { me: self.me(), lease_us: self.timings.lease_us },
        }
    }

    pub(super) fn lease_answered(
        &mut self,
        now: MonotonicUs,
        flight: &Flight,
        answer: &Answer,
        out: &mut Vec<Output>,
    ) {
        self.lease.renew_at = flight.sent_at.plus(self.timings.renew_us);
        match answer {
            Answer::Joined { now: db_now, .. } => {
                self.steady.sample(flight.sent_at, now, *db_now, &self.timings);
                self.life = Life::Inside(State::Joining);
                self.lease.renew_at = now;
            }
            Answer::Occupied { now: db_now, by, lease_until, .. } => {
                self.steady.sample(flight.sent_at, now, *db_now, &self.timings);
                let lease_us = self.timings.lease_us;
                let lapsed = burial::is_lapsed(*lease_until, *db_now, lease_us);
                let silent = self.burial.watch(now, *by, *lease_until, &self.timings);
                let bury = silent && lapsed && self.steady.is_steady(now, &self.timings);
                let evidence = Evidence::Lapsed { lease_us, seen: *lease_until };
                self.newcomer =
                    Newcomer { predecessor: bury.then_some((*by, evidence)), ..self.newcomer.clone() };
                if bury {
                    self.lease.renew_at = now;
                }
            }
            Answer::Renewed { now: db_now, view, .. } => {
                self.steady.sample(flight.sent_at, now, *db_now, &self.timings);
                self.lease.open(now, flight.number, flight.sent_at.plus(self.timings.gate_us), out);
                self.heard(now, *view);
            }
            _ => {}
        }
    }
}
