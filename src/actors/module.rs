//! What a module is: a row that describes it and a type that answers.
//!
//! A module never holds a platform or another actor. It gets an event and a [`Context`] and returns replies, so it is
//! tested as a function.

use async_trait::async_trait;
use domain::Level;
use serde_json::Value;
use storage::StorageError;

use super::Context;
use crate::messages::{ChatEvent, CommandCall, CommandTable, EventKind, Line, Reply};

/// A command that a module brings along.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Lower case, without prefix.
    pub name: &'static str,
    /// Other names of the same command; the module sees `name`.
    pub also: &'static [&'static str],
    /// What to type, without prefix: `addcom <name> <text>`.
    pub usage: &'static str,
    /// One sentence for `!help` and the API.
    pub description: &'static str,
    pub level: Level,
    /// Per channel; moderators and above pass.
    pub cooldown_secs: u32,
}

impl CommandSpec {
    /// What a row leaves out: no other names, for everyone, no cooldown.
    pub const DEFAULT: Self =
        Self { name: "", also: &[], usage: "", description: "", level: Level::Everyone, cooldown_secs: 0 };
}

/// What a module may do beyond answering in its own channel. Replies that need more are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Delete, time out, ban.
    Moderate,
    /// Write into another channel of the community.
    OtherChannels,
}

/// One row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModuleSpec {
    /// The name in metrics, settings and `waddlebot modules`; also the file's name.
    pub name: &'static str,
    pub description: &'static str,
    pub commands: &'static [CommandSpec],
    /// Events it sees; a command is no event.
    pub events: &'static [EventKind],
    /// Whether it sees every line of a channel, in lossy batches.
    pub lines: bool,
    /// Off in a channel until somebody switches it on there.
    pub starts_off: bool,
    pub permissions: &'static [Permission],
    /// JSON schema of its settings; `None` when it has none.
    pub settings: Option<fn() -> Value>,
    pub new: fn() -> Box<dyn Module>,
}

impl ModuleSpec {
    /// What a row leaves out: no commands, no events, no lines, no permissions, no settings; on.
    pub const DEFAULT: Self = Self {
        name: "",
        description: "",
        commands: &[],
        events: &[],
        lines: false,
        starts_off: false,
        permissions: &[],
        settings: None,
        new: || Box::new(Deaf),
    };

    /// Whether the module answers in the channel of that table.
    pub fn is_on(&self, table: &CommandTable) -> bool {
        table.switched(self.name).unwrap_or(!self.starts_off)
    }
}

/// Why a module could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The user's mistake; the text is the reply and says what to type instead. A success for the breaker.
    #[error("{0}")]
    User(String),
    /// Worth another attempt with the same op id: at most 3, 1 s and 2 s apart.
    #[error("{0}")]
    Retry(String),
    /// The database does not answer (worth another attempt, as above) or takes nothing. The breaker does not count it: no
    /// module can help that, and all are there again when the database is.
    #[error("{text}")]
    Storage { text: String, is_retryable: bool },
    /// Not worth another attempt; the user is told in these words that it failed. Counted by the breaker.
    #[error("{0}")]
    Failed(String),
    /// The module's memory can no longer be trusted: the actor dies with it.
    #[error("{0}")]
    Fatal(String),
}

impl From<StorageError> for ModuleError {
    fn from(error: StorageError) -> Self {
        // What stands in the chat names no path of the machine; the log has the whole error.
        match error {
            StorageError::Full { .. } => Self::storage("my storage is full; nothing was changed", false),
            StorageError::ReadOnly { .. } => {
                Self::storage("my storage is read-only; nothing was changed", false)
            }
            error if error.is_retryable() => Self::storage("my storage does not answer", true),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl ModuleError {
    fn storage(text: &str, is_retryable: bool) -> Self {
        Self::Storage { text: text.to_owned(), is_retryable }
    }

    /// Whether another attempt may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::Storage { is_retryable: true, .. })
    }
}

/// A module's logic in one channel. Spawned at its first message, gone after ten idle minutes: what must last goes
/// through [`Context::unit_of_work`].
#[async_trait]
pub trait Module: Send + 'static {
    /// Answers a command. At most one runs at a time, under `limits.module_timeout_ms`.
    async fn on_command(&mut self, _ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        Ok(Vec::new())
    }

    /// Sees an event it subscribed to.
    async fn on_event(&mut self, _ctx: &Context, _event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
        Ok(Vec::new())
    }

    /// Sees lines in batches of at most 256 or 100 ms; lossy under load, what is lost is counted.
    async fn on_lines(&mut self, _ctx: &Context, _lines: &[Line]) -> Result<Vec<Reply>, ModuleError> {
        Ok(Vec::new())
    }

    /// Its memory for the next owner of the channel, at most 64 KiB.
    fn handover(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// The module of a row that forgot `new`: hears nothing, says nothing.
struct Deaf;

impl Module for Deaf {}
