//! Whether this machine's clock is right, by the login server's and the database's.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Finding, TheirTime};
use crate::config::Config;
use crate::messages::Clock;

const NAME: &str = "clock";

/// Above this, tokens, cooldowns and reminders are off by what people notice.
const OFF_WARN: TimeDelta = TimeDelta::seconds(2);

/// Above this, webhooks are refused and tokens look expired.
const OFF_FAIL: TimeDelta = TimeDelta::seconds(60);

/// Asks the login server for its time; `None` when it does not answer.
pub(super) async fn remote(config: &Config, http: &reqwest::Client) -> Option<TheirTime> {
    let url = format!("{}/validate", config.platforms.twitch.auth_url);
    let before = Clock::System.now();
    let response = http.get(url).send().await.ok()?;
    let ours = before + (Clock::System.now() - before) / 2;
    let date = response.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    // The header tells whole seconds, cut: on average half a second was lost.
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.with_timezone(&Utc) + TimeDelta::milliseconds(500);
    Some(TheirTime { theirs, ours })
}

/// Compares our clock with those that could be asked; the larger difference counts.
pub(super) fn judge(remote: Option<TheirTime>, database: Option<TheirTime>) -> Finding {
    let told = [("the login server's", remote), ("the database's", database)];
    let off = |time: TheirTime| time.ours - time.theirs;
    let worst = told
        .into_iter()
        .filter_map(|(whose, time)| Some((whose, off(time?))))
        .max_by_key(|(_, off)| off.abs());
    let Some((whose, off)) = worst else {
        return Finding::warn(NAME, "no other clock could be asked; see that NTP is on (`timedatectl`)");
    };
    let secs = off.num_seconds().abs();
    let side = if off < TimeDelta::zero() { "behind" } else { "ahead of" };
    let message = format!("{secs} s {side} {whose} clock; switch NTP on: `timedatectl set-ntp true`");
    if off.abs() > OFF_FAIL {
        Finding::fail(NAME, message)
    } else if off.abs() > OFF_WARN {
        Finding::warn(NAME, message)
    } else {
        Finding::ok(NAME, format!("within {} s of {whose}", OFF_WARN.num_seconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    fn off_by(secs: i64) -> TheirTime {
        let theirs = DateTime::UNIX_EPOCH;
        TheirTime { theirs, ours: theirs + TimeDelta::seconds(secs) }
    }

    #[test]
    fn an_hour_off_is_a_failure_that_says_what_to_do() {
        let finding = judge(Some(off_by(-3_600)), Some(off_by(0)));
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.message.starts_with("3600 s behind the login server's clock"), "{}", finding.message);
        assert!(finding.message.contains("timedatectl"));
        assert_eq!(judge(None, Some(off_by(3_600))).verdict, Verdict::Fail);
    }

    #[test]
    fn a_right_clock_is_ok_and_an_unknown_one_is_not_called_right() {
        assert_eq!(judge(Some(off_by(1)), Some(off_by(0))).verdict, Verdict::Ok);
        assert_eq!(judge(Some(off_by(5)), None).verdict, Verdict::Warn);
        assert_eq!(judge(None, None).verdict, Verdict::Warn);
    }
}
