//! Lengths of time as people type and read them: `1h30m`, `3 h 5 min`.

use std::time::Duration;

/// Longest time that can be asked for: ten years.
pub const DURATION_MAX: Duration = Duration::from_hours(24 * 3_660);

/// Unit of a number that stands without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationUnit {
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
}

/// The text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("`{0}` is not a time; write for example 30s, 5m, 1h30m, 2d or 3w")]
    Unreadable(String),
    #[error("`{0}` needs a unit; write for example {0}s or {0}m")]
    NoUnit(String),
    #[error("`{0}` is too long; at most ten years")]
    TooLong(String),
}

impl DurationUnit {
    const fn secs(self) -> u64 {
        match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => 3_600,
            Self::Days => 86_400,
            Self::Weeks => 604_800,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => Some(Self::Seconds),
            "m" | "min" | "mins" | "minute" | "minutes" => Some(Self::Minutes),
            "h" | "hr" | "hrs" | "hour" | "hours" => Some(Self::Hours),
            "d" | "day" | "days" => Some(Self::Days),
            "w" | "week" | "weeks" => Some(Self::Weeks),
            _ => None,
        }
    }
}

/// Reads `30s`, `5m`, `1h30m`, `2h`, `1d`, `3w`, also with spaces between; every number needs its unit.
///
/// # Errors
/// [`DurationError`] says what to type instead.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    parse(text, None)
}

/// As [`parse_duration`], and a number that stands alone counts in `bare`.
///
/// # Errors
/// [`DurationError`] says what to type instead.
pub fn parse_duration_in(text: &str, bare: DurationUnit) -> Result<Duration, DurationError> {
    parse(text, Some(bare))
}

/// The two largest units of it, rounded down: `3 h 5 min`, `12 s`.
pub fn human_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60);
    let (large, small) = if days > 0 {
        ((days, "d"), (hours, "h"))
    } else if hours > 0 {
        ((hours, "h"), (minutes, "min"))
    } else if minutes > 0 {
        ((minutes, "min"), (secs % 60, "s"))
    } else {
        ((secs, "s"), (0, ""))
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (count, unit) => format!("{} {} {count} {unit}", large.0, large.1),
    }
}

fn parse(text: &str, bare: Option<DurationUnit>) -> Result<Duration, DurationError> {
    let shown = || text.chars().take(40).collect::<String>();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Unreadable(shown()));
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        let unit = bare.ok_or_else(|| DurationError::NoUnit(shown()))?;
        return checked(rest, unit, 0).ok_or_else(|| DurationError::TooLong(shown()));
    }
    let mut total_secs = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let after = after.trim_start();
        let (name, after) = after.split_at(after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len()));
        let unit = DurationUnit::named(name).filter(|_| !number.is_empty());
        let unit = unit.ok_or_else(|| DurationError::Unreadable(shown()))?;
        total_secs =
            checked(number, unit, total_secs).ok_or_else(|| DurationError::TooLong(shown()))?.as_secs();
        rest = after.trim_start();
    }
    Ok(Duration::from_secs(total_secs))
}

/// `total_secs` and so many units more. `None`: over [`DURATION_MAX`].
fn checked(number: &str, unit: DurationUnit, total_secs: u64) -> Option<Duration> {
    let secs = number.parse::<u64>().ok()?.checked_mul(unit.secs())?.checked_add(total_secs)?;
    Some(Duration::from_secs(secs)).filter(|sum| *sum <= DURATION_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        for (text, secs) in [
            ("30s", 30),
            ("5m", 300),
            ("1h30m", 5_400),
            ("2H", 7_200),
            ("1d", 86_400),
            ("3w", 1_814_400),
            (" 1h 30 min ", 5_400),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text:?}");
        }
    }

    #[test]
    fn a_number_alone_counts_in_the_unit_that_is_meant() {
        assert_eq!(parse_duration_in("90", DurationUnit::Seconds), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration_in("90", DurationUnit::Minutes), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("90"), Err(DurationError::NoUnit("90".to_owned())));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "soon", "5x", "m5", "-5m", "1h30", "5 5m", "1.5h", "٣m"] {
            let got = parse_duration_in(text, DurationUnit::Seconds);
            assert!(matches!(got, Err(DurationError::Unreadable(_))), "{text:?}: {got:?}");
        }
        for text in ["99999999999999999999s", "11000d", "9000d9000d", "18446744073709551615w"] {
            assert!(matches!(parse_duration(text), Err(DurationError::TooLong(_))), "{text:?}");
        }
    }

    #[test]
    fn times_are_shown_in_two_units() {
        for (secs, shown) in [
            (0, "0 s"),
            (12, "12 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (11_100, "3 h 5 min"),
            (3_605, "1 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(secs)), shown);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(secs in 0u64..300_000_000) {
            let read = parse_duration(&human_duration(Duration::from_secs(secs))).unwrap().as_secs();
            prop_assert!(read <= secs && secs - read < 3_600);
        }

        #[test]
        fn no_input_breaks_the_reader(text in "[0-9smhdw a-z]{0,30}") {
            prop_assert!(parse_duration(&text).map_or(true, |read| read <= DURATION_MAX));
        }
    }
}
