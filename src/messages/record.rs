//! What the event log keeps of one thing that happened: small, and without a wait for whoever writes it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId, Level, Outcome};
use serde::{Deserialize, Serialize};
use storage::EventRow;

use super::{ChatEvent, Chatter, OutboundReply};

/// Longest text of a record, in bytes; a longer one is cut.
pub const TEXT_BYTES_MAX: usize = 128;
/// Longest name (command, login) of a record, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest text of a line or reply while its channel is recorded, in bytes.
const LINE_BYTES_MAX: usize = 2_048;
/// What the allocator keeps beside each of a record's texts, about.
const ALLOCATION_BYTES: usize = 16;

/// A text from a fixed set; owned only when it was read back.
pub type Word = Cow<'static, str>;

/// One thing that happened. Texts that are empty are not there.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// `None` for what concerns the whole node.
    pub channel_id: Option<ChannelId>,
    pub correlation_id: Option<CorrelationId>,
    pub message_id: Box<str>,
    pub user_login: Box<str>,
    pub what: What,
}

/// What happened. The JSON of it stands in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A command ended, counted from the receipt of its line.
    Ended {
        command: Box<str>,
        /// `None` when none ran.
        module: Option<Word>,
        /// The caller's effective level where the gate refused, else what the platform's badges gave.
        level: Level,
        #[serde(flatten)]
        outcome: Outcome,
        duration_us: u64,
    },
    /// A unit of work.
    Effect { module: Word, op_id: Box<str>, result: EffectResult },
    /// A reply on its way out.
    Send {
        state: SendState,
        /// Why it waits or was dropped; `None` when it was written.
        why: Option<Word>,
    },
    /// What a reply said; only while the channel is recorded.
    Said { text: Box<str> },
    /// Lines that found no room within one second.
    Shed { reason: Word, count: u64 },
    /// The channel was not read in between; `to` is `None` while it is not read again.
    Gap { from: DateTime<Utc>, to: Option<DateTime<Utc>>, reason: Word },
    /// A command that came again under the same id and was not run again.
    Duplicate { source: Word },
    /// Records that were dropped because the log was behind.
    Lost { count: u64 },
    /// The platform did not show a line of the bot.
    Held { reason: Word },
    /// A process fell while the module ran in this channel; `is_disabled` = it was the second within ten minutes.
    Suspected { module: Word, is_disabled: bool },
    /// The node started; what came before was not seen by it.
    Started { node_id: Box<str> },
    /// A plain line; only while the channel is recorded.
    Line(Box<RecordedLine>),
    /// A line that may be a command; only while the channel is recorded.
    CommandLine(Box<RecordedLine>),
}

/// A line as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLine {
    pub user: Chatter,
    pub text: String,
    pub received_at: DateTime<Utc>,
}

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectResult {
    Applied,
    /// An earlier attempt had done it; nothing was applied now.
    Repeated,
    Failed,
}

/// How far a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// It waits for its turn.
    Queued,
    /// The last part left through the socket, or was given to who asked over HTTP.
    Written,
    Dropped,
}

impl What {
    /// The record's kind, as the store has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "ended",
            Self::Effect { .. } => "effect",
            Self::Send { .. } => "send",
            Self::Said { .. } => "said",
            Self::Shed { .. } => "shed",
            Self::Gap { .. } => "gap",
            Self::Duplicate { .. } => "duplicate",
            Self::Lost { .. } => "lost",
            Self::Held { .. } => "held",
            Self::Suspected { .. } => "suspected",
            Self::Started { .. } => "started",
            Self::Line(_) => "line",
            Self::CommandLine(_) => "command_line",
        }
    }

    /// Whether it tells when a channel may have missed something.
    pub const fn is_context(&self) -> bool {
        matches!(
            self,
            Self::Gap { .. }
                | Self::Shed { .. }
                | Self::Lost { .. }
                | Self::Started { .. }
                | Self::Held { .. }
                | Self::Suspected { .. }
        )
    }

    /// A reply that was given up.
    pub const fn dropped(why: &'static str) -> Self {
        Self::Send { state: SendState::Dropped, why: Some(Cow::Borrowed(why)) }
    }

    /// A reply that left.
    pub const fn written() -> Self {
        Self::Send { state: SendState::Written, why: None }
    }

    fn text_bytes(&self) -> usize {
        let line = |line: &RecordedLine| {
            size_of::<RecordedLine>()
                + line.text.len()
                + line.user.platform_user_id.len()
                + line.user.login.len()
                + line.user.display_name.len()
                + 4 * ALLOCATION_BYTES
        };
        match self {
            Self::Ended { command, outcome, .. } => command.len() + outcome_bytes(outcome),
            Self::Effect { op_id, .. } => op_id.len(),
            Self::Said { text } => text.len(),
            Self::Started { node_id } => node_id.len(),
            Self::Line(recorded) | Self::CommandLine(recorded) => line(recorded),
            Self::Send { .. }
            | Self::Shed { .. }
            | Self::Gap { .. }
            | Self::Duplicate { .. }
            | Self::Held { .. }
            | Self::Suspected { .. }
            | Self::Lost { .. } => 0,
        }
    }
}

/// Names of modules are ours and short; only the name of an unknown command is what somebody typed.
const fn outcome_bytes(outcome: &Outcome) -> usize {
    use domain::Refusal;
    match outcome {
        Outcome::Refused { refusal: Refusal::Unknown { command } | Refusal::CommandDisabled { command } } => {
            command.len()
        }
        Outcome::Refused {
            refusal:
                Refusal::ModuleDisabled { module }
                | Refusal::Unavailable { module, .. }
                | Refusal::Busy { module },
        } => module.len(),
        _ => 0,
    }
}

impl EventRecord {
    /// A record about one event.
    pub fn of(event: &ChatEvent, what: What) -> Self {
        Self {
            channel_id: Some(event.channel_id),
            correlation_id: Some(event.correlation_id),
            message_id: text(event.message_id.as_deref().unwrap_or_default()),
            user_login: name(&event.user.login),
            what,
        }
    }

    /// A record about a reply.
    pub fn of_reply(reply: &OutboundReply, what: What) -> Self {
        Self {
            correlation_id: Some(reply.correlation_id),
            message_id: text(reply.in_reply_to.as_deref().unwrap_or_default()),
            ..Self::about(Some(reply.channel_id), what)
        }
    }

    /// A record about a channel, or about the node.
    pub fn about(channel_id: Option<ChannelId>, what: What) -> Self {
        let (message_id, user_login) = (Box::default(), Box::default());
        Self { channel_id, correlation_id: None, message_id, user_login, what }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.message_id.len()
            + self.user_login.len()
            + self.what.text_bytes()
            + 4 * ALLOCATION_BYTES
    }

    /// The row that keeps it.
    pub fn to_row(&self, id: i64) -> EventRow {
        let text = |id: Option<String>| id.unwrap_or_default();
        EventRow {
            id,
            channel_id: text(self.channel_id.map(|id| id.to_string())),
            kind: self.what.kind().to_owned(),
            correlation_id: text(self.correlation_id.map(|id| id.to_string())),
            message_id: self.message_id.to_string(),
            user_login: self.user_login.to_string(),
            body: serde_json::to_string(&self.what).unwrap_or_default(),
        }
    }

    /// The record of a row; `None` for one that another version wrote.
    pub fn from_row(row: EventRow) -> Option<Self> {
        Some(Self {
            channel_id: ChannelId::parse(&row.channel_id),
            correlation_id: CorrelationId::parse(&row.correlation_id),
            message_id: row.message_id.into(),
            user_login: row.user_login.into(),
            what: serde_json::from_str(&row.body).ok()?,
        })
    }
}

/// A text of a record: cut to [`TEXT_BYTES_MAX`], without control characters.
pub fn text(text: &str) -> Box<str> {
    cut(text, TEXT_BYTES_MAX)
}

/// A name of a record.
pub fn name(name: &str) -> Box<str> {
    cut(name, NAME_BYTES_MAX)
}

/// A text that is kept while its channel is recorded.
pub fn line_text(text: &str) -> Box<str> {
    cut(text, LINE_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> Box<str> {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if text.contains(char::is_control) {
        text.chars().filter(|letter| !letter.is_control()).collect::<String>().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use domain::Refusal;

    use super::*;

    #[test]
    fn a_record_takes_at_most_512_bytes_whatever_was_typed() {
        let long = "é".repeat(5_000);
        let record = EventRecord {
            channel_id: None,
            correlation_id: None,
            message_id: text(&long),
            user_login: name(&long),
            what: What::Ended {
                command: name(&long),
                module: Some("commands".into()),
                level: Level::Everyone,
                outcome: Outcome::Refused { refusal: Refusal::Unknown { command: String::new() } },
                duration_us: u64::MAX,
            },
        };
        assert!(record.bytes() <= 512, "{}", record.bytes());
        assert!(record.message_id.len() <= TEXT_BYTES_MAX);
        assert_eq!(&*text("a\0b\r\nc"), "abc");
    }

    #[test]
    fn a_record_comes_back_from_its_row() {
        let outcome = Outcome::Refused { refusal: Refusal::Level { needed: Level::Moderator } };
        let what = What::Ended {
            command: "ban".into(),
            module: None,
            level: Level::Everyone,
            outcome,
            duration_us: 5,
        };
        let record = EventRecord::about(None, what);
        assert_eq!(EventRecord::from_row(record.to_row(1)), Some(record));
        let gap = What::Gap { from: DateTime::default(), to: None, reason: "lost".into() };
        let record = EventRecord::about(None, gap);
        assert_eq!(EventRecord::from_row(record.to_row(1)), Some(record));
    }
}
