//! How a channel is named from outside.

use std::fmt;
use std::str::FromStr;

use crate::Platform;

/// `platform:login` or `platform:platform_id`, as people and the API write it.
///
/// Names are at most [`ChannelKey::NAME_BYTES_MAX`] bytes of printable ASCII without white space, kept in
/// lower case: logins are matched without regard to case on every platform we know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelKey {
    platform: Platform,
    name: String,
}

/// The text is not a channel key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelKeyError {
    #[error("`{0}` is not a channel; write platform:login, for example twitch:waddle")]
    NoPlatform(String),
    #[error(transparent)]
    Platform(#[from] crate::platform::UnknownPlatform),
    #[error("`{0}` is not a channel name; use 1 to 100 letters, digits, `_`, `-` or `.`")]
    Name(String),
}

impl ChannelKey {
    /// Longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 100;

    /// Builds a key from its parts; a leading `#` or `@` of the name is dropped.
    ///
    /// # Errors
    /// [`ChannelKeyError::Name`] when the name holds other than letters, digits, `_`, `-`, `.`.
    pub fn new(platform: Platform, name: &str) -> Result<Self, ChannelKeyError> {
        let trimmed = name.trim_start_matches(['#', '@']).to_ascii_lowercase();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if trimmed.is_empty() || trimmed.len() > Self::NAME_BYTES_MAX || !trimmed.bytes().all(legal) {
            return Err(ChannelKeyError::Name(name.chars().take(100).collect()));
        }
        Ok(Self { platform, name: trimmed })
    }

    pub const fn platform(&self) -> Platform {
        self.platform
    }

    /// Login or platform id, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.platform, self.name)
    }
}

impl FromStr for ChannelKey {
    type Err = ChannelKeyError;

    fn from_str(text: &str) -> Result<Self, ChannelKeyError> {
        let (platform, name) = text
            .split_once(':')
            .ok_or_else(|| ChannelKeyError::NoPlatform(text.chars().take(100).collect()))?;
        Self::new(platform.parse()?, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_platform_and_lower_case_name() {
        let key: ChannelKey = "Twitch:#WaddleBot".parse().unwrap();
        assert_eq!(key.to_string(), "twitch:waddlebot");
    }

    #[test]
    fn a_key_says_what_is_wrong_with_it() {
        for (text, want) in [
            ("waddle", "not a channel; write platform:login"),
            ("tvitch:waddle", "unknown platform `tvitch`"),
            ("twitch:", "not a channel name"),
            ("twitch:a b", "not a channel name"),
            ("twitch:a\r\nJOIN #x", "not a channel name"),
        ] {
            let error = text.parse::<ChannelKey>().unwrap_err().to_string();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }
}
