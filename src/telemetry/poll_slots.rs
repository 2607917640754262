//! Where the watchdog sees which module is being polled, and since when.
//!
//! A busy loop in a module cannot be interrupted, only noticed: each module actor owns a slot, stores the start of
//! every poll in it and clears it afterwards. Two atomic stores a poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// One module actor's slot.
#[derive(Debug)]
pub struct PollSlot {
    pub channel_key: String,
    pub module: &'static str,
    origin: Instant,
    /// Milliseconds since `origin` plus one; 0 = not being polled.
    since_ms: AtomicU64,
}

impl PollSlot {
    fn enter(&self) {
        let now_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since_ms.store(now_ms + 1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }

    /// How long the current poll has been running; `None` when none runs.
    pub fn polled_for(&self) -> Option<Duration> {
        let since_ms = self.since_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.origin.elapsed().saturating_sub(Duration::from_millis(since_ms)))
    }
}

/// The slots of all module actors.
#[derive(Debug)]
pub struct PollSlots {
    origin: Instant,
    slots: Mutex<Vec<Weak<PollSlot>>>,
}

impl Default for PollSlots {
    fn default() -> Self {
        Self { origin: Instant::now(), slots: Mutex::default() }
    }
}

impl PollSlots {
    /// A slot for a module actor; it vanishes with the actor.
    pub fn register(&self, channel_key: String, module: &'static str) -> Arc<PollSlot> {
        let slot =
            Arc::new(PollSlot { channel_key, module, origin: self.origin, since_ms: AtomicU64::new(0) });
        self.lock().push(Arc::downgrade(&slot));
        slot
    }

    /// The slots that have been in one poll for at least `limit`.
    pub fn stuck(&self, limit: Duration) -> Vec<(Arc<PollSlot>, Duration)> {
        let mut slots = self.lock();
        slots.retain(|slot| slot.strong_count() > 0);
        slots
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|slot| slot.polled_for().filter(|&long| long >= limit).map(|long| (slot, long)))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<PollSlot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future that notes its polls in a slot.
#[derive(Debug)]
pub struct Watched<'a, F> {
    slot: &'a PollSlot,
    future: F,
}

impl<'a, F> Watched<'a, F> {
    pub const fn new(slot: &'a PollSlot, future: F) -> Self {
        Self { slot, future }
    }
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.slot.enter();
        let polled = Pin::new(&mut self.future).poll(cx);
        self.slot.leave();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_poll_that_takes_long_is_seen_while_it_runs_and_not_after() {
        let slots = PollSlots::default();
        let slot = slots.register("console:local".to_owned(), "spin");
        let seen = std::cell::Cell::new(0);
        let busy = std::pin::pin!(async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            seen.set(slots.stuck(Duration::from_millis(15)).len());
        });
        Watched::new(&slot, busy).await;
        assert_eq!(seen.get(), 1);
        assert!(slots.stuck(Duration::ZERO).is_empty());
    }
}
