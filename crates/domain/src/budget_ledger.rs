//! What an account has promised away of a budget: the slices that were booked and still count.
//!
//! A slice may be used until it lapses, so it counts for one window beyond that; once its holder says when it used it
//! last, and how much of it, the rest is free at once and the used part counts for one window from then.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// More than this is never noted: nothing is booked beyond it.
const ENTRIES_MAX: usize = 1_024;
/// Settled slices closer together than this part of the window are one entry, counted as of the later one.
const GRAINS: u32 = 128;

/// What may be booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetTerms {
    /// Permits in any window.
    pub slots: u32,
    pub window: Duration,
    /// How long a slice may be used.
    pub life: Duration,
}

/// What its holder did with a slice that it will use no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceUse {
    pub slice: Ulid,
    pub n_used: u32,
    /// How long ago the last permit was used.
    pub age: Duration,
}

/// The answer to a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Permits of the new slice, 0 when none was free.
    pub n: u32,
    /// When more may be free. `None`: all that was asked for was.
    pub retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// `None`: settled.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none", default)]
    slice: Option<Ulid>,
    n: u32,
    #[serde(rename = "t", with = "chrono::serde::ts_microseconds")]
    counts_until: DateTime<Utc>,
}

/// The slices of one account and resource, as they are stored: `[{"s":"01J…","n":5,"t":1790000000000000}]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BudgetLedger {
    entries: Vec<Entry>,
}

impl BudgetLedger {
    /// Notes what became of slices; one that is not known lapsed already.
    pub fn settle(&mut self, uses: &[SliceUse], terms: &BudgetTerms, now: DateTime<Utc>) {
        for used in uses {
            let of_it = |entry: &&mut Entry| entry.slice == Some(used.slice);
            let Some(entry) = self.entries.iter_mut().find(of_it) else { continue };
            entry.slice = None;
            entry.n = entry.n.min(used.n_used);
            let counts_until = now + delta(terms.window.saturating_sub(used.age));
            entry.counts_until = entry.counts_until.min(counts_until);
        }
    }

    /// Books up to `n` permits as `slice`, to be used within the life that begins with `now` at the earliest.
    pub fn book(&mut self, slice: Ulid, n: u32, terms: &BudgetTerms, now: DateTime<Utc>) -> Booked {
        self.tidy(terms, now);
        let in_use: u64 = self.entries.iter().map(|entry| u64::from(entry.n)).sum();
        let free = u64::from(terms.slots).saturating_sub(in_use);
        let is_full = self.entries.len() >= ENTRIES_MAX;
        let granted = if is_full { 0 } else { n.min(u32::try_from(free).unwrap_or(u32::MAX)) };
        let next = self.entries.iter().map(|entry| entry.counts_until).min();
        if granted > 0 {
            let counts_until = now + delta(terms.life + terms.window);
            self.entries.push(Entry { slice: Some(slice), n: granted, counts_until });
        }
        let wait = || next.map_or(terms.life, |at| (at - now).to_std().unwrap_or_default());
        Booked { n: granted, retry_after: (granted < n).then(wait) }
    }

    /// Drops what counts no more and puts neighbours together.
    fn tidy(&mut self, terms: &BudgetTerms, now: DateTime<Utc>) {
        // A clock that was set back would let slices count for as long as it was ahead: none counts longer than a new one.
        let latest = now + delta(terms.life + terms.window);
        self.entries.retain(|entry| entry.n > 0 && entry.counts_until > now);
        for entry in &mut self.entries {
            entry.counts_until = entry.counts_until.min(latest);
        }
        self.entries.sort_by_key(|entry| (entry.slice.is_some(), entry.counts_until));
        let grain = delta(terms.window / GRAINS);
        self.entries.dedup_by(|later, earlier| {
            let is_one = later.slice.is_none()
                && earlier.slice.is_none()
                && later.counts_until - earlier.counts_until < grain
                && earlier.n.checked_add(later.n).is_some();
            if is_one {
                earlier.n += later.n;
                earlier.counts_until = later.counts_until;
            }
            is_one
        });
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
