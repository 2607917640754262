//! The circuit breaker of a module in a channel, or of an external host.
//!
//! ```text
//! CLOSED ──too many crashes, failures, slow calls──▶ OPEN ──time is up──▶ HALF_OPEN
//!    ▲                                                ▲                      │
//!    │                                                └──one failure─────────┤
//!    └──────────────successes in a row, windows cleared──────────────────────┘
//! OPEN too often in a row ──▶ DISABLED, until an operator enables it
//! ```

mod config;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use config::{BreakerConfig, Trip};
use window::{CallWindow, Tally};

/// Longest time an answer like 429 may keep a breaker open.
pub const OPEN_FOR_MAX: Duration = Duration::from_hours(1);

/// A probe without a result for so long is lost; the next call takes its place.
pub const PROBE_LOST_AFTER: Duration = Duration::from_secs(30);

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open { until: Instant },
    HalfOpen,
    Disabled,
}

impl BreakerState {
    /// Value of the gauge `circuit_breaker_state`.
    pub const fn gauge(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open { .. } => 1,
            Self::HalfOpen => 2,
            Self::Disabled => 3,
        }
    }

    /// The name people read and the API gives.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open { .. } => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::Disabled => "DISABLED",
        }
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Call,
    /// The one call that tests the ground: its result must come back through [`Breaker::record`] or
    /// [`Breaker::crashed`].
    Probe,
    /// `retry_at` is `None` where no time is known: a probe is under way, or the breaker is disabled.
    Rejected {
        retry_at: Option<Instant>,
    },
}

/// How an admitted call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It answered, be it that the user made a mistake; `slow` = over half the limit.
    Success { slow: bool },
    /// A retryable error or the time limit.
    Failure,
    /// It was never made; a probe is given back.
    Cancelled,
}

/// What follows from a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCrash {
    RestartAfter(Duration),
    Opened { until: Instant },
    Disabled,
}

/// One breaker: event and time in, state out.
///
/// `jitter` arguments are random numbers in [0, 1).
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    calls: CallWindow,
    /// Crashes within the window, oldest first; at most one more than there are restarts.
    crashed_at: VecDeque<Instant>,
    failures_in_row: u32,
    /// When the probe under way was admitted. `None`: there is none.
    probe_since: Option<Instant>,
    probes_succeeded: u32,
    opens_in_row: u32,
}

impl Breaker {
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            calls: CallWindow::default(),
            crashed_at: VecDeque::new(),
            failures_in_row: 0,
            probe_since: None,
            probes_succeeded: 0,
            opens_in_row: 0,
        }
    }

    /// A breaker that begins OPEN: the thing is suspected of having felled a node.
    pub fn opened(config: BreakerConfig, now: Instant, jitter: f64) -> Self {
        let mut breaker = Self::new(config);
        breaker.trip(now, jitter);
        breaker
    }

    /// The state as of the last event; [`Breaker::poll`] lets time count too.
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Failures since the last success, while it is closed and counts them in a row.
    pub const fn failures_in_row(&self) -> u32 {
        self.failures_in_row
    }

    /// Probes that succeeded since it last went to `HALF_OPEN`; 0 once it is closed.
    pub const fn probes_succeeded(&self) -> u32 {
        self.probes_succeeded
    }

    /// How often it opened since it was last closed.
    pub const fn opens_in_row(&self) -> u32 {
        self.opens_in_row
    }

    /// Goes from OPEN to `HALF_OPEN` when the time is up. `Some` when the state changed.
    pub fn poll(&mut self, now: Instant) -> Option<BreakerState> {
        match self.state {
            BreakerState::Open { until } if now >= until => {
                self.probe_since = None;
                self.probes_succeeded = 0;
                self.state = BreakerState::HalfOpen;
                Some(self.state)
            }
            _ => None,
        }
    }

    /// Asks whether a call may be made now; an admitted one must be recorded.
    pub fn admit(&mut self, now: Instant) -> Admission {
        self.poll(now);
        match self.state {
            BreakerState::Closed => Admission::Call,
            BreakerState::Open { until } => Admission::Rejected { retry_at: Some(until) },
            BreakerState::Disabled => Admission::Rejected { retry_at: None },
            BreakerState::HalfOpen => {
                let is_under_way = |since| now.saturating_duration_since(since) < PROBE_LOST_AFTER;
                if self.probe_since.is_some_and(is_under_way) {
                    return Admission::Rejected { retry_at: None };
                }
                self.probe_since = Some(now);
                Admission::Probe
            }
        }
    }

    /// Notes how a call ended. `Some` when the state changed.
    ///
    /// A call that ended in a crash goes to [`Breaker::crashed`] instead, which counts it as failed. Results that
    /// arrive in OPEN or DISABLED, or in `HALF_OPEN` while no probe is under way, are of earlier calls and say
    /// nothing.
    pub fn record(&mut self, result: CallResult, now: Instant, jitter: f64) -> Option<BreakerState> {
        let before = self.state;
        match self.state {
            BreakerState::Closed => {
                if self.trips_after(result, now) {
                    self.trip(now, jitter);
                }
            }
            BreakerState::HalfOpen if self.probe_since.take().is_some() => match result {
                CallResult::Success { .. } => self.probe_succeeded(),
                CallResult::Failure => self.trip(now, jitter),
                CallResult::Cancelled => {}
            },
            BreakerState::HalfOpen | BreakerState::Open { .. } | BreakerState::Disabled => {}
        }
        (self.state != before).then_some(self.state)
    }

    /// Notes a crash, which is a failed call too, and says what follows from it.
    pub fn crashed(&mut self, now: Instant, jitter: f64) -> AfterCrash {
        match self.state {
            BreakerState::Closed => {
                let crashes = self.crashes_with(now);
                let fails = self.trips_after(CallResult::Failure, now);
                if !fails && let Some(delay) = self.config.restart_delays.get(crashes - 1) {
                    return AfterCrash::RestartAfter(
                        delay.mul_f64(0.2f64.mul_add(jitter.clamp(0.0, 1.0), 1.0)),
                    );
                }
                self.trip(now, jitter);
            }
            BreakerState::HalfOpen => self.trip(now, jitter),
            BreakerState::Open { .. } | BreakerState::Disabled => {}
        }
        match self.state {
            BreakerState::Open { until } => AfterCrash::Opened { until },
            _ => AfterCrash::Disabled,
        }
    }

    /// Opens for a time that the other side asked for (429 with Retry-After), at most [`OPEN_FOR_MAX`].
    ///
    /// It never shortens an OPEN, is no failure, and leaves DISABLED alone. `Some` when the state changed.
    pub fn open_for(&mut self, duration: Duration, now: Instant) -> Option<BreakerState> {
        let until = now + duration.min(OPEN_FOR_MAX);
        match self.state {
            BreakerState::Disabled => return None,
            BreakerState::Open { until: already } if already >= until => return None,
            _ => {}
        }
        self.probe_since = None;
        self.state = BreakerState::Open { until };
        Some(self.state)
    }

    /// Switches off until [`Breaker::enable`].
    pub fn disable(&mut self) {
        self.probe_since = None;
        self.state = BreakerState::Disabled;
    }

    /// An operator's word: closed, with everything forgotten.
    pub fn enable(&mut self) {
        *self = Self::new(self.config);
    }

    fn probe_succeeded(&mut self) {
        self.probes_succeeded += 1;
        if self.probes_succeeded >= self.config.successes_to_close {
            self.enable();
        }
    }

    /// Goes to OPEN, or to DISABLED when it was OPEN too often.
    fn trip(&mut self, now: Instant, jitter: f64) {
        self.probe_since = None;
        if self.config.opens_in_row_max.is_some_and(|max| self.opens_in_row >= max) {
            self.state = BreakerState::Disabled;
            return;
        }
        let spread = if self.config.open_is_jittered { jitter } else { 0.5 };
        let until = now + self.config.open.delay(self.opens_in_row, spread);
        self.opens_in_row = self.opens_in_row.saturating_add(1);
        self.calls.clear();
        self.crashed_at.clear();
        self.failures_in_row = 0;
        self.state = BreakerState::Open { until };
    }

    /// Counts a call of CLOSED and says whether it was one too many.
    fn trips_after(&mut self, result: CallResult, now: Instant) -> bool {
        let call = match result {
            CallResult::Success { slow } => Tally { calls: 1, failed: 0, slow: u32::from(slow) },
            CallResult::Failure => Tally { calls: 1, failed: 1, slow: 0 },
            CallResult::Cancelled => return false,
        };
        match self.config.trip {
            Trip::Share { calls_min, failed_percent, slow_percent } => {
                let tally = self.calls.add(call, now);
                let reaches = |part: u32, percent: u32| {
                    u64::from(part) * 100 >= u64::from(tally.calls) * u64::from(percent)
                };
                tally.calls >= calls_min
                    && (reaches(tally.failed, failed_percent) || reaches(tally.slow, slow_percent))
            }
            Trip::InRow { failures } => {
                self.failures_in_row = if call.failed == 0 { 0 } else { self.failures_in_row + 1 };
                self.failures_in_row >= failures
            }
        }
    }

    /// Adds a crash and counts those in the window, this one included.
    fn crashes_with(&mut self, now: Instant) -> usize {
        let window = self.config.crash_window;
        self.crashed_at.retain(|at| now.saturating_duration_since(*at) < window);
        self.crashed_at.push_back(now);
        self.crashed_at.len()
    }
}

#[cfg(test)]
mod tests;
