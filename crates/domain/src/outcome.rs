//! How a command ended. Every command ends in exactly one outcome.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Level;

/// The one end of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// At least one reply was handed to where the command came from.
    Answered,
    /// Done, and there is nothing to say.
    Silent,
    /// Not run, for a reason the caller can read.
    Refused { refusal: Refusal },
    /// The module panicked, gave up or could not reach what it needs.
    Failed,
    /// The module did not answer within its limit.
    TimedOut,
    /// Dropped because a queue on the way was full.
    Shed,
    /// Nothing was begun: the channel ended or went to another node before its turn came.
    Moved,
}

/// Why a command was not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Refusal {
    /// No command of that name; silent in chat, an error over HTTP.
    Unknown {
        command: String,
    },
    ModuleDisabled {
        module: String,
    },
    CommandDisabled {
        command: String,
    },
    Level {
        needed: Level,
    },
    Cooldown {
        seconds_left: u32,
    },
    RateLimited {
        seconds_left: u32,
    },
    /// The module's breaker is open.
    Unavailable {
        module: String,
        retry_at: Option<DateTime<Utc>>,
    },
    /// Too many commands wait for this module in this channel.
    Busy {
        module: String,
    },
    /// The arguments do not fit; `usage` says what to type instead.
    Usage {
        usage: String,
    },
    /// An alias that calls itself, or more than three deep.
    AliasDepth,
    /// The channel's settings could not be loaded in time.
    NotLoaded,
}

impl Outcome {
    /// The `status` label of `commands_total`.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Answered => "success",
            Self::Silent => "silent",
            Self::Refused { refusal } => refusal.status(),
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::Shed => "shed",
            Self::Moved => "moved",
        }
    }
}

impl Refusal {
    /// The `status` label of `commands_total` for this refusal.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::ModuleDisabled { .. } => "module_disabled",
            Self::CommandDisabled { .. } => "command_disabled",
            Self::Level { .. } => "forbidden",
            Self::Cooldown { .. } => "cooldown",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Busy { .. } => "busy",
            Self::Usage { .. } => "usage",
            Self::AliasDepth => "alias_depth",
            Self::NotLoaded => "not_loaded",
        }
    }
}
