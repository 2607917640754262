//! Ids seen lately, so that a message that comes twice acts once.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Ids that a channel remembers.
pub const IDS_MAX: usize = 1_024;

/// How long a channel remembers an id.
pub const IDS_TTL: Duration = Duration::from_mins(10);

/// The last ids, each as a hash of 128 bits; nothing is allocated while it is empty.
///
/// Looking one up walks half of every hash, 8 KiB at the default capacity, several at a time: that costs less memory and
/// no more time than a table, as only commands are looked up.
#[derive(Clone, Debug)]
pub struct RecentIds {
    capacity: usize,
    ttl: Duration,
    /// What `seen_secs` counts from. `None` until the first id.
    began_at: Option<Instant>,
    /// The one half of each hash, oldest first; the other two have the same order and length.
    halves: VecDeque<u64>,
    other_halves: VecDeque<u64>,
    seen_secs: VecDeque<u32>,
}

impl RecentIds {
    /// A memory for `capacity` ids (at least one), each kept for `ttl` and up to a second longer.
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        Self {
            capacity: capacity.max(1),
            ttl,
            began_at: None,
            halves: VecDeque::new(),
            other_halves: VecDeque::new(),
            seen_secs: VecDeque::new(),
        }
    }

    /// Remembers an id. True = it is new; one that is known keeps its first time.
    pub fn insert(&mut self, id: &str, now: Instant) -> bool {
        let began_at = *self.began_at.get_or_insert(now);
        let now_secs = u32::try_from(now.saturating_duration_since(began_at).as_secs()).unwrap_or(u32::MAX);
        self.expire(now_secs);
        let (half, other_half) = halves_of(id);
        if self.place_of(half, other_half).is_some() {
            return false;
        }
        if self.len() >= self.capacity {
            self.forget_oldest();
        }
        self.halves.push_back(half);
        self.other_halves.push_back(other_half);
        self.seen_secs.push_back(now_secs);
        true
    }

    /// Forgets an id, so that it may come again.
    pub fn remove(&mut self, id: &str) {
        let (half, other_half) = halves_of(id);
        if let Some(place) = self.place_of(half, other_half) {
            self.halves.remove(place);
            self.other_halves.remove(place);
            self.seen_secs.remove(place);
        }
    }

    /// How many are remembered, run out or not.
    pub fn len(&self) -> usize {
        self.halves.len()
    }

    pub fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    fn expire(&mut self, now_secs: u32) {
        let ttl_secs = self.ttl.as_secs();
        let is_old = |seen: &u32| u64::from(now_secs.saturating_sub(*seen)) > ttl_secs;
        while self.seen_secs.front().is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.halves.pop_front();
        self.other_halves.pop_front();
        self.seen_secs.pop_front();
    }

    fn place_of(&self, half: u64, other_half: u64) -> Option<usize> {
        let (front, back) = self.halves.as_slices();
        // Nearly every id is new, so the common answer is that neither part holds it.
        if !holds(front, half) && !holds(back, half) {
            return None;
        }
        (0..self.len()).find(|place| self.halves[*place] == half && self.other_halves[*place] == other_half)
    }
}

impl Default for RecentIds {
    fn default() -> Self {
        Self::new(IDS_MAX, IDS_TTL)
    }
}

/// Whether a number stands among the others. Without an early end inside a chunk, so that the compiler compares several
/// at a time.
fn holds(numbers: &[u64], wanted: u64) -> bool {
    numbers.chunks(64).any(|chunk| chunk.iter().map(|number| u32::from(*number == wanted)).sum::<u32>() > 0)
}

/// Two runs of std's hasher with different beginnings; meant for one process, not for the wire or a table.
fn halves_of(id: &str) -> (u64, u64) {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        id.hash(&mut hasher);
        hasher.finish()
    };
    (half(1), half(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once() {
        let now = Instant::now();
        let mut ids = RecentIds::default();
        assert!(ids.insert("a", now));
        assert!(!ids.insert("a", now + Duration::from_mins(10)));
        assert!(ids.insert("b", now));
    }

    #[test]
    fn an_id_runs_out_after_its_time() {
        let now = Instant::now();
        let mut ids = RecentIds::default();
        ids.insert("a", now);
        ids.insert("b", now + Duration::from_mins(9));
        assert!(ids.insert("a", now + Duration::from_secs(601)));
        assert!(!ids.insert("b", now + Duration::from_secs(601)));
    }

    #[test]
    fn a_full_memory_forgets_the_oldest() {
        let now = Instant::now();
        let mut ids = RecentIds::new(2, IDS_TTL);
        for id in ["a", "b", "c"] {
            assert!(ids.insert(id, now));
        }
        assert_eq!(ids.len(), 2);
        assert!(!ids.insert("b", now));
        assert!(ids.insert("a", now));
    }

    #[test]
    fn a_removed_id_may_come_again() {
        let now = Instant::now();
        let mut ids = RecentIds::default();
        ids.insert("a", now);
        ids.insert("b", now + Duration::from_secs(5));
        ids.remove("a");
        ids.remove("never seen");
        assert!(ids.insert("a", now));
        assert!(!ids.insert("b", now));
    }

    #[test]
    fn an_empty_memory_allocates_nothing() {
        let ids = RecentIds::default();
        assert_eq!((ids.halves.capacity(), ids.seen_secs.capacity()), (0, 0));
    }
}
