//! The places chat comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A chat platform, or the terminal (`console`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Twitch,
    Discord,
    Slack,
    YouTube,
    Kick,
    /// The terminal of the machine that runs the node; needs no account.
    Console,
}

impl Platform {
    /// Every platform, in the order they are listed to people.
    pub const ALL: [Self; 6] =
        [Self::Twitch, Self::Discord, Self::Slack, Self::YouTube, Self::Kick, Self::Console];

    /// The name used in keys, tables, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twitch => "twitch",
            Self::Discord => "discord",
            Self::Slack => "slack",
            Self::YouTube => "youtube",
            Self::Kick => "kick",
            Self::Console => "console",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform `{0}`; known are twitch, discord, slack, youtube, kick and console")]
pub struct UnknownPlatform(pub String);

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, UnknownPlatform> {
        Self::ALL
            .into_iter()
            .find(|platform| platform.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownPlatform(text.to_owned()))
    }
}
