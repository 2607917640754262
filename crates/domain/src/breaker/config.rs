//! The figures of the two kinds of breaker.

use std::time::Duration;

use crate::restart::Backoff;

/// When a breaker opens, for how long, and what closes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    pub trip: Trip,
    /// Delays of the restarts that crashes are allowed; one crash more within `crash_window` opens.
    pub restart_delays: &'static [Duration],
    pub crash_window: Duration,
    /// How long OPEN lasts: doubles with each OPEN in a row.
    pub open: Backoff,
    /// Whether the time in OPEN is spread by ±20 %.
    pub open_is_jittered: bool,
    /// Successful probes in a row that close it.
    pub successes_to_close: u32,
    /// OPEN this often in a row, the next failure disables. `None`: it is never disabled by itself.
    pub opens_in_row_max: Option<u32>,
}

/// Which failed calls open a breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trip {
    /// Shares of the calls of the last ten seconds, once there are `calls_min`.
    Share { calls_min: u32, failed_percent: u32, slow_percent: u32 },
    /// So many failures without a success between them.
    InRow { failures: u32 },
}

impl BreakerConfig {
    /// One module in one channel.
    pub const fn module() -> Self {
        const RESTART_DELAYS: [Duration; 3] =
            [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400)];
        Self {
            trip: Trip::Share { calls_min: 5, failed_percent: 50, slow_percent: 80 },
            restart_delays: &RESTART_DELAYS,
            crash_window: Duration::from_secs(30),
            open: Backoff { base: Duration::from_secs(5), max: Duration::from_mins(5) },
            open_is_jittered: true,
            successes_to_close: 3,
            opens_in_row_max: Some(10),
        }
    }

    /// One external host. It has nothing that restarts, so a crash opens at once.
    pub const fn host() -> Self {
        Self {
            trip: Trip::InRow { failures: 5 },
            restart_delays: &[],
            crash_window: Duration::from_secs(30),
            open: Backoff { base: Duration::from_mins(1), max: Duration::from_mins(1) },
            open_is_jittered: false,
            successes_to_close: 2,
            opens_in_row_max: None,
        }
    }
}
