//! The permits of one resource that this process has in hand. Pure: the time comes in.
//!
//! What is in hand was booked before, so using it needs nobody. What is booked follows what is asked for, in small slices,
//! so that several processes that all want more than there is take turns.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::{Booked, BudgetTerms, SliceUse};
use ulid::Ulid;

use super::Limit;

/// How much later than allowed we are on purpose, in percent: what leaves us evenly may arrive closer together.
const SLACK_PERCENT: u32 = 3;
/// In hand is at most this part of the budget.
const SHARE: u32 = 8;
/// A slice may be used for this part of the window.
const LIFE: u32 = 6;
/// What was asked for counts this long; whoever still waits asks again.
const WANTED_FOR: Duration = Duration::from_secs(1);
/// A reserve is kept in hand this long after the last use.
const ACTIVE_FOR: Duration = Duration::from_mins(10);
/// A booking that got less than it asked for is not repeated sooner nor later.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Slices whose use the database was not told; those beyond count there until they lapse.
const SPENT_MAX: usize = 64;

/// A slice in hand.
#[derive(Debug)]
struct Slice {
    id: Ulid,
    n_left: u32,
    n_used: u32,
    /// When it was booked, if nothing of it was used.
    last_used: Instant,
    usable_until: Instant,
}

/// What is to be booked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub slice: Ulid,
    /// 0: nothing, only uses are told.
    pub n: u32,
    pub uses: Vec<SliceUse>,
    /// Before the database was asked: the slice lapses here before it lapses there.
    pub asked: Instant,
}

/// The permits of one resource.
#[derive(Debug)]
pub(super) struct Purse {
    pub resource: &'static str,
    pub terms: BudgetTerms,
    /// Kept in hand while permits are used now and then.
    reserve: u32,
    /// The oldest first.
    slices: VecDeque<Slice>,
    /// Used no more, and the database does not know yet.
    spent: VecDeque<Slice>,
    /// How many are waited for, and since when that is known. `None`: none ever were.
    wanted: Option<(u32, Instant)>,
    /// `None`: never.
    last_used: Option<Instant>,
    /// Nothing is booked before. `None`: at once.
    not_before: Option<Instant>,
}

impl Purse {
    pub fn new(limit: Limit, reserve: u32) -> Self {
        let window = limit.window + limit.window * SLACK_PERCENT / 100;
        Self {
            resource: limit.resource,
            terms: BudgetTerms { slots: limit.slots, window, life: window / LIFE },
            reserve,
            slices: VecDeque::new(),
            spent: VecDeque::new(),
            wanted: None,
            last_used: None,
            not_before: None,
        }
    }

    /// Permits that may be used now.
    pub fn free(&self, now: Instant) -> u32 {
        self.slices.iter().filter(|slice| slice.usable_until > now).map(|slice| slice.n_left).sum()
    }

    /// Notes how many are waited for.
    pub const fn want(&mut self, n: u32, now: Instant) {
        self.wanted = Some((n, now));
    }

    /// Takes `n` permits. The caller asked [`Purse::free`] before, at the same time.
    pub fn take(&mut self, n: u32, now: Instant) {
        self.drop_lapsed(now);
        let mut n_left = n;
        while let Some(slice) = self.slices.front_mut().filter(|_| n_left > 0) {
            let n_taken = n_left.min(slice.n_left);
            slice.n_left -= n_taken;
            slice.n_used += n_taken;
            slice.last_used = now;
            n_left -= n_taken;
            if slice.n_left == 0 {
                self.spent.extend(self.slices.pop_front());
            }
        }
        debug_assert!(n_left == 0, "more permits taken than were free");
        self.last_used = Some(now);
        if let Some((wanted, _)) = &mut self.wanted {
            *wanted = wanted.saturating_sub(n);
        }
    }

    /// What the database should be told or asked, as `slice`. `None`: nothing.
    pub fn request(&mut self, slice: Ulid, now: Instant) -> Option<Request> {
        self.drop_lapsed(now);
        while self.spent.len() > SPENT_MAX {
            self.spent.pop_front();
        }
        let n = self.n_missing(now);
        let told = |slice: &Slice| SliceUse {
            slice: slice.id,
            n_used: slice.n_used,
            age: now.saturating_duration_since(slice.last_used),
        };
        let uses: Vec<SliceUse> = self.spent.iter().map(told).collect();
        (n > 0 || !uses.is_empty()).then_some(Request { slice, n, uses, asked: now })
    }

    /// The database answered a request.
    pub fn booked(&mut self, request: &Request, booked: Booked, now: Instant) {
        self.spent.retain(|slice| request.uses.iter().all(|told| told.slice != slice.id));
        let usable_until = request.asked + self.terms.life;
        if booked.n > 0 {
            let slice =
                Slice { id: request.slice, n_left: booked.n, n_used: 0, last_used: now, usable_until };
            self.slices.push_back(slice);
        }
        if let Some(wait) = booked.retry_after {
            self.not_before = Some(now + wait.clamp(RETRY_MIN, RETRY_MAX));
        }
    }

    /// The database gave no answer: what was asked for may be booked there, and is used by nobody.
    pub fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + RETRY_MAX);
    }

    /// From now on the permits of another account are meant.
    pub fn clear(&mut self) {
        self.slices.clear();
        self.spent.clear();
        self.not_before = None;
    }

    fn n_missing(&self, now: Instant) -> u32 {
        if self.not_before.is_some_and(|at| now < at) {
            return 0;
        }
        let is_within = |at: Instant, time: Duration| now.saturating_duration_since(at) < time;
        let wanted = self.wanted.filter(|(_, at)| is_within(*at, WANTED_FOR)).map_or(0, |(n, _)| n);
        let is_active = self.last_used.is_some_and(|at| is_within(at, ACTIVE_FOR));
        let reserve = if is_active { self.reserve } else { 0 };
        let target = wanted.max(reserve).min((self.terms.slots / SHARE).max(1));
        // A slice that lapses soon is replaced before.
        let soon = now + self.terms.life / 4;
        let in_hand = self.free(soon);
        // Not for each permit anew.
        if in_hand.saturating_mul(2) > target { 0 } else { target - in_hand }
    }

    fn drop_lapsed(&mut self, now: Instant) {
        while self.slices.front().is_some_and(|slice| slice.usable_until <= now) {
            self.spent.extend(self.slices.pop_front());
        }
    }
}

#[cfg(test)]
mod tests;
