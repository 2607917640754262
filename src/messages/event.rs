//! What happened in a channel, whichever platform told us.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId, Level, Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CommandCall, Permit, ReplySink};

/// What the allocator keeps beside each allocation, about.
const ALLOCATION_BYTES: u64 = 16;

/// The kind of an event; the names are those of the router contract (`message_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    #[serde(rename = "chatMessage")]
    ChatMessage,
    #[serde(rename = "slashCommand")]
    SlashCommand,
    Interaction,
    ModalSubmit,
    ButtonClick,
    SelectMenu,
    StreamOnline,
    StreamOffline,
    Subscription,
    GiftSubscription,
    Follow,
    Raid,
    Cheer,
    /// A timer of ours is due; `metadata` holds `timer_id` and `due_at`. Never accepted from outside.
    TimerDue,
    /// A reminder of ours is due; `metadata` holds `reminder_id` and `due_at`. Never accepted from outside.
    ReminderDue,
}

impl EventKind {
    /// The name used in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatMessage => "chatMessage",
            Self::SlashCommand => "slashCommand",
            Self::Interaction => "interaction",
            Self::ModalSubmit => "modal_submit",
            Self::ButtonClick => "button_click",
            Self::SelectMenu => "select_menu",
            Self::StreamOnline => "stream_online",
            Self::StreamOffline => "stream_offline",
            Self::Subscription => "subscription",
            Self::GiftSubscription => "gift_subscription",
            Self::Follow => "follow",
            Self::Raid => "raid",
            Self::Cheer => "cheer",
            Self::TimerDue => "timer_due",
            Self::ReminderDue => "reminder_due",
        }
    }

    /// Whether only this program makes such events.
    pub const fn is_own(self) -> bool {
        matches!(self, Self::TimerDue | Self::ReminderDue)
    }

    /// Whether the text of such an event may be a command.
    pub const fn may_command(self) -> bool {
        matches!(self, Self::ChatMessage | Self::SlashCommand)
    }
}

/// How an event reached us; part of the op id, so that two transports of one platform share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    TwitchIrc,
    Console,
    Router,
    Scheduler,
}

impl Source {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TwitchIrc => "twitch_irc",
            Self::Console => "console",
            Self::Router => "router",
            Self::Scheduler => "scheduler",
        }
    }
}

/// What is shed first when a channel is flooded: chat, then commands; the other two are not shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    Chat,
    Command,
    Moderation,
    Control,
}

/// Who wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chatter {
    /// The platform's id of the account, never its name.
    pub platform_user_id: String,
    pub login: String,
    pub display_name: String,
    /// What the platform's badges give; stored roles are added by the gate.
    pub level: Level,
}

impl Chatter {
    /// What people call the user.
    pub fn shown_name(&self) -> &str {
        if self.display_name.is_empty() { &self.login } else { &self.display_name }
    }
}

/// One event of one channel. Serializable: a module may later run outside the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChatEvent {
    pub channel_id: ChannelId,
    pub platform: Platform,
    pub kind: EventKind,
    pub source: Source,
    /// The platform's id of the message; `None` for what has none (every delivery is then a new event).
    pub message_id: Option<String>,
    pub user: Chatter,
    /// What was written, without the platform's framing; may be empty for what is no chat.
    pub text: String,
    /// When the platform says it was written; `None` when it does not say.
    pub sent_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub correlation_id: CorrelationId,
    /// W3C `traceparent` of the caller; `None` for what no caller traced.
    pub traceparent: Option<String>,
    /// What else the platform or the caller told, at most 64 KiB.
    pub metadata: Map<String, Value>,
}

impl ChatEvent {
    /// What is shed first when the channel is flooded, for an event that came over HTTP.
    pub fn class(&self) -> EventClass {
        let is_chat = self.kind == EventKind::ChatMessage;
        let is_command = self.kind.may_command() && domain::command_line::is_command(self.text.as_bytes());
        if is_chat && !is_command { EventClass::Chat } else { EventClass::Command }
    }
}

/// An event on its way through the node: the event, where its replies go, and its place in the channel's bound.
#[derive(Debug)]
pub struct Delivery {
    /// Shared by everybody on its way: it is made once and never copied.
    pub event: Arc<ChatEvent>,
    /// Monotonic time of receipt; ages and latencies are counted from here.
    pub received: Instant,
    /// The platform's sender or an HTTP caller's collector.
    pub sink: Arc<dyn ReplySink>,
    /// Held until the reply is written or given up; `None` before the lane has accepted the event.
    pub permit: Option<Permit>,
}

impl Delivery {
    /// What the event takes in memory while it waits, in the lane or as a call of its module. Its own size counts twice,
    /// since the queue grows by doubling.
    pub fn bytes(&self) -> u64 {
        let event = &self.event;
        let user = &event.user;
        let texts = [&event.text, &user.platform_user_id, &user.login, &user.display_name];
        let ids = [&event.message_id, &event.traceparent].into_iter().flatten();
        let texts: u64 = texts.into_iter().chain(ids).map(text_bytes).sum();
        let own = 2 * size_of::<Self>() + size_of::<ChatEvent>() + size_of::<CommandCall>();
        own as u64 + texts + map_bytes(&event.metadata)
    }
}

fn text_bytes(text: &String) -> u64 {
    if text.capacity() == 0 { 0 } else { text.capacity() as u64 + ALLOCATION_BYTES }
}

/// What a document owns. Its depth is bounded by the parser it came through.
fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text_bytes(text),
        Value::Array(items) => {
            let places = items.capacity() * size_of::<Value>();
            places as u64 + ALLOCATION_BYTES + items.iter().map(value_bytes).sum::<u64>()
        }
        Value::Object(map) => map_bytes(map),
        _ => 0,
    }
}

/// Half of a map's places may be empty.
fn map_bytes(map: &Map<String, Value>) -> u64 {
    let entry = 2 * size_of::<(String, Value)>() as u64;
    map.iter().map(|(name, value)| entry + text_bytes(name) + value_bytes(value)).sum()
}

/// One plain chat line, for the modules that asked for every line of a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    pub user: Chatter,
    pub text: String,
    pub message_id: Option<String>,
}
