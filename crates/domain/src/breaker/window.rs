//! Calls of the last ten seconds, in ten buckets.

use std::time::Instant;

const BUCKETS: usize = 10;

/// Counts in one-second buckets; nothing is allocated.
#[derive(Clone, Debug, Default)]
pub(super) struct CallWindow {
    /// When bucket 0 begins. `None` until the first call.
    began_at: Option<Instant>,
    buckets: [Bucket; BUCKETS],
}

/// The calls of one second.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Seconds since `began_at`; says whether the counts are of this round or an old one.
    second: u64,
    tally: Tally,
}

/// How many calls, and of these how many failed or were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub calls: u32,
    pub failed: u32,
    pub slow: u32,
}

impl CallWindow {
    /// Adds one call and gives the tally of the window that ends now.
    pub fn add(&mut self, call: Tally, now: Instant) -> Tally {
        let began_at = *self.began_at.get_or_insert(now);
        let second = now.saturating_duration_since(began_at).as_secs();
        let slot = usize::try_from(second % BUCKETS as u64).expect("a remainder below ten fits");
        let bucket = &mut self.buckets[slot];
        if bucket.second != second {
            *bucket = Bucket { second, tally: Tally::default() };
        }
        bucket.tally = bucket.tally.plus(call);
        let is_recent = |bucket: &&Bucket| second.abs_diff(bucket.second) < BUCKETS as u64;
        self.buckets.iter().filter(is_recent).fold(Tally::default(), |sum, bucket| sum.plus(bucket.tally))
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Tally {
    const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed: self.failed.saturating_add(other.failed),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}
