//! Who may use a command.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A permission level; each includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    Everyone,
    Subscriber,
    Regular,
    Vip,
    Moderator,
    Editor,
    Owner,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Everyone,
        Self::Subscriber,
        Self::Regular,
        Self::Vip,
        Self::Moderator,
        Self::Editor,
        Self::Owner,
    ];

    /// The name people type and tables hold.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Subscriber => "subscriber",
            Self::Regular => "regular",
            Self::Vip => "vip",
            Self::Moderator => "moderator",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown level `{0}`; use everyone, subscriber, regular, vip, moderator, editor or owner")]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Accepts the names above, the spellings of other bots (`mod`, `sub`, `admin`, `supermod`, `broadcaster`,
    /// `streamer`, `all`, `member`) and the numbers 100 to 1500 of `StreamElements`.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text.to_ascii_lowercase().as_str() {
            "everyone" | "all" | "member" | "viewer" | "100" => Ok(Self::Everyone),
            "subscriber" | "sub" | "subs" | "250" => Ok(Self::Subscriber),
            "regular" | "reg" | "300" => Ok(Self::Regular),
            "vip" | "vips" | "400" => Ok(Self::Vip),
            "moderator" | "mod" | "mods" | "500" => Ok(Self::Moderator),
            "editor" | "admin" | "supermod" | "1000" => Ok(Self::Editor),
            "owner" | "broadcaster" | "streamer" | "1500" => Ok(Self::Owner),
            _ => Err(UnknownLevel(text.to_owned())),
        }
    }
}
