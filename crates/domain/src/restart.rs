//! When and whether a child that died is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Doubling delay between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay of attempt 0, before jitter.
    pub base: Duration,
    /// Longest delay, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// Delay before attempt `attempt` (the first is 0): base doubled that often, at most `max`, then ±20 %.
    ///
    /// `jitter` is a random number in [0, 1); 0.5 means no jitter.
    pub fn delay(self, attempt: u32, jitter: f64) -> Duration {
        let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        let plain = self.base.checked_mul(factor).unwrap_or(self.max).min(self.max);
        plain.mul_f64(0.4f64.mul_add(jitter.clamp(0.0, 1.0), 0.8))
    }
}

/// What a supervisor does about crashes of one kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// At most `crashes_max` restarts within `window`; one more crash is the supervisor's own failure.
    Intensity { crashes_max: u32, window: Duration, backoff: Backoff },
    /// The `crashes_max`th crash within `window` parks the child for `park_for`; then it begins anew.
    Park { crashes_max: u32, window: Duration, park_for: Duration, backoff: Backoff },
    /// Never gives up; a run of at least `healthy_after` starts the delays from the beginning.
    Forever { backoff: Backoff, healthy_after: Duration },
}

impl RestartPolicy {
    /// A part of the node: three restarts in a minute, then the node has failed.
    pub const fn node_part() -> Self {
        let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };
        Self::Intensity { crashes_max: 3, window: Duration::from_mins(1), backoff }
    }

    /// A channel actor: the fifth crash in a minute parks it for five minutes, never its node.
    pub const fn channel() -> Self {
        Self::Park {
            crashes_max: 5,
            window: Duration::from_mins(1),
            park_for: Duration::from_mins(5),
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) },
        }
    }

    /// A platform connection: for ever, 250 ms doubling to a minute.
    pub const fn platform() -> Self {
        Self::Forever {
            backoff: Backoff { base: Duration::from_millis(250), max: Duration::from_mins(1) },
            healthy_after: Duration::from_mins(1),
        }
    }

    const fn crashes_kept(self) -> u32 {
        match self {
            Self::Intensity { crashes_max, .. } => crashes_max.saturating_add(1),
            Self::Park { crashes_max, .. } => crashes_max,
            Self::Forever { .. } => 0,
        }
    }
}

/// What is to be done after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    RestartAfter(Duration),
    /// Leave it down that long, then start it with a clean record.
    Park(Duration),
    /// The supervisor itself gives up.
    Escalate,
}

/// The record of one child.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    /// Crashes within the window, oldest first; never more than the policy needs.
    crashed_at: VecDeque<Instant>,
    /// `None` until the child ran once.
    started_at: Option<Instant>,
    attempt: u32,
    crashes_total: u64,
}

impl Restarts {
    pub const fn new(policy: RestartPolicy) -> Self {
        Self { policy, crashed_at: VecDeque::new(), started_at: None, attempt: 0, crashes_total: 0 }
    }

    /// Notes that the child runs from now on.
    pub const fn started(&mut self, now: Instant) {
        self.started_at = Some(now);
    }

    /// Notes a crash and says what follows from it. `jitter` is a random number in [0, 1).
    pub fn crashed(&mut self, now: Instant, jitter: f64) -> Verdict {
        self.crashes_total += 1;
        match self.policy {
            RestartPolicy::Intensity { crashes_max, window, backoff } => {
                let crashes = self.crashes_within(window, now);
                if crashes > crashes_max {
                    return Verdict::Escalate;
                }
                Verdict::RestartAfter(backoff.delay(crashes.saturating_sub(1), jitter))
            }
            RestartPolicy::Park { crashes_max, window, park_for, backoff } => {
                let crashes = self.crashes_within(window, now);
                if crashes >= crashes_max {
                    self.crashed_at.clear();
                    return Verdict::Park(park_for);
                }
                Verdict::RestartAfter(backoff.delay(crashes.saturating_sub(1), jitter))
            }
            RestartPolicy::Forever { backoff, healthy_after } => {
                let ran_for = self.started_at.take().map(|at| now.saturating_duration_since(at));
                if ran_for.is_some_and(|ran_for| ran_for >= healthy_after) {
                    self.attempt = 0;
                }
                let delay = backoff.delay(self.attempt, jitter);
                self.attempt = self.attempt.saturating_add(1);
                Verdict::RestartAfter(delay)
            }
        }
    }

    /// Crashes since this record was made, whatever the window says.
    pub const fn crashes_total(&self) -> u64 {
        self.crashes_total
    }

    /// Adds a crash at `now` and counts those in the window.
    fn crashes_within(&mut self, window: Duration, now: Instant) -> u32 {
        self.crashed_at.retain(|at| now.saturating_duration_since(*at) < window);
        self.crashed_at.push_back(now);
        while u32::try_from(self.crashed_at.len()).unwrap_or(u32::MAX) > self.policy.crashes_kept().max(1) {
            self.crashed_at.pop_front();
        }
        u32::try_from(self.crashed_at.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn restarted(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::RestartAfter(delay) => delay,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_part_of_the_node_escalates_at_the_fourth_crash_in_a_minute() {
        let now = Instant::now();
        let mut restarts = Restarts::new(RestartPolicy::node_part());
        let delays: Vec<_> = (0..3).map(|n| restarted(restarts.crashed(now + n * SECOND, 0.5))).collect();
        assert_eq!(delays, [100, 200, 400].map(Duration::from_millis));
        assert_eq!(restarts.crashed(now + 59 * SECOND, 0.5), Verdict::Escalate);
        assert_eq!(restarts.crashes_total(), 4);
    }

    #[test]
    fn slow_crashes_never_escalate() {
        let now = Instant::now();
        let mut restarts = Restarts::new(RestartPolicy::node_part());
        for n in 0..50 {
            restarted(restarts.crashed(now + n * 21 * SECOND, 0.5));
        }
    }

    #[test]
    fn the_fifth_crash_parks_a_channel_and_it_begins_anew() {
        let now = Instant::now();
        let mut restarts = Restarts::new(RestartPolicy::channel());
        for n in 0..4 {
            restarted(restarts.crashed(now + n * SECOND, 0.0));
        }
        assert_eq!(restarts.crashed(now + 5 * SECOND, 0.0), Verdict::Park(Duration::from_mins(5)));
        restarted(restarts.crashed(now + 6 * SECOND, 0.0));
    }

    #[test]
    fn a_connection_is_retried_for_ever_and_a_long_run_resets_the_delay() {
        let mut now = Instant::now();
        let mut restarts = Restarts::new(RestartPolicy::platform());
        let mut delay = Duration::ZERO;
        for _ in 0..100 {
            restarts.started(now);
            now += SECOND;
            delay = restarted(restarts.crashed(now, 0.5));
        }
        assert_eq!(delay, Duration::from_mins(1));
        restarts.started(now);
        delay = restarted(restarts.crashed(now + Duration::from_mins(1), 0.5));
        assert_eq!(delay, Duration::from_millis(250));
    }

    #[test]
    fn a_start_that_failed_at_once_is_not_a_healthy_run() {
        let now = Instant::now();
        let mut restarts = Restarts::new(RestartPolicy::platform());
        restarts.started(now);
        restarted(restarts.crashed(now + SECOND, 0.5));
        let second = restarted(restarts.crashed(now + Duration::from_hours(1), 0.5));
        assert_eq!(second, Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_a_fifth_of_its_plain_value(attempt in 0u32..u32::MAX, jitter in 0.0f64..1.0) {
            let backoff = Backoff { base: Duration::from_millis(250), max: Duration::from_mins(1) };
            let delay = backoff.delay(attempt, jitter);
            prop_assert!(delay >= Duration::from_millis(199), "{delay:?}");
            prop_assert!(delay <= Duration::from_secs(72), "{delay:?}");
        }

        #[test]
        fn no_delay_overflows(base_ms in 0u64..u64::MAX / 2, attempt in any::<u32>()) {
            let backoff = Backoff { base: Duration::from_millis(base_ms), max: Duration::from_mins(5) };
            prop_assert!(backoff.delay(attempt, 0.999) <= Duration::from_mins(6));
        }
    }
}
