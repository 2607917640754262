//! What a channel asks of a module actor.

use std::sync::Arc;
use std::time::Instant;

use domain::{ChannelId, CorrelationId, Level};
use ractor::RpcReplyPort;
use serde::{Deserialize, Serialize};

use super::{ChatEvent, CommandTable, Line, Permit, ReplySink};

/// A custom command as the gate found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomCommand {
    /// Row id of the command.
    pub id: String,
    /// The template's text.
    pub response: String,
}

/// A command that passed the gate. Serializable but for the handles.
#[derive(Debug)]
pub struct CommandCall {
    /// The channel's number for this call; its report carries it back.
    pub ticket: u64,
    /// The registered name, lower case, without prefix.
    pub name: Arc<str>,
    /// What stands behind the name, trimmed.
    pub args: String,
    /// The caller's level, stored roles included.
    pub level: Level,
    /// `Some` when the command is a custom one.
    pub custom: Option<Arc<CustomCommand>>,
    pub event: Arc<ChatEvent>,
    pub received: Instant,
    pub sink: Arc<dyn ReplySink>,
    pub permit: Option<Arc<Permit>>,
    /// The channel's commands as the gate saw them.
    pub table: Arc<CommandTable>,
}

/// An event that the module subscribed to.
#[derive(Debug)]
pub struct EventCall {
    pub ticket: u64,
    pub event: Arc<ChatEvent>,
    pub received: Instant,
    pub sink: Arc<dyn ReplySink>,
    pub permit: Option<Arc<Permit>>,
    pub table: Arc<CommandTable>,
}

/// The mailbox of a module actor; its channel keeps at most one command in flight.
#[derive(Debug)]
pub enum ModuleMsg {
    Command(Box<CommandCall>),
    Event(Box<EventCall>),
    /// A batch of lines; lossy, and not reported.
    Lines {
        lines: Vec<Line>,
        sink: Arc<dyn ReplySink>,
        table: Arc<CommandTable>,
        /// Dropped when the batch is done: the channel sends the next one only then.
        under_way: Arc<()>,
    },
    /// The module's memory for a hand-over, at most 64 KiB; the actor stops afterwards.
    HandOver(RpcReplyPort<Vec<u8>>),
}

/// How one call went, told to the channel.
#[derive(Clone, Debug)]
pub struct CallReport {
    pub channel_id: ChannelId,
    pub module: &'static str,
    pub ticket: u64,
    pub generation: u64,
    pub correlation_id: CorrelationId,
    pub end: CallEnd,
}

/// The end of a call as the breaker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// Done, with or without replies; a user's mistake is a success too.
    Succeeded { answered: bool, slow: bool },
    /// Failed after its retries; `attempts` of them counted by the breaker.
    Failed { attempts: u32 },
    /// The database did not answer, or takes nothing: not counted.
    NoStorage,
    /// Over its time limit: the child is replaced, since its state is unknown. Not counted when it waited for the
    /// database.
    TimedOut { in_storage: bool },
    /// Panicked, or the module gave up: the child dies with its memory.
    Crashed { reason: String },
}
