//! The names of commands as people type them, and what stands behind a name in a channel.

use std::fmt;
use std::sync::Arc;

use domain::names::{nearest, valid_command_name};

use super::channel::table::{CommandTable, TableEntry};
use super::modules::Registry;
use super::{CommandSpec, ModuleError, ModuleSpec};
use crate::messages::CustomCommand;

/// Reads a name: lower case, without its prefix (`!` or `#`).
///
/// # Errors
/// [`ModuleError::User`] with what a name may hold.
pub fn parse_name(text: &str) -> Result<String, ModuleError> {
    valid_command_name(text).map_err(mistake)
}

/// A mistake of the user, said as a sentence.
pub fn mistake(error: impl fmt::Display) -> ModuleError {
    ModuleError::User(format!("{error}."))
}

/// Says that there is no such command, and which one was perhaps meant.
pub fn no_such_command(name: &str, registry: &Registry, table: &CommandTable) -> String {
    let own = table.commands.keys().chain(table.aliases.keys()).map(String::as_str);
    let mut known: Vec<&str> = registry.command_names().chain(own).collect();
    known.sort_unstable();
    nearest(name, known).map_or_else(
        || format!("There is no command !{name}; !commands lists what there is."),
        |meant| format!("There is no command !{name}; did you mean !{meant}?"),
    )
}

/// What a name means in a channel. Aliases come first, then built-in commands, as in the gate.
#[derive(Debug)]
pub enum Standing<'t> {
    /// The alias's body.
    Alias(&'t str),
    /// A built-in command, with what the channel changed of it, if anything.
    BuiltIn(&'t ModuleSpec, &'t CommandSpec, Option<&'t TableEntry>),
    Custom(&'t TableEntry, &'t Arc<CustomCommand>),
    /// A command that a module added for this channel, such as a counter.
    Added(&'t TableEntry),
    Nothing,
}

impl<'t> Standing<'t> {
    /// Looks `name` (lower case, without prefix) up.
    pub fn of(name: &str, registry: &'t Registry, table: &'t CommandTable) -> Self {
        if let Some(body) = table.aliases.get(name) {
            return Self::Alias(body);
        }
        if let Some((module, command)) = registry.command(name) {
            return Self::BuiltIn(module, command, table.commands.get(command.name));
        }
        match table.commands.get(name) {
            Some(entry) => entry.custom.as_ref().map_or(Self::Added(entry), |custom| Self::Custom(entry, custom)),
            None => Self::Nothing,
        }
    }
}
