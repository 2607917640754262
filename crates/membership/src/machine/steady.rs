//! Whether the database's clock ran evenly: only then does a lapsed lease mean anything.
//!
//! Each answer with the database's time is a sample: it was taken between the sending of the ask and the coming of the
//! answer by the node's own clock. Steady is who, over one and a half leases, saw no two samples between which the
//! database's clock may have gained or lost too much. So after an outage or a step everybody has that time to renew.

use std::collections::VecDeque;

use crate::{DbTime, MonotonicUs, Timings};

#[derive(Clone, Copy, Debug)]
struct Sample {
    sent_at: MonotonicUs,
    came_at: MonotonicUs,
    now: DbTime,
}

#[derive(Debug, Default)]
pub(super) struct Steady {
    /// The oldest is the last one that is older than the steady time.
    samples: VecDeque<Sample>,
}

impl Steady {
    /// Takes a sample, and starts anew with it where it does not fit those before.
    pub fn sample(&mut self, sent_at: MonotonicUs, came_at: MonotonicUs, now: DbTime, timings: &Timings) {
        let new = Sample { sent_at, came_at, now };
        if !self.samples.iter().all(|old| fits(*old, new, timings)) || self.is_stale(came_at, timings) {
            self.samples.clear();
        }
        self.samples.push_back(new);
        let long_ago = came_at.plus(-timings.steady_us());
        while self.samples.get(1).is_some_and(|second| second.came_at <= long_ago) {
            self.samples.pop_front();
        }
    }

    /// Whether the clock ran evenly for long enough, until just now.
    pub fn is_steady(&self, now: MonotonicUs, timings: &Timings) -> bool {
        let oldest = self.samples.front().map(|sample| sample.came_at.plus(timings.steady_us()));
        oldest.is_some_and(|at| at <= now) && !self.is_stale(now, timings)
    }

    fn is_stale(&self, now: MonotonicUs, timings: &Timings) -> bool {
        self.samples.back().is_some_and(|newest| newest.came_at.plus(timings.clock_us_max) < now)
    }
}

/// Judged by the worst that the two may mean.
fn fits(old: Sample, new: Sample, timings: &Timings) -> bool {
    let by_database = new.now.0.saturating_sub(old.now.0);
    let (least, most) = (new.sent_at.0 - old.came_at.0, new.came_at.0 - old.sent_at.0);
    by_database.saturating_sub(least) <= timings.gain_us_max()
        && most.saturating_sub(by_database) <= timings.clock_us_max
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples each half second, whose time by the database `warp` changes, and the first second at which it is steady.
    fn steady_from(warp: impl Fn(i64) -> i64) -> Option<i64> {
        let (mut steady, timings) = (Steady::default(), Timings::default());
        (0..30).map(|n| n * 500_000).find(|at| {
            let now = MonotonicUs(*at);
            steady.sample(now, now.plus(20_000), DbTime(warp(*at)), &timings);
            steady.is_steady(now.plus(20_000), &timings)
        })
    }

    #[test]
    fn a_node_is_steady_after_three_seconds_of_an_even_clock() {
        assert_eq!(steady_from(|at| at), Some(3_000_000));
        assert_eq!(steady_from(|at| at + 7_200_000_000 + at / 1_000), Some(3_000_000));
    }

    #[test]
    fn a_step_of_the_clock_starts_the_time_anew() {
        for step in [3_600_000_000, -3_600_000_000, 600_000, -1_100_000] {
            let stepped = steady_from(|at| if at >= 2_000_000 { at + step } else { at });
            assert_eq!(stepped, Some(5_000_000), "{step}");
        }
    }

    #[test]
    fn a_clock_that_runs_away_slowly_is_not_steady_either() {
        assert_eq!(steady_from(|at| at + at / 4), None);
    }

    #[test]
    fn who_heard_nothing_for_a_while_is_not_steady() {
        let (mut steady, timings) = (Steady::default(), Timings::default());
        for at in (0..=4_000_000).step_by(500_000) {
            steady.sample(MonotonicUs(at), MonotonicUs(at), DbTime(at), &timings);
        }
        assert!(steady.is_steady(MonotonicUs(5_000_000), &timings));
        assert!(!steady.is_steady(MonotonicUs(5_000_001), &timings));
        steady.sample(MonotonicUs(6_000_000), MonotonicUs(6_000_000), DbTime(6_000_000), &timings);
        assert!(!steady.is_steady(MonotonicUs(6_000_000), &timings));
    }
}
