//! Positions in `PostgreSQL`'s log, and how far behind them a replica is.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::StorageError;
use crate::rows::FromText;

/// Positions kept of one primary; their distance in time is what the measured lag may be wrong by.
const SAMPLES_MAX: u32 = 32;

/// A position in the primary's log (LSN), written as `PostgreSQL` does: `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(u64);

impl Lsn {
    /// Behind everything that was ever written: no replica has it.
    pub const MAX: Self = Self(u64::MAX);
}

impl FromStr for Lsn {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let half = |text: &str| {
            let is_hex = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_hex { u64::from_str_radix(text, 16).ok() } else { None }
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| StorageError::invalid("not a position in the log, such as 16/B374D848"))
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromText for Lsn {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Where the primary was and when. With it lag is measured by one clock, ours, and a primary that writes nothing
/// makes no lag, as the time of the last replayed commit would.
#[derive(Debug)]
pub(super) struct Positions {
    /// Oldest first; the last one is the latest, whatever its distance.
    samples: VecDeque<(Instant, Lsn)>,
    lag_max: Duration,
}

impl Positions {
    pub fn new(lag_max: Duration) -> Self {
        Self { samples: VecDeque::new(), lag_max }
    }

    /// Notes a position that was asked for at `at`.
    pub fn note(&mut self, at: Instant, written: Lsn) {
        let n_samples = self.samples.len();
        if n_samples >= 2
            && self.samples[n_samples - 1].0 - self.samples[n_samples - 2].0 < self.lag_max / SAMPLES_MAX
        {
            self.samples.pop_back();
        }
        self.samples.push_back((at, written));
        // One that is older stays: who has not replayed it is too far behind, and that is known.
        while self.samples.len() > 1 && at - self.samples[1].0 > self.lag_max {
            self.samples.pop_front();
        }
    }

    /// How far behind a replica is that has replayed so much. `Err`: at least so far, since nobody looked earlier.
    pub fn lag_of(&self, replayed: Lsn, now: Instant) -> Result<Duration, Duration> {
        let age = |(at, _): &(Instant, Lsn)| now.saturating_duration_since(*at);
        let newest = self.samples.iter().rev().find(|(_, written)| *written <= replayed);
        newest.map(age).ok_or_else(|| self.samples.front().map(age).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_position_is_read_as_postgres_writes_it_and_nothing_else_is_one() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!((lsn, lsn.to_string().as_str()), (Lsn(0x16_B374_D848), "16/B374D848"));
        assert_eq!("ffffffff/FFFFFFFF".parse::<Lsn>().unwrap(), Lsn::MAX);
        assert!("1/0".parse::<Lsn>().unwrap() > "0/FFFFFFFF".parse().unwrap());
        for bad in ["", "/", "1", "1/", "/1", "0/1/2", "-1/0", "+1/0", "0/123456789", "g/0", "0 /1", "0/1\n"]
        {
            assert!(bad.parse::<Lsn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lag_is_the_age_of_the_newest_position_that_is_replayed() {
        let (mut positions, start) = (Positions::new(10 * SECOND), Instant::now());
        assert_eq!(positions.lag_of(Lsn(9), start), Err(Duration::ZERO), "nobody knows");
        for n in 0..5 {
            positions.note(start + SECOND * n, Lsn(u64::from(n + 1) * 100));
        }
        let now = start + SECOND * 4;
        assert_eq!(positions.lag_of(Lsn(500), now), Ok(Duration::ZERO));
        assert_eq!(positions.lag_of(Lsn(499), now), Ok(SECOND));
        assert_eq!(positions.lag_of(Lsn(250), now), Ok(3 * SECOND));
        assert_eq!(positions.lag_of(Lsn(99), now), Err(4 * SECOND), "at least so far");
        positions.note(start + SECOND * 30, Lsn(600));
        let now = start + SECOND * 30;
        assert_eq!(positions.lag_of(Lsn(500), now), Ok(26 * SECOND), "one that is too old is still known");
        assert_eq!(positions.lag_of(Lsn(499), now), Err(26 * SECOND));
    }

    #[test]
    fn a_primary_that_writes_nothing_makes_no_lag() {
        let (mut positions, start) = (Positions::new(10 * SECOND), Instant::now());
        for n in 0..100 {
            positions.note(start + SECOND * n, Lsn(7));
        }
        assert_eq!(positions.lag_of(Lsn(7), start + SECOND * 99), Ok(Duration::ZERO));
    }

    #[test]
    fn positions_are_bounded_however_much_lag_is_allowed() {
        for lag_max in [Duration::from_millis(1), 10 * SECOND, 86_400 * SECOND] {
            let (mut positions, start) = (Positions::new(lag_max), Instant::now());
            for n in 0..200_000_u32 {
                positions.note(start + SECOND * n, Lsn(u64::from(n)));
            }
            assert!(positions.samples.len() <= SAMPLES_MAX as usize + 3, "{}", positions.samples.len());
            assert_eq!(positions.samples.back().unwrap().1, Lsn(199_999));
        }
    }
}
