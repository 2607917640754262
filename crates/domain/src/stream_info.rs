//! What is known about a channel's stream.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::duration::human_duration;

/// What is said where a fact is not known.
pub const UNKNOWN: &str = "unknown";

/// Facts of a stream; what is unknown is said as unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// `None`: nobody told us yet.
    pub live: Option<bool>,
    /// `None`: offline or unknown.
    pub started_at: Option<DateTime<Utc>>,
    /// `None`: unknown.
    pub title: Option<String>,
    /// `None`: unknown.
    pub game: Option<String>,
}

impl StreamInfo {
    /// The console's stream: it is live as long as the process runs.
    pub const fn always_live(started_at: DateTime<Utc>) -> Self {
        Self { live: Some(true), started_at: Some(started_at), title: None, game: None }
    }

    /// How long the stream runs, `offline` or `unknown`.
    pub fn uptime_text(&self, now: DateTime<Utc>) -> String {
        match (self.live, self.started_at) {
            (Some(true), Some(started_at)) => human_duration(between(started_at, now)),
            (Some(false), _) => "offline".to_owned(),
            (Some(true) | None, _) => UNKNOWN.to_owned(),
        }
    }

    pub fn title_text(&self) -> &str {
        self.title.as_deref().unwrap_or(UNKNOWN)
    }

    pub fn game_text(&self) -> &str {
        self.game.as_deref().unwrap_or(UNKNOWN)
    }
}

/// Time from one to the other; zero when `to` lies before `from`.
pub(crate) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    to.signed_duration_since(from).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).unwrap()
    }

    #[test]
    fn the_uptime_is_a_time_offline_or_unknown() {
        assert_eq!(StreamInfo::always_live(at(0)).uptime_text(at(11_100)), "3 h 5 min");
        assert_eq!(StreamInfo::always_live(at(99)).uptime_text(at(0)), "0 s");
        assert_eq!(StreamInfo::default().uptime_text(at(0)), "unknown");
        let offline = StreamInfo { live: Some(false), ..StreamInfo::always_live(at(0)) };
        assert_eq!(offline.uptime_text(at(5)), "offline");
    }

    #[test]
    fn unknown_facts_are_said_as_unknown() {
        let mut stream = StreamInfo::default();
        assert_eq!((stream.title_text(), stream.game_text()), ("unknown", "unknown"));
        stream.game = Some("Chess".to_owned());
        assert_eq!(stream.game_text(), "Chess");
    }
}
