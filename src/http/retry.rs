//! What an answer says about trying again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::restart::Backoff;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Attempts at an idempotent request, the first included.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// Between them, unless the host asks for more.
pub(super) const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(2) };
/// How long a host is left alone that answers 429 and does not say how long.
const PAUSE_UNTOLD: Duration = Duration::from_secs(5);

/// Where Twitch says when its points are all there again, in seconds since 1970
/// (<https://dev.twitch.tv/docs/api/guide/#twitch-rate-limits>).
const RATELIMIT_RESET: &str = "ratelimit-reset";
/// The longest pause that such a moment can ask for: the points come back within a minute, and a clock may be wrong.
const RESET_MAX: Duration = Duration::from_mins(1);

/// How long a host that answers 429 wants to be left alone. `None`: it does not.
pub(super) fn pause(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let is_wanted = status == StatusCode::TOO_MANY_REQUESTS;
    let told = || retry_after(headers, now).or_else(|| until_reset(headers, now));
    is_wanted.then(|| told().unwrap_or(PAUSE_UNTOLD))
}

fn until_reset(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let secs = headers.get(RATELIMIT_RESET)?.to_str().ok()?.trim().parse().ok()?;
    let moment = DateTime::from_timestamp_secs(secs)?;
    Some((moment - now).to_std().unwrap_or_default().min(RESET_MAX))
}

/// The answer's `Retry-After`, which is a number of seconds or a date. `None`: there is none that can be read.
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let moment = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((moment - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now: DateTime<Utc> = "2030-01-01T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 01 Jan 2030 12:01:30 GMT", Some(90)),
            ("Tue, 01 Jan 2030 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), want.map(Duration::from_secs), "{text}");
        }
        let pause = |status, headers: &HeaderMap| super::pause(status, headers, now);
        assert_eq!(pause(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()), Some(PAUSE_UNTOLD));
        assert_eq!(pause(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new()), None);
        for (offset, want) in [(7, 7), (-3, 0), (86_400, 60)] {
            let at = (now.timestamp() + offset).to_string();
            let headers = HeaderMap::from_iter([(RATELIMIT_RESET.parse().unwrap(), at.parse().unwrap())]);
            let want = Some(Duration::from_secs(want));
            assert_eq!(pause(StatusCode::TOO_MANY_REQUESTS, &headers), want, "{offset}");
        }
    }
}
