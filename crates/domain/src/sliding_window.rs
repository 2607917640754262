//! An exact limit: never more than so many in any window of that length.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sliding-window limiter that remembers each slot taken.
///
/// It allocates with the first slot taken and never holds more than `limit` times.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    /// 0 = off: everything is allowed and nothing is remembered.
    limit: u32,
    window: Duration,
    /// When the slots were taken, oldest first.
    taken_at: VecDeque<Instant>,
}

impl SlidingWindow {
    pub const fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, taken_at: VecDeque::new() }
    }

    /// Changes how many slots there are; those taken stay taken.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Takes a slot.
    ///
    /// # Errors
    /// The time until a slot is free; nothing was taken.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.limit == 0 {
            return Ok(());
        }
        self.taken_at.drain(..self.lapsed(now));
        if let Some(left) = self.free_at(now) {
            return Err(left);
        }
        let place = self.taken_at.partition_point(|at| *at <= now);
        self.taken_at.insert(place, now);
        Ok(())
    }

    /// Gives back the slot that was taken at `taken_at`, when it still counts.
    pub fn give_back(&mut self, taken_at: Instant) {
        if let Ok(place) = self.taken_at.binary_search(&taken_at) {
            self.taken_at.remove(place);
        }
    }

    /// Time until a slot is free. `None`: one is free now.
    pub fn free_at(&self, now: Instant) -> Option<Duration> {
        let limit = self.limit as usize;
        let lapsed = self.lapsed(now);
        if limit == 0 || self.taken_at.len() - lapsed < limit {
            return None;
        }
        // The oldest that counts; a later one while more are taken than the limit is now.
        let last_in_the_way = self.taken_at.get(self.taken_at.len() - limit)?;
        Some(self.window.saturating_sub(now.saturating_duration_since(*last_in_the_way)))
    }

    /// Whether no slot is in use, so that this limiter may be dropped.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.lapsed(now) == self.taken_at.len()
    }

    /// How many of the oldest slots lie outside the window that ends now.
    fn lapsed(&self, now: Instant) -> usize {
        self.taken_at.partition_point(|at| now.saturating_duration_since(*at) >= self.window)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slot_is_free_when_the_oldest_leaves_the_window() {
        let now = Instant::now();
        let mut limiter = SlidingWindow::new(2, MINUTE);
        assert_eq!(limiter.try_take(now), Ok(()));
        assert_eq!(limiter.try_take(now + SECOND), Ok(()));
        assert_eq!(limiter.try_take(now + 2 * SECOND), Err(58 * SECOND));
        assert_eq!(limiter.free_at(now + 59 * SECOND), Some(SECOND));
        assert_eq!(limiter.free_at(now + MINUTE), None);
        assert_eq!(limiter.try_take(now + MINUTE), Ok(()));
    }

    #[test]
    fn a_lowered_limit_waits_until_fewer_are_taken() {
        let now = Instant::now();
        let mut limiter = SlidingWindow::new(3, MINUTE);
        for n in 0..3 {
            assert_eq!(limiter.try_take(now + n * SECOND), Ok(()));
        }
        limiter.set_limit(1);
        assert_eq!(limiter.try_take(now + 10 * SECOND), Err(52 * SECOND));
        assert_eq!(limiter.try_take(now + 62 * SECOND), Ok(()));
    }

    #[test]
    fn zero_is_off_and_remembers_nothing() {
        let now = Instant::now();
        let mut limiter = SlidingWindow::new(0, MINUTE);
        for _ in 0..1_000 {
            assert_eq!(limiter.try_take(now), Ok(()));
        }
        assert!(limiter.is_idle(now));
        assert_eq!(limiter.taken_at.capacity(), 0);
    }

    #[test]
    fn a_slot_given_back_is_free_at_once() {
        let now = Instant::now();
        let mut limiter = SlidingWindow::new(1, MINUTE);
        limiter.try_take(now).unwrap();
        limiter.give_back(now + SECOND);
        assert_eq!(limiter.try_take(now), Err(MINUTE), "that one was not taken then");
        limiter.give_back(now);
        assert_eq!(limiter.try_take(now), Ok(()));
    }

    #[test]
    fn it_is_idle_once_all_lapsed() {
        let now = Instant::now();
        let mut limiter = SlidingWindow::new(3, MINUTE);
        assert!(limiter.is_idle(now));
        limiter.try_take(now).unwrap();
        assert!(!limiter.is_idle(now + 59 * SECOND));
        assert!(limiter.is_idle(now + MINUTE));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit(
            limit in 1u32..8,
            waits_ms in prop::collection::vec(0u64..400, 1..300),
        ) {
            let window = Duration::from_secs(1);
            let mut now = Instant::now();
            let mut limiter = SlidingWindow::new(limit, window);
            let mut taken = Vec::new();
            for wait_ms in waits_ms {
                now += Duration::from_millis(wait_ms);
                match limiter.try_take(now) {
                    Ok(()) => taken.push(now),
                    Err(left) => {
                        prop_assert!(left > Duration::ZERO && left <= window);
                        prop_assert_eq!(limiter.free_at(now + left), None);
                    }
                }
                prop_assert!(limiter.taken_at.len() <= limit as usize);
            }
            for from in &taken {
                let within = taken.iter().filter(|at| *at >= from && **at < *from + window).count();
                prop_assert!(within <= limit as usize, "{within} within a window of {limit}");
            }
        }
    }
}
