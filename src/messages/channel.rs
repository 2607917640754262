//! The mailbox of a channel actor: control only. Chat travels in the [`Lane`](super::Lane).

use domain::ChannelId;
use ractor::{ActorRef, RpcReplyPort};
use serde::Serialize;

use super::ModuleMsg;
use super::module::CallReport;

/// What a channel actor is told.
#[derive(Debug)]
pub enum ChannelMsg {
    /// The data lane went from empty to filled.
    Wake,
    /// A module's call ended.
    Finished(CallReport),
    /// A module actor runs and takes calls.
    ModuleUp {
        module: &'static str,
        generation: u64,
        actor: ActorRef<ModuleMsg>,
    },
    /// A module actor ended, for whatever reason.
    ModuleDown {
        module: &'static str,
        generation: u64,
        reason: String,
    },
    /// The back-off after a crash is over.
    ModuleRetry {
        module: &'static str,
    },
    /// What the channel's gate needs was read; `None` when the storage did not answer.
    Loaded(Option<Box<LoadedChannel>>),
    /// Commands, aliases, roles or module settings changed.
    Reload,
    /// The node's periodic look: expire what waited too long, passivate what is idle.
    Sweep,
    Describe(RpcReplyPort<ChannelReport>),
    Operate {
        module: String,
        action: ModuleAction,
        reply: RpcReplyPort<Result<(), String>>,
    },
    /// Works off the lane, flushes what must survive, stops.
    Drain,
}

/// Everything the gate needs of one channel, as read from the storage.
#[derive(Debug, Default)]
pub struct LoadedChannel {
    pub commands: Vec<storage::commands::Command>,
    pub aliases: Vec<storage::aliases::Alias>,
    /// Regulars and editors.
    pub roles: Vec<storage::roles::Role>,
    /// Where somebody switched a module.
    pub module_states: Vec<storage::module_states::ModuleState>,
    pub cooldowns: Vec<storage::cooldowns::Cooldown>,
    pub suspects: Vec<storage::suspects::Suspected>,
}

/// What an operator can do to a module in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleAction {
    /// Closes the breaker and starts the module anew.
    Restart,
    Enable,
    Disable,
}

/// A channel as the runtime API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelReport {
    pub channel_id: ChannelId,
    /// Events waiting or under way, of at most `mailbox_max`.
    pub mailbox: usize,
    pub mailbox_max: usize,
    pub modules: Vec<ModuleReport>,
    /// The newest first, at most 20.
    pub last_events: Vec<String>,
}

/// A module in a channel as the runtime API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleReport {
    pub module: &'static str,
    pub enabled: bool,
    pub running: bool,
    /// CLOSED, OPEN, `HALF_OPEN` or DISABLED.
    pub breaker: &'static str,
    /// Seconds until an open breaker lets a probe through; `None` unless it is open.
    pub retry_in_secs: Option<u64>,
    pub restarts: u64,
    pub failures: u64,
    pub waiting: usize,
}
