//! A bounded map of names that run out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest time anything is kept; far above what settings allow, and it keeps the sums in range.
const KEPT_MAX: Duration = Duration::from_hours(24 * 366);

/// At most `MAX` names; when it is full, what runs out first goes first.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiring<const MAX: usize> {
    entries: HashMap<Box<str>, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    began_at: Instant,
    until: Instant,
}

/// A name that has not run out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running<'a> {
    pub key: &'a str,
    pub began_at: Instant,
    pub left: Duration,
}

impl<const MAX: usize> Expiring<MAX> {
    /// Time left. `None`: it is not there or has run out.
    pub fn left(&self, key: &str, now: Instant) -> Option<Duration> {
        let left = self.entries.get(key)?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    pub fn insert(&mut self, key: &str, length: Duration, now: Instant) {
        if self.entries.len() >= MAX && !self.entries.contains_key(key) {
            self.make_room(now);
        }
        let entry = Entry { began_at: now, until: now + length.min(KEPT_MAX) };
        self.entries.insert(key.into(), entry);
    }

    /// Removes the entry that began exactly then.
    pub fn remove(&mut self, key: &str, began_at: Instant) {
        if self.entries.get(key).is_some_and(|entry| entry.began_at == began_at) {
            self.entries.remove(key);
        }
    }

    pub fn prune(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.is_empty() {
            self.entries = HashMap::new();
        }
    }

    /// Names that have not run out, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Running<'_>> {
        let entries = self.entries.iter().filter(move |(_, entry)| entry.until > now);
        entries.map(move |(key, entry)| Running { key, began_at: entry.began_at, left: entry.until - now })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn make_room(&mut self, now: Instant) {
        self.prune(now);
        if self.entries.len() < MAX {
            return;
        }
        let first = self.entries.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone());
        if let Some(key) = first {
            self.entries.remove(&key);
        }
    }
}
