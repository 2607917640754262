//! Who is there: entering, looking around, burying, publishing and leaving, one ask after the other.

use crate::MonotonicUs;
use crate::ask::{Answer, Ask, Member, State, View};
use crate::machine::burial::Look;
use crate::machine::lanes::Flight;
use crate::machine::{Life, Machine, Output, view};

impl Machine {
    /// The next ask of the lane; `None` while nothing is due.
    pub(super) fn members_ask(&mut self, now: MonotonicUs) -> Option<Ask> {
        let me = self.me();
        if let Some(ask) = self.step_of_life() {
            return Some(ask);
        }
        if self.steady.is_steady(now, &self.timings) {
            if let Some((victim, evidence)) = self.burial.victim(self.timings.lease_us) {
                return Some(Ask::Bury { me, victim, evidence });
            }
            if let Some(members) = self.rings.proposal(now, &self.members, &self.timings) {
                return Some(Ask::Publish { me, version: self.rings.version(), members });
            }
        }
        (self.look_at <= now).then_some(Ask::Look { me })
    }

    pub(super) fn members_due(&self) -> Option<MonotonicUs> {
        match (self.life, self.step_of_life()) {
            (Life::Outside | Life::Over, _) => None,
            (Life::Inside(_), Some(_)) => Some(MonotonicUs::default()),
            (Life::Inside(_), None) => Some(self.look_at),
        }
    }

    /// Joining → active → draining → left.
    fn step_of_life(&self) -> Option<Ask> {
        let me = self.me();
        match self.life {
            Life::Inside(_) if self.leaving() => Some(Ask::Leave { me }),
            Life::Inside(State::Joining) => Some(Ask::Enter { me, state: State::Active }),
            Life::Inside(State::Active) if self.draining => Some(Ask::Enter { me, state: State::Draining }),
            _ => None,
        }
    }

    /// Whether all that is left to do is to leave.
    pub(super) fn leaving(&self) -> bool {
        let has_nothing = match self.life {
            Life::Inside(State::Draining) => self.keys.is_closed() && self.keys.n_held() == 0,
            state => state == Life::Inside(State::Joining),
        };
        self.draining && has_nothing
    }

    /// A draining node keeps its keys until they have somewhere to go by the view, if there is anywhere.
    pub(super) fn gives_up_all(&self) -> bool {
        let me = self.me();
        let other = |member: &Member| member.state == State::Active && member.seat.incarnation != me;
        let has_heirs = self.members.iter().any(other);
        self.life == Life::Inside(State::Draining) && (!self.rings.is_seated() || !has_heirs)
    }

    pub(super) fn members_answered(
        &mut self,
        now: MonotonicUs,
        flight: &Flight,
        answer: Answer,
        out: &mut Vec<Output>,
    ) {
        match (&flight.ask, answer) {
            (Ask::Enter { state, .. }, Answer::Entered) => {
                self.life = Life::Inside(*state);
                let me = self.me();
                self.members.iter_mut().filter(|m| m.seat.incarnation == me).for_each(|m| m.state = *state);
                self.look_at = now;
            }
            (Ask::Look { .. }, Answer::Look { now: db_now, members, view }) => {
                self.steady.sample(flight.sent_at, now, db_now, &self.timings);
                self.look_at = flight.sent_at.plus(self.timings.renew_us);
                let is_steady = self.steady.is_steady(now, &self.timings);
                let look = Look { me: self.me(), db_now, members: &members, is_steady };
                self.burial.looked(now, &look, &self.timings);
                self.see(members, out);
                let age_us = view::age_us(&view, db_now);
                self.adopt(now, age_us, view, out);
                self.rings.looked(now, &self.members);
            }
            (Ask::Bury { victim, .. }, Answer::Buried) => {
                self.burial.buried(*victim);
                let others = self.members.iter().filter(|member| member.seat.incarnation != *victim);
                self.see(others.cloned().collect(), out);
                self.keys.retry_all(now);
            }
            (Ask::Bury { victim, .. }, Answer::Alive | Answer::NotValid) => {
                self.burial.alive(now, *victim, &self.timings);
            }
            (Ask::Publish { .. }, Answer::Published(view) | Answer::Outdated(view)) => {
                self.adopt(now, 0, view, out);
                if !self.rings.knows_all(&self.members) {
                    self.look_at = now;
                }
            }
            _ => {}
        }
    }

    fn see(&mut self, members: Vec<Member>, out: &mut Vec<Output>) {
        let who = |members: &[Member]| -> Vec<_> {
            members
                .iter()
                .map(|member| (member.seat.incarnation, member.state, member.address.clone()))
                .collect()
        };
        if who(&members) != who(&self.members) {
            out.push(Output::Members);
        }
        self.members = members;
    }

    fn adopt(&mut self, now: MonotonicUs, age_us: i64, view: View, out: &mut Vec<Output>) {
        if self.rings.adopt(self.me(), (now, age_us), view, &self.timings) {
            out.push(Output::View(self.rings.view().clone()));
            self.keys.replace_all(now, &self.rings);
        }
    }
}
