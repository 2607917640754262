//! Whether this process may speak: only while it can prove that nobody else took over.
//!
//! A lease's renewal opens the gate for a time that is counted from before the renewal was sent, so a process that slept
//! finds it shut when it wakes. It is asked where a reply leaves its channel and again right before a platform's socket.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nobody else can take over: a node without a cluster.
const ALWAYS: i64 = i64::MAX;
/// Somebody buried this process: it never speaks again.
const NEVER: i64 = i64::MIN;

/// One a process.
#[derive(Debug)]
pub struct SendGate {
    /// When it shuts, in microseconds of [`boot_time_us`].
    shuts_at: AtomicI64,
}

impl SendGate {
    /// A gate that is always open, for a node that shares nothing.
    pub const fn open() -> Self {
        Self { shuts_at: AtomicI64::new(ALWAYS) }
    }

    /// A gate that is shut until it is first held open.
    pub const fn shut() -> Self {
        Self { shuts_at: AtomicI64::new(0) }
    }

    pub fn is_open(&self) -> bool {
        match self.shuts_at.load(Ordering::Acquire) {
            ALWAYS => true,
            shuts_at => boot_time_us() < shuts_at,
        }
    }

    /// How long it stays open unless it is held open longer; `None`: for ever.
    pub fn open_for(&self) -> Option<Duration> {
        match self.shuts_at.load(Ordering::Acquire) {
            ALWAYS => None,
            shuts_at => {
                let left_us = shuts_at.saturating_sub(boot_time_us());
                Some(Duration::from_micros(u64::try_from(left_us).unwrap_or(0)))
            }
        }
    }

    /// Holds it open until then, a time of [`boot_time_us`]; an earlier one shuts it earlier. Nothing opens it again
    /// once it is [`SendGate::end`]ed.
    pub fn hold_until(&self, at_us: i64) {
        let moved = |shuts_at| (shuts_at != NEVER && shuts_at != ALWAYS).then_some(at_us);
        // An error says that the gate stays as it is for ever.
        _ = self.shuts_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, moved);
    }

    /// Shuts it for ever.
    pub fn end(&self) {
        self.shuts_at.store(NEVER, Ordering::Release);
    }
}

/// Microseconds since the machine booted, those of a suspend included.
pub fn boot_time_us() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn it_is_open_only_until_the_time_that_was_proved() {
        let gate = SendGate::shut();
        assert!(!gate.is_open());
        gate.hold_until(boot_time_us() + MINUTE_US);
        assert!(gate.is_open() && gate.open_for() > Some(Duration::from_secs(50)));
        gate.hold_until(boot_time_us());
        assert!(!gate.is_open() && gate.open_for() == Some(Duration::ZERO));
    }

    #[test]
    fn a_process_that_was_buried_never_speaks_again() {
        let gate = SendGate::shut();
        gate.end();
        gate.hold_until(boot_time_us() + MINUTE_US);
        assert!(!gate.is_open());
    }

    #[test]
    fn a_node_alone_always_speaks() {
        let gate = SendGate::open();
        gate.hold_until(0);
        assert!(gate.is_open());
    }
}
