//! What a module says back.

use domain::ChannelId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Once;

/// Where a reply goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyTarget {
    /// To where the event came from.
    #[default]
    Here,
    /// To where the event came from, as an answer to that message.
    Message,
    /// Another channel of the same community.
    Channel(ChannelId),
    Thread(String),
    /// The user alone, by platform user id.
    User(String),
    /// An interaction's token (Discord, Slack).
    Interaction(String),
}

/// A moderator's deed that a module asks for; needs the declared permission `moderate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ModerationAction {
    DeleteMessage { message_id: String },
    Timeout { platform_user_id: String, duration_secs: u32, reason: String },
    Ban { platform_user_id: String, reason: String },
}

/// A reply: text plus what richer platforms can show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Plain text; the platform's sender cleans it and splits it to the platform's length.
    pub text: String,
    /// A rich card, in Discord's embed shape; `None` for plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<Value>,
    /// Buttons and menus, in Discord's component shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Value>,
    /// Seen by the caller alone where the platform can do that.
    pub ephemeral: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<ModerationAction>,
    pub target: ReplyTarget,
    /// How it is kept from leaving twice.
    #[serde(skip)]
    pub once: Once,
}

impl Reply {
    /// A plain text for where the event came from.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A plain text as the whole answer.
    pub fn only(text: impl Into<String>) -> Vec<Self> {
        vec![Self::text(text)]
    }
}
