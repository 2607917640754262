//! What a platform knows of a streamer, for those who know no platform.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::shoutout::ShoutoutProfile;
use serde::{Deserialize, Serialize};

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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamerChannel {
    /// Empty: never told.
    pub game_name: String,
    pub title: String,
    pub broadcaster_language: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Streamers that a test made up.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct MadeUp(pub Vec<Streamer>);

#[cfg(test)]
#[async_trait]
impl StreamerLookup for MadeUp {
    async fn look_up(&self, login: &str, _: Duration) -> Result<Option<Arc<Streamer>>, LookUpError> {
        Ok(self.0.iter().find(|streamer| streamer.user.login == login).cloned().map(Arc::new))
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
