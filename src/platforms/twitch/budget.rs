//! What an account may do in a time: exact sliding windows, as pure functions of the time that is handed in.
//!
//! A node alone counts all of it by itself; the nodes of a cluster book theirs, see [`crate::limits::account_budgets`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::Settings;
use crate::limits::Limit;
use crate::limits::account_budgets::{AccountBudgets, Share};

/// Twitch counts logins and JOINs over this time.
pub const JOIN_WINDOW: Duration = Duration::from_secs(10);
/// Twitch counts messages over this time.
pub const SEND_WINDOW: Duration = Duration::from_secs(30);
/// How much later than allowed we are on purpose, in percent: what leaves us evenly may arrive closer together.
const SLACK_PERCENT: u32 = 3;
/// Larger windows note neighbours together, counted as of the last of them: a bound on memory, never more permits.
const ENTRIES_MAX: u32 = 1_024;

/// At most `limit` permits in any `window`.
#[derive(Debug)]
pub struct SlidingWindow {
    /// 0: no limit.
    limit: usize,
    window: Duration,
    /// Neighbours closer than this are one entry; zero while the limit is small.
    grain: Duration,
    taken: VecDeque<Taken>,
    used: usize,
}

#[derive(Debug)]
struct Taken {
    first: Instant,
    last: Instant,
    n: usize,
}

impl SlidingWindow {
    /// `limit` 0 is no limit.
    pub fn new(limit: usize, window: Duration) -> Self {
        let window = window + window * SLACK_PERCENT / 100;
        let grain = if limit > ENTRIES_MAX as usize { window / ENTRIES_MAX } else { Duration::ZERO };
        Self { limit, window, grain, taken: VecDeque::new(), used: 0 }
    }

    /// How many permits can be taken now.
    pub fn free(&mut self, now: Instant) -> usize {
        if self.limit == 0 {
            return usize::MAX;
        }
        while self.taken.front().is_some_and(|taken| now.saturating_duration_since(taken.last) >= self.window)
        {
            self.used -= self.taken.pop_front().map_or(0, |taken| taken.n);
        }
        self.limit - self.used
    }

    /// Takes `n` permits. The caller asked [`SlidingWindow::free`] before, at the same time.
    pub fn take(&mut self, n: usize, now: Instant) {
        if self.limit == 0 || n == 0 {
            return;
        }
        debug_assert!(self.used + n <= self.limit, "more permits taken than were free");
        self.used += n;
        match self.taken.back_mut() {
            Some(back) if now.saturating_duration_since(back.first) < self.grain => {
                back.last = now;
                back.n += n;
            }
            _ => self.taken.push_back(Taken { first: now, last: now, n }),
        }
    }

    /// When the next permit comes back; now, when one is free.
    pub fn next_free(&mut self, now: Instant) -> Instant {
        if self.free(now) > 0 {
            return now;
        }
        self.taken.front().map_or(now, |taken| taken.last + self.window)
    }
}

/// Booked permits that are not there yet are looked for this often.
const BOOKING_INTERVAL: Duration = Duration::from_millis(20);
/// Of the messages this part is kept in hand, so that a line need not wait for the database.
const RESERVE: u32 = 20;

/// The permits of one resource of the account.
#[derive(Debug)]
pub enum Permits {
    /// This process is the only one: it counts by itself.
    Alone(SlidingWindow),
    /// Others use the account too.
    Booked(Share),
}

impl Permits {
    /// `limit` 0 is no limit.
    pub fn alone(limit: usize, window: Duration) -> Self {
        Self::Alone(SlidingWindow::new(limit, window))
    }

    /// How many permits can be taken now.
    pub fn free(&mut self, now: Instant) -> usize {
        match self {
            Self::Alone(window) => window.free(now),
            Self::Booked(share) => share.free(now),
        }
    }

    /// Says how many are waited for; to be said again while that is so.
    pub fn want(&self, n: usize, now: Instant) {
        if let Self::Booked(share) = self {
            share.want(n, now);
        }
    }

    /// Takes `n` permits. The caller asked [`Permits::free`] before, at the same time.
    pub fn take(&mut self, n: usize, now: Instant) {
        match self {
            Self::Alone(window) => window.take(n, now),
            Self::Booked(share) if n > 0 => share.take(n, now),
            Self::Booked(_) => {}
        }
    }

    /// Takes one permit, or says when to ask again.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Instant> {
        let at = self.next_free(now);
        if at > now {
            return Err(at);
        }
        self.take(1, now);
        Ok(())
    }

    /// When to ask for the next permit; now, when one is free.
    pub fn next_free(&mut self, now: Instant) -> Instant {
        match self {
            Self::Alone(window) => window.next_free(now),
            Self::Booked(share) if share.free(now) > 0 => now,
            Self::Booked(share) => {
                share.want(1, now);
                now + BOOKING_INTERVAL
            }
        }
    }
}

/// All budgets of the account.
#[derive(Debug)]
pub struct Budgets {
    pub joins: Permits,
    pub logins: Permits,
    pub sends: SendBudget,
    /// Where they are booked. `None`: the node is alone.
    pub booked: Option<Arc<AccountBudgets>>,
}

impl Budgets {
    pub fn new(settings: &Settings) -> Self {
        let limits = [
            ("join", settings.joins_per_10s, JOIN_WINDOW),
            ("auth", settings.auth_per_10s, JOIN_WINDOW),
            ("send", settings.messages_per_30s, SEND_WINDOW),
            ("send_moderator", settings.messages_per_30s_moderator, SEND_WINDOW),
        ];
        let booked = settings.shares_account.then(|| {
            AccountBudgets::new(limits.map(|(resource, limit, window)| {
                let slots = u32::try_from(limit).unwrap_or(u32::MAX);
                let reserve = if window == SEND_WINDOW { (slots / RESERVE).max(1) } else { 0 };
                (Limit { resource, slots, window }, reserve)
            }))
        });
        let permits = |index: usize| {
            let (_, limit, window) = limits[index];
            match &booked {
                Some(budgets) if limit > 0 => Permits::Booked(budgets.share(index)),
                _ => Permits::alone(limit, window),
            }
        };
        let sends = SendBudget { plain: permits(2), moderator: permits(3) };
        Self { joins: permits(0), logins: permits(1), sends, booked }
    }
}

/// The messages of one account: few where it is nobody, more where it is a moderator.
#[derive(Debug)]
pub struct SendBudget {
    plain: Permits,
    moderator: Permits,
}

impl SendBudget {
    /// Takes the permit of one message, or says when to ask again. A message of a non-moderator drains both windows.
    pub fn try_take(&mut self, moderator: bool, now: Instant) -> Result<(), Instant> {
        let plain_at = if moderator { now } else { self.plain.next_free(now) };
        let at = plain_at.max(self.moderator.next_free(now));
        if at > now {
            return Err(at);
        }
        self.moderator.take(1, now);
        if !moderator {
            self.plain.take(1, now);
        }
        Ok(())
    }
}

/// Connections a second, as a least distance.
#[derive(Debug)]
pub struct Pace {
    /// Zero: no limit.
    distance: Duration,
    /// `None` before the first.
    last: Option<Instant>,
}

impl Pace {
    /// `per_second` 0 is no limit.
    pub fn new(per_second: f64) -> Self {
        let distance = if per_second > 0.0 {
            Duration::from_secs_f64((1.0 / per_second).min(86_400.0))
        } else {
            Duration::ZERO
        };
        Self { distance, last: None }
    }

    pub fn is_free(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.distance)
    }

    pub const fn take(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most of `times` that lie within one `window`.
    fn busiest(times: &[Instant], window: Duration) -> usize {
        times
            .iter()
            .map(|from| times.iter().filter(|at| **at >= *from && **at < *from + window).count())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn a_permit_comes_back_after_the_window() {
        let now = Instant::now();
        let mut window = Permits::alone(2, JOIN_WINDOW);
        assert!(window.try_take(now).is_ok() && window.try_take(now).is_ok());
        let again = window.try_take(now).unwrap_err();
        assert!(again > now + JOIN_WINDOW && again < now + JOIN_WINDOW + Duration::from_secs(1));
        assert!(window.try_take(again).is_ok());
    }

    #[test]
    fn no_limit_never_says_no() {
        let now = Instant::now();
        let mut window = Permits::alone(0, JOIN_WINDOW);
        assert!((0..10_000).all(|_| window.try_take(now).is_ok()));
    }

    #[test]
    fn a_large_window_keeps_a_bounded_record() {
        let start = Instant::now();
        let mut window = Permits::alone(100_000, SEND_WINDOW);
        for n in 0..100_000u64 {
            assert!(window.try_take(start + Duration::from_micros(n * 200)).is_ok());
        }
        let Permits::Alone(SlidingWindow { taken, .. }) = window else { unreachable!("it is alone") };
        assert!(taken.len() <= ENTRIES_MAX as usize + 1, "{}", taken.len());
    }

    fn send_budget(per_30s: usize, per_30s_moderator: usize) -> SendBudget {
        SendBudget {
            plain: Permits::alone(per_30s, SEND_WINDOW),
            moderator: Permits::alone(per_30s_moderator, SEND_WINDOW),
        }
    }

    #[test]
    fn a_moderator_goes_on_where_others_wait() {
        let now = Instant::now();
        let mut budget = send_budget(2, 5);
        assert!(budget.try_take(false, now).is_ok() && budget.try_take(false, now).is_ok());
        assert!(budget.try_take(false, now).is_err());
        assert!((0..3).all(|_| budget.try_take(true, now).is_ok()));
        assert!(budget.try_take(true, now).is_err(), "messages of a non-moderator drain both windows");
    }

    proptest! {
        #[test]
        fn no_window_of_any_position_holds_more_than_the_limit(
            limit in 1usize..30,
            gaps_ms in proptest::collection::vec(0u64..3_000, 1..300),
        ) {
            let mut now = Instant::now();
            let mut window = Permits::alone(limit, JOIN_WINDOW);
            let mut granted = Vec::new();
            for gap_ms in gaps_ms {
                now += Duration::from_millis(gap_ms);
                if window.try_take(now).is_ok() {
                    granted.push(now);
                }
            }
            prop_assert!(busiest(&granted, JOIN_WINDOW) <= limit);
        }

        #[test]
        fn no_account_sends_more_than_both_limits(
            sends in proptest::collection::vec((any::<bool>(), 0u64..2_000), 1..300),
        ) {
            let mut now = Instant::now();
            let mut budget = send_budget(5, 12);
            let (mut plain, mut all) = (Vec::new(), Vec::new());
            for (moderator, gap_ms) in sends {
                now += Duration::from_millis(gap_ms);
                if budget.try_take(moderator, now).is_ok() {
                    all.push(now);
                    if !moderator {
                        plain.push(now);
                    }
                }
            }
            prop_assert!(busiest(&plain, SEND_WINDOW) <= 5);
            prop_assert!(busiest(&all, SEND_WINDOW) <= 12);
        }
    }
}
