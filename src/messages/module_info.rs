//! The registry of modules as plain values, for those who list modules without knowing one.

use domain::Level;
use serde::Serialize;

/// A module of this build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    pub name: &'static str,
    pub description: &'static str,
    pub commands: Vec<CommandInfo>,
}

/// A command that a module brings along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandInfo {
    /// Lower case, without prefix.
    pub name: &'static str,
    /// Other names of the same command.
    pub also: &'static [&'static str],
    /// What to type, without prefix.
    pub usage: &'static str,
    pub description: &'static str,
    pub level: Level,
    pub cooldown_secs: u32,
}
