//! Asks under way: one in each lane, so that a claim of many keys never delays a renewal.

use crate::MonotonicUs;
use crate::ask::Ask;
use crate::machine::Output;

/// What an ask is about. The driver sends those of `Lease` over the session that holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Lease,
    Members,
    Keys,
}

/// An ask that is not answered yet.
#[derive(Debug)]
pub(super) struct Flight {
    pub number: u64,
    pub lane: Lane,
    pub sent_at: MonotonicUs,
    pub ask: Ask,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    next_number: u64,
    lanes: [Slot; 3],
}

#[derive(Debug, Default)]
struct Slot {
    flight: Option<Flight>,
    /// After a loss: not again before.
    not_before: MonotonicUs,
}

impl Lanes {
    pub const fn next_number(&self) -> u64 {
        self.next_number
    }

    pub fn is_free(&self, lane: Lane, now: MonotonicUs) -> bool {
        self.free_at(lane).is_some_and(|at| at <= now)
    }

    /// From when on the lane may be used; `None` while an ask is under way.
    pub fn free_at(&self, lane: Lane) -> Option<MonotonicUs> {
        let slot = &self.lanes[lane as usize];
        slot.flight.is_none().then_some(slot.not_before)
    }

    pub fn send(&mut self, now: MonotonicUs, lane: Lane, ask: Ask, out: &mut Vec<Output>) {
        let number = self.next_number;
        self.next_number += 1;
        self.lanes[lane as usize].flight = Some(Flight { number, lane, sent_at: now, ask: ask.clone() });
        out.push(Output::Ask { number, lane, ask });
    }

    /// The ask of that number, which is over; `None` if it was over before.
    pub fn land(&mut self, number: u64) -> Option<Flight> {
        self.lanes.iter_mut().find_map(|slot| slot.flight.take_if(|flight| flight.number == number))
    }

    /// The same for one without an answer.
    pub fn lose(&mut self, number: u64, retry_at: MonotonicUs) -> Option<Flight> {
        let flight = self.land(number)?;
        self.lanes[flight.lane as usize].not_before = retry_at;
        Some(flight)
    }
}
