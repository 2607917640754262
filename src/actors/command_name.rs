//! The names of commands as people type them, and what stands behind a name in a channel.

use std::sync::Arc;

use domain::command_line::NAME_CHARS_MAX;

use super::channel::table::{CommandTable, TableEntry};
use super::modules::Registry;
use super::{CommandSpec, ModuleError, ModuleSpec};
use crate::messages::CustomCommand;

/// Reads a name: lower case, without its prefix (`!` or `#`).
///
/// # Errors
/// [`ModuleError::User`] with what a name may hold.
pub fn parse_name(text: &str) -> Result<String, ModuleError> {
    let bare = text.strip_prefix(['!', '#']).unwrap_or(text).to_lowercase();
    let legal = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '?' | '+' | '.' | '\'');
    let begins_well = bare.starts_with(|first: char| first.is_alphanumeric() || first == '_');
    if !begins_well || bare.chars().count() > NAME_CHARS_MAX || !bare.chars().all(legal) {
        let shown: String = text.chars().filter(|letter| !letter.is_control()).take(30).collect();
        return Err(ModuleError::User(format!(
            "\"{shown}\" cannot be a name; use 1 to {NAME_CHARS_MAX} letters, digits, _ or -."
        )));
    }
    Ok(bare)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_its_prefix_and_its_case() {
        for (typed, want) in [("!Hi", "hi"), ("#hi", "hi"), ("hi", "hi"), ("!Größe", "größe"), ("8ball?", "8ball?")] {
            assert_eq!(parse_name(typed).unwrap(), want);
        }
    }

    #[test]
    fn what_cannot_be_typed_as_a_command_is_no_name() {
        let long = "x".repeat(NAME_CHARS_MAX + 1);
        for typed in ["", "!", "!!hi", "-cd", "a b", "a\r\nb", "$(user)", "/ban", &long] {
            let error = parse_name(typed).unwrap_err().to_string();
            assert!(error.contains("cannot be a name"), "{typed:?}: {error}");
            assert!(error.len() < 200 && !error.contains('\n'), "{error}");
        }
    }
}
