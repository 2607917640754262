//! Points in time as people type them: `10m` from now, or a day and an hour somewhere.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::duration::{DURATION_MAX, DurationError, parse_duration};
use crate::names::nearest;

/// Longest text that is read at all, in bytes.
const TEXT_BYTES_MAX: usize = 100;

/// The text is no point in time that can be waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    #[error("`{0}` is not a time; write for example 10m, 1h30m, 2d or 2030-05-01T18:00[Europe/Berlin]")]
    Unreadable(String),
    #[error(transparent)]
    Duration(#[from] DurationError),
    #[error("`{0}` is over already; write a time that is still to come")]
    Past(String),
    #[error("`{0}` is too far away; at most ten years")]
    TooFar(String),
    #[error("{}", unknown_zone(.name, .nearest.as_deref()))]
    Zone { name: String, nearest: Option<String> },
    #[error("`{0}` does not exist there: the clocks go forward over it")]
    Skipped(String),
}

fn unknown_zone(name: &str, nearest: Option<&str>) -> String {
    let hint = nearest.unwrap_or("Europe/Berlin");
    format!("there is no time zone `{name}`; write it like {hint}")
}

/// A point in time, with or without the place where it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Exact(DateTime<Utc>),
    /// What the clock on the wall shows, wherever that is.
    Local(NaiveDateTime),
}

impl Moment {
    /// Reads RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM`. `None`: it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::Exact(moment.to_utc()));
        }
        let (text, is_utc) = text.strip_suffix(['Z', 'z']).map_or((text, false), |text| (text, true));
        let minute = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
            .into_iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        if is_utc {
            return minute.map(|moment| Self::Exact(moment.and_utc()));
        }
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        minute.or_else(day).map(Self::Local)
    }
}

/// Reads when something is due: a length of time from `now` on, or ISO 8601. Without an offset it is meant in `zone`, or
/// in the zone that stands behind it in brackets: `2030-05-01T18:00[Europe/Berlin]`.
///
/// What the clocks show twice is the first of both.
///
/// # Errors
/// [`WhenError`] says what to write instead.
pub fn parse_when(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, WhenError> {
    let text = text.trim();
    let shown = || text.chars().take(40).collect::<String>();
    if text.len() > TEXT_BYTES_MAX {
        return Err(WhenError::Unreadable(shown()));
    }
    let (written, zone) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((written, name)) => (written.trim_end(), parse_zone(name)?),
        None => (text, zone),
    };
    let at = match Moment::parse(written) {
        Some(Moment::Exact(at)) => at,
        Some(Moment::Local(local)) => in_zone(local, zone).ok_or_else(|| WhenError::Skipped(shown()))?,
        None if looks_like_a_day(text) => return Err(WhenError::Unreadable(shown())),
        None => match parse_duration(text) {
            Ok(duration) => now + TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX),
            Err(DurationError::Unreadable(_)) => return Err(WhenError::Unreadable(shown())),
            Err(error) => return Err(error.into()),
        },
    };
    if at <= now {
        return Err(WhenError::Past(shown()));
    }
    if (at - now).to_std().is_ok_and(|away| away > DURATION_MAX) {
        return Err(WhenError::TooFar(shown()));
    }
    Ok(at)
}

/// A time zone by its name, without regard to case.
///
/// # Errors
/// [`WhenError::Zone`] with the name that is nearest.
pub fn parse_zone(name: &str) -> Result<Tz, WhenError> {
    let name = name.trim();
    zone_of(name).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        let nearest = nearest(&shown, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        WhenError::Zone { nearest: nearest.map(str::to_owned), name: shown }
    })
}

/// As [`parse_zone`]. `None`: there is none of that name.
pub(crate) fn zone_of(name: &str) -> Option<Tz> {
    let name = name.trim();
    Tz::from_str(name)
        .ok()
        .or_else(|| chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(name)))
}

/// The first moment at which the clocks there show `local`. `None`: they never do.
pub(crate) fn in_zone(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => None,
    }
}

fn looks_like_a_day(text: &str) -> bool {
    text.contains(['-', ':', '['])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn when(text: &str) -> Result<DateTime<Utc>, WhenError> {
        parse_when(text, Tz::UTC, at("2030-01-01T12:00:00Z"))
    }

    #[test]
    fn a_time_is_so_long_from_now_or_a_day_and_an_hour() {
        for (text, want) in [
            ("30s", "2030-01-01T12:00:30Z"),
            ("5m", "2030-01-01T12:05:00Z"),
            ("2h", "2030-01-01T14:00:00Z"),
            ("1d", "2030-01-02T12:00:00Z"),
            ("3w", "2030-01-22T12:00:00Z"),
            ("1h30m", "2030-01-01T13:30:00Z"),
            ("2030-05-01", "2030-05-01T00:00:00Z"),
            ("2030-05-01T18:00", "2030-05-01T18:00:00Z"),
            ("2030-05-01 18:00:30", "2030-05-01T18:00:30Z"),
            ("2030-05-01T18:00Z", "2030-05-01T18:00:00Z"),
            ("2030-05-01T18:00:00+02:00", "2030-05-01T16:00:00Z"),
            ("2030-05-01T18:00[Europe/Berlin]", "2030-05-01T16:00:00Z"),
            ("2030-12-01T18:00 [europe/berlin]", "2030-12-01T17:00:00Z"),
        ] {
            assert_eq!(when(text), Ok(at(want)), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_meant_where_it_is_asked() {
        let there = |text| parse_when(text, Tz::America__New_York, at("2030-01-01T12:00:00Z"));
        assert_eq!(there("2030-07-01T09:00"), Ok(at("2030-07-01T13:00:00Z")));
        assert_eq!(there("2030-12-01T09:00"), Ok(at("2030-12-01T14:00:00Z")));
        // The clocks go forward over half past two in March, and show half past one twice in November.
        assert_eq!(there("2030-03-10T02:30"), Err(WhenError::Skipped("2030-03-10T02:30".into())));
        assert_eq!(there("2030-11-03T01:30"), Ok(at("2030-11-03T05:30:00Z")));
        assert_eq!(there("2028-02-29"), Err(WhenError::Past("2028-02-29".into())));
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused_with_what_to_write() {
        for (text, want) in [
            ("", "is not a time"),
            ("soon", "is not a time; write for example 10m"),
            ("10", "needs a unit"),
            ("0s", "is over already"),
            ("2029-12-31", "is over already"),
            ("2030-01-01T12:00:00Z", "is over already"),
            ("2030-02-29", "is not a time"),
            ("2030-01-01T25:00", "is not a time"),
            ("11000d", "at most ten years"),
            ("2041-01-01", "at most ten years"),
            ("2030-05-01[Mars/Olympus]", "no time zone `Mars/Olympus`"),
            ("2030-05-01[Europe/Berln]", "write it like Europe/Berlin"),
            ("10m[Europe/Berlin]", "is not a time"),
        ] {
            let error = when(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let long = "9".repeat(1_000_000);
        assert!(when(&long).unwrap_err().to_string().len() < 200);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}") {
            let now = at("2030-01-01T12:00:00Z");
            prop_assert!(parse_when(&text, Tz::Asia__Kolkata, now).map_or(true, |read| read > now));
        }

        #[test]
        fn nothing_like_a_time_breaks_the_reader(text in "[0-9TZ:+\\-\\[\\]smhdw ./A-z]{0,40}") {
            let now = at("2030-01-01T12:00:00Z");
            prop_assert!(parse_when(&text, Tz::Asia__Kolkata, now).map_or(true, |read| read > now));
        }
    }
}
