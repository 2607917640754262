//! The commands of one channel as its gate and its modules see them: a snapshot, replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Level;
use foldhash::fast::RandomState;

use super::CustomCommand;

/// A command of this channel that is not simply the built-in one.
#[derive(Clone, Debug)]
pub struct TableEntry {
    pub module: String,
    pub level: Level,
    pub cooldown_secs: u32,
    pub user_cooldown_secs: u32,
    pub enabled: bool,
    /// `Some` for a custom command, `None` for a built-in whose settings were changed and for a counter's name.
    pub custom: Option<Arc<CustomCommand>>,
}

/// Custom commands, changed built-ins, aliases, roles and switched modules of one channel.
#[derive(Debug, Default)]
pub struct CommandTable {
    /// By name, lower case.
    pub commands: HashMap<String, TableEntry, RandomState>,
    /// Alias name → body.
    pub aliases: HashMap<String, String, RandomState>,
    /// Platform user id, or `login:<login>`, → regular or editor.
    pub roles: HashMap<String, Level, RandomState>,
    /// Module → enabled, where somebody switched.
    pub modules: HashMap<String, bool, RandomState>,
}

impl CommandTable {
    /// Whether somebody switched the module on or off in this channel. `None`: nobody did.
    pub fn switched(&self, module: &str) -> Option<bool> {
        if self.modules.is_empty() { None } else { self.modules.get(module).copied() }
    }
}
