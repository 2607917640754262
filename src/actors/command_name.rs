//! The names of commands as people type them, and what stands behind a name in a channel.

use std::fmt;

use domain::Level;
use domain::names::{NameError, nearest, valid_command_name};

use super::modules::Registry;
use super::{CommandSpec, ModuleError, ModuleSpec};
use crate::messages::{CommandTable, TableEntry};

/// Reads a name: lower case, without its prefix (`!` or `#`).
///
/// # Errors
/// [`ModuleError::User`] with what a name may hold.
pub fn parse_name(text: &str) -> Result<String, ModuleError> {
    let name = valid_command_name(text).map_err(mistake)?;
    if name.len() > storage::commands::NAME_BYTES_MAX {
        return Err(mistake(NameError::TooLong));
    }
    Ok(name)
}

/// A mistake of the user, said as a sentence.
pub fn mistake(error: impl fmt::Display) -> ModuleError {
    let text = error.to_string();
    ModuleError::User(if text.ends_with(['.', '?']) { text } else { format!("{text}.") })
}

/// Whom a level admits, behind "for".
pub fn audience(level: Level) -> String {
    match level {
        Level::Everyone => "everyone".to_owned(),
        Level::Owner => "the owner".to_owned(),
        level => format!("{level}s and above"),
    }
}

/// Says that there is no such command, and which one was perhaps meant.
pub fn no_such_command(name: &str, registry: &Registry, table: &CommandTable) -> String {
    let own = table.commands.keys().chain(table.aliases.keys()).map(String::as_str);
    let built_in = registry.command_names().map(|name| -> &str { name });
    let mut known: Vec<&str> = built_in.chain(own).collect();
    known.sort_unstable();
    nearest(name, known).map_or_else(
        || format!("There is no command !{name}; !commands lists what there is."),
        |meant| format!("There is no command !{name}; did you mean !{meant}?"),
    )
}

/// What a name means in a channel, in the order of the gate: a custom command, a built-in one, an alias.
#[derive(Debug)]
pub enum Standing<'t> {
    Custom(&'t TableEntry),
    /// A built-in command, with what the channel changed of it, if anything.
    BuiltIn(&'t ModuleSpec, &'t CommandSpec, Option<&'t TableEntry>),
    /// A command that a module added for this channel, such as a counter.
    Added(&'t TableEntry),
    /// The alias's body.
    Alias(&'t str),
    Nothing,
}

impl<'t> Standing<'t> {
    /// Looks `name` (lower case, without prefix) up.
    pub fn of(name: &str, registry: &'t Registry, table: &'t CommandTable) -> Self {
        let own = table.commands.get(name);
        if let Some(entry) = own.filter(|entry| entry.custom.is_some()) {
            return Self::Custom(entry);
        }
        if let Some((module, command)) = registry.command(name) {
            return Self::BuiltIn(module, command, table.commands.get(command.name));
        }
        match (own, table.aliases.get(name)) {
            (Some(entry), _) => Self::Added(entry),
            (None, Some(body)) => Self::Alias(body),
            (None, None) => Self::Nothing,
        }
    }
}
