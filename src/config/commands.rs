//! `[[commands]]`: global commands that exist from the first start.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Level;

use super::reader::Reader;
use super::section::{Section, TIME_SECS_OR_OFF};

/// Most commands that a file may hold.
const COMMANDS_MAX: usize = 10_000;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 50;

/// Longest response, in characters; longer ones would be split over many messages.
const RESPONSE_CHARS_MAX: usize = 2_000;

/// A global command that exists from the first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedCommand {
    /// Lower case, without the leading `!`.
    pub name: String,
    /// Template of the reply.
    pub response: String,
    /// Who may use it.
    pub level: Level,
    /// Zero: none.
    pub cooldown: Duration,
}

/// Reads all of them; one with a problem is reported and left out.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<SeedCommand> {
    let mut names = BTreeSet::new();
    let mut commands = Vec::new();
    let items = reader.items("commands");
    if items.len() > COMMANDS_MAX {
        reader.refuse(&reader.file_place("commands", None), format!("must be at most {COMMANDS_MAX}"));
    }
    for (line, table) in items.into_iter().take(COMMANDS_MAX) {
        let mut section = Section::item(reader, "commands", line, table);
        let Some(command) = read_one(&mut section) else { continue };
        if !names.insert(command.name.clone()) {
            section.refuse("name", "is used by an earlier command");
        }
        commands.push(command);
    }
    commands
}

fn read_one(section: &mut Section<'_, '_>) -> Option<SeedCommand> {
    let name = section.parsed("name", parse_name);
    let response = section.parsed("response", |text| {
        let fits = text.chars().count() <= RESPONSE_CHARS_MAX;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("must have at most {RESPONSE_CHARS_MAX} characters"))
    });
    let level = section.parsed("level", |text| {
        let names: Vec<&str> = Level::ALL.into_iter().map(Level::as_str).collect();
        text.parse::<Level>().map_err(|_| format!("must be one of {}", names.join(", ")))
    });
    let cooldown = section.duration_secs("cooldown_secs", 5, TIME_SECS_OR_OFF);
    for key in ["name", "response"] {
        if !section.has(key) {
            section.refuse(key, "is missing");
        }
    }
    Some(SeedCommand { name: name?, response: response?, level: level.unwrap_or_default(), cooldown })
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('!').unwrap_or(text).to_lowercase();
    let legal = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('!')
        && !name.contains(char::is_whitespace);
    legal
        .then_some(name)
        .ok_or_else(|| format!("must be one word of at most {NAME_BYTES_MAX} bytes, with or without one `!`"))
}
