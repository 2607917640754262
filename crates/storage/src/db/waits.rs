//! How long somebody waited for the database, as opposed to working: its slowness is nobody's fault but its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The waits of whoever holds it, through a handle of [`Db::waited_by`](super::Db::waited_by) or by hand.
#[derive(Debug, Default)]
pub struct Waits {
    total_us: AtomicU64,
    was_given_up: AtomicBool,
}

impl Waits {
    /// Begins a wait. Dropped before [`Wait::over`] it was given up.
    pub fn begin(self: &Arc<Self>) -> Wait {
        Wait { waits: Arc::clone(self), since: Instant::now(), is_over: false }
    }

    /// All waits together, those under way left out.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Ordering::Relaxed))
    }

    /// Whether a wait was given up before the database had answered.
    pub fn was_given_up(&self) -> bool {
        self.was_given_up.load(Ordering::Relaxed)
    }
}

/// A wait under way.
#[derive(Debug)]
pub struct Wait {
    waits: Arc<Waits>,
    since: Instant,
    is_over: bool,
}

impl Wait {
    /// The database answered, be it with an error.
    pub fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let took_us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waits.total_us.fetch_add(took_us, Ordering::Relaxed);
        if !self.is_over {
            self.waits.was_given_up.store(true, Ordering::Relaxed);
        }
    }
}
