//! The sliding windows of one account.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::{FakeConfig, LIMIT_OFF};

const JOIN_WINDOW: Duration = Duration::from_secs(10);
const SEND_WINDOW: Duration = Duration::from_secs(30);

/// At most `limit` events in any window of `length`.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    length: Duration,
    taken: VecDeque<Instant>,
}

impl Window {
    fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, taken: VecDeque::new() }
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.limit >= LIMIT_OFF {
            return true;
        }
        while self.taken.front().is_some_and(|at| now.duration_since(*at) >= self.length) {
            self.taken.pop_front();
        }
        self.taken.len() < self.limit as usize
    }

    fn record(&mut self, now: Instant) {
        if self.limit < LIMIT_OFF {
            self.taken.push_back(now);
        }
    }

    /// Takes one place if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let room = self.has_room(now);
        if room {
            self.record(now);
        }
        room
    }
}

/// What one account has used up, over all its connections.
#[derive(Debug)]
pub(crate) struct AccountLimits {
    pub(crate) joins: Window,
    pub(crate) auths: Window,
    sends: Window,
    sends_moderator: Window,
}

impl AccountLimits {
    pub(crate) fn new(config: &FakeConfig) -> Self {
        let shorter = |window: Duration| window.saturating_sub(config.tolerance);
        Self {
            joins: Window::new(config.joins_per_10s, shorter(JOIN_WINDOW)),
            auths: Window::new(config.auths_per_10s, shorter(JOIN_WINDOW)),
            sends: Window::new(config.messages_per_30s, shorter(SEND_WINDOW)),
            sends_moderator: Window::new(config.messages_per_30s_moderator, shorter(SEND_WINDOW)),
        }
    }

    pub(crate) fn send_has_room(&mut self, moderator: bool, now: Instant) -> bool {
        // Both are asked, so that both forget what is old.
        let (plain, privileged) = (self.sends.has_room(now), self.sends_moderator.has_room(now));
        privileged && (moderator || plain)
    }

    /// A send without moderator state drains both windows, one with it only the larger.
    pub(crate) fn record_send(&mut self, moderator: bool, now: Instant) {
        self.sends_moderator.record(now);
        if !moderator {
            self.sends.record(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_moderator_sends_drain_both_windows() {
        let mut limits = AccountLimits::new(&FakeConfig {
            messages_per_30s: 20,
            messages_per_30s_moderator: 30,
            ..FakeConfig::default()
        });
        let now = Instant::now();
        for _ in 0..20 {
            assert!(limits.send_has_room(false, now));
            limits.record_send(false, now);
        }
        assert!(!limits.send_has_room(false, now));
        for _ in 0..10 {
            assert!(limits.send_has_room(true, now));
            limits.record_send(true, now);
        }
        assert!(!limits.send_has_room(true, now));
        let later = now + Duration::from_secs(30);
        assert!(limits.send_has_room(false, later));
    }
}
