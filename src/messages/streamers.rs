//! What a platform knows of a streamer, for those who know no platform.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::shoutout::ShoutoutProfile;
use domain::{BreakerConfig, BreakerState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest login that can be looked up; Twitch's own bound is 25.
pub const LOGIN_CHARS_MAX: usize = 25;

/// An account and what it streams. The parts are the platform's own answers, with what it leaves out empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streamer {
    pub user: StreamerUser,
    /// `None`: the platform knows no channel of the account.
    pub channel: Option<StreamerChannel>,
    /// `None`: not live.
    pub stream: Option<LiveStream>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StreamerUser {
    pub id: String,
    pub login: String,
    pub display_name: String,
    /// `affiliate`, `partner`, or empty.
    pub broadcaster_type: String,
    pub description: String,
    pub profile_image_url: String,
    pub offline_image_url: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StreamerChannel {
    /// Empty: never told.
    pub game_name: String,
    pub title: String,
    pub broadcaster_language: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LiveStream {
    pub game_name: String,
    pub title: String,
    pub viewer_count: u64,
    pub language: String,
    /// `None`: not told.
    pub started_at: Option<DateTime<Utc>>,
}

impl Streamer {
    pub const fn is_live(&self) -> bool {
        self.stream.is_some()
    }

    /// What a shoutout says of them: what is played now, else what was played last.
    pub fn profile(&self) -> ShoutoutProfile {
        let channel = self.channel.clone().unwrap_or_default();
        let (game, title) = match &self.stream {
            Some(stream) => (stream.game_name.clone(), stream.title.clone()),
            None => (channel.game_name, channel.title),
        };
        ShoutoutProfile {
            display_name: self.user.display_name.clone(),
            login: self.user.login.clone(),
            game_name: Some(game).filter(|game| !game.is_empty()),
            title,
            viewer_count: self.stream.as_ref().map(|stream| stream.viewer_count),
            description: self.user.description.clone(),
            broadcaster_type: self.user.broadcaster_type.clone(),
            profile_image_url: self.user.profile_image_url.clone(),
            offline_image_url: self.user.offline_image_url.clone(),
        }
    }
}

/// How the calls of a host went, as its breaker on this node saw them since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostFigures {
    pub state: &'static str,
    /// Since the last success.
    pub n_failures_in_row: u32,
    /// Since the breaker began to try again.
    pub n_probes_succeeded: u32,
    /// Those that ended; a call that was given up counts as none.
    pub n_successes: u64,
    pub n_failures: u64,
    /// Refused by the breaker, so never made.
    pub n_rejections: u64,
    /// When the state last changed. `None`: never.
    pub changed_at: Option<DateTime<Utc>>,
    pub config: BreakerConfig,
}

impl HostFigures {
    /// A host that was not called yet.
    pub const fn untouched() -> Self {
        Self {
            state: BreakerState::Closed.as_str(),
            n_failures_in_row: 0,
            n_probes_succeeded: 0,
            n_successes: 0,
            n_failures: 0,
            n_rejections: 0,
            changed_at: None,
            config: BreakerConfig::host(),
        }
    }
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// The sentence says what to set.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// The platform does not accept what is configured; the sentence says what to change. A retry does not help.
    #[error("{0}")]
    Refused(String),
    /// A retry helps, `retry_after` from now or later.
    #[error("{reason}")]
    Unavailable {
        reason: String,
        /// `None`: not told.
        retry_after: Option<Duration>,
    },
}

/// Asks the platform. One for the node.
#[async_trait]
pub trait StreamerLookup: fmt::Debug + Send + Sync {
    /// The streamer of that login, as [`login_of`] reads it, within `limit`; `None` where there is none. What it says
    /// may be a minute old.
    ///
    /// # Errors
    /// [`LookUpError`], after the attempts that are worth it.
    async fn look_up(&self, login: &str, limit: Duration) -> Result<Option<Arc<Streamer>>, LookUpError>;

    /// How the calls of the platform's host went.
    fn figures(&self) -> HostFigures;
}

/// Reads a login as people write it: `ann`, `@Ann`, `https://www.twitch.tv/ann`. `None`: it is none.
pub fn login_of(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(&text);
    let address = address.strip_prefix("www.").or_else(|| address.strip_prefix("m.")).unwrap_or(address);
    let name = match address.strip_prefix("twitch.tv/") {
        Some(path) => path.split(['/', '?', '#']).next().unwrap_or_default(),
        None => text.trim_start_matches('@').trim_end_matches([',', ':']),
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    ((1..=LOGIN_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_legal)).then(|| name.to_owned())
}

/// Streamers that a test made up; nobody can tell of `outage`.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct MadeUp(pub Vec<Streamer>);

#[cfg(test)]
impl MadeUp {
    /// `ann` plays Go before 7 viewers, `bob` played Chess, `eve` has a title that is no text of hers to write.
    pub fn three() -> Self {
        Self(vec![
            Self::streamer("ann", "Openings", Some(7)),
            Self::streamer("bob", "Endings", None),
            Self::streamer("eve", "/ban you <svg onload=alert(1)>", Some(1)),
        ])
    }

    fn streamer(login: &str, title: &str, viewers: Option<u64>) -> Streamer {
        let title = title.to_owned();
        let user = StreamerUser {
            id: format!("id-{login}"),
            login: login.to_owned(),
            display_name: login.to_uppercase(),
            ..StreamerUser::default()
        };
        let (game_name, live_game) = ("Chess".to_owned(), "Go".to_owned());
        let channel = StreamerChannel { game_name, title: title.clone(), ..StreamerChannel::default() };
        let stream = viewers.map(|viewer_count| LiveStream {
            game_name: live_game,
            title,
            viewer_count,
            ..LiveStream::default()
        });
        Streamer { user, channel: Some(channel), stream }
    }
}

#[cfg(test)]
#[async_trait]
impl StreamerLookup for MadeUp {
    async fn look_up(&self, login: &str, _: Duration) -> Result<Option<Arc<Streamer>>, LookUpError> {
        if login == "outage" {
            let (reason, retry_after) = ("Twitch is away".to_owned(), Some(Duration::from_secs(30)));
            return Err(LookUpError::Unavailable { reason, retry_after });
        }
        Ok(self.0.iter().find(|streamer| streamer.user.login == login).cloned().map(Arc::new))
    }

    fn figures(&self) -> HostFigures {
        HostFigures::untouched()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_as_people_write_it() {
        let names =
            ["ann", "@Ann", " ANN ", "@ann,", "https://www.twitch.tv/Ann", "twitch.tv/ann/videos?x=1"];
        for text in names {
            assert_eq!(login_of(text).as_deref(), Some("ann"), "{text}");
        }
        let wrong = ["", "@", "a b", "ann&id=1", "änn", "https://evil.example/ann", &"a".repeat(26)];
        for text in wrong {
            assert_eq!(login_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_live_comes_before_what_was_played_last() {
        let named = |game: &str, title: &str| StreamerChannel {
            game_name: game.to_owned(),
            title: title.to_owned(),
            ..StreamerChannel::default()
        };
        let mut streamer = Streamer { channel: Some(named("Chess", "Openings")), ..Streamer::default() };
        let offline = streamer.profile();
        assert_eq!((offline.game_name.as_deref(), offline.viewer_count), (Some("Chess"), None));
        streamer.stream =
            Some(LiveStream { game_name: "Go".to_owned(), viewer_count: 7, ..LiveStream::default() });
        let live = streamer.profile();
        assert_eq!((live.game_name.as_deref(), live.viewer_count), (Some("Go"), Some(7)));
        streamer.stream = Some(LiveStream::default());
        assert_eq!(streamer.profile().game_name, None, "an unknown game is no name");
    }
}
