//! The registry of modules: one row a module. A new module is one file in `modules/` and one row here.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{CommandSpec, ModuleSpec};

pub mod alias;
pub mod auto_shoutout;
pub mod bookmarks;
pub mod commands;
pub mod counters;
#[cfg(feature = "test-support")]
pub mod faults;
pub mod help;
pub mod ping;
pub mod quotes;
pub mod reminders;
pub mod roles;
pub mod shoutout;
#[cfg(test)]
pub mod testing;
pub mod timers;
pub mod uptime;

/// Every module of this build.
pub const MODULES: &[ModuleSpec] = &[
    alias::SPEC,
    auto_shoutout::SPEC,
    bookmarks::SPEC,
    commands::SPEC,
    counters::SPEC,
    help::SPEC,
    ping::SPEC,
    quotes::SPEC,
    reminders::SPEC,
    roles::SPEC,
    shoutout::SPEC,
    timers::SPEC,
    uptime::SPEC,
    #[cfg(feature = "test-support")]
    faults::PANIC,
    #[cfg(feature = "test-support")]
    faults::SLEEP60,
    #[cfg(feature = "test-support")]
    faults::ERROR,
    #[cfg(feature = "test-support")]
    faults::RETRY,
    #[cfg(feature = "test-support")]
    faults::SPINNER,
    #[cfg(feature = "test-support")]
    faults::OVERFLOW,
    #[cfg(feature = "test-support")]
    faults::FATAL,
    #[cfg(feature = "test-support")]
    faults::LINES,
    #[cfg(feature = "test-support")]
    faults::HOARD,
    #[cfg(feature = "test-support")]
    faults::LEDGER,
];

/// The rows, indexed by module and by command name.
#[derive(Clone, Debug)]
pub struct Registry {
    modules: Arc<Vec<ModuleSpec>>,
    commands: Arc<HashMap<&'static str, (ModuleSpec, CommandSpec), RandomState>>,
}

impl Registry {
    /// Indexes `modules`; a name that two rows claim goes to the first.
    pub fn new(modules: &[ModuleSpec]) -> Self {
        let mut commands = HashMap::default();
        for module in modules {
            for command in module.commands {
                for name in std::iter::once(&command.name).chain(command.also) {
                    commands.entry(*name).or_insert((*module, *command));
                }
            }
        }
        Self { modules: Arc::new(modules.to_vec()), commands: Arc::new(commands) }
    }

    /// Every row, in the order of the list.
    pub fn modules(&self) -> &[ModuleSpec] {
        &self.modules
    }

    pub fn module(&self, name: &str) -> Option<&ModuleSpec> {
        self.modules.iter().find(|spec| spec.name == name)
    }

    /// The built-in command of that name (lower case), with its module.
    pub fn command(&self, name: &str) -> Option<&(ModuleSpec, CommandSpec)> {
        self.commands.get(name)
    }

    /// All built-in command names, other spellings included.
    pub fn command_names(&self) -> impl Iterator<Item = &'static str> {
        self.commands.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::names::valid_command_name;

    use super::*;

    #[test]
    fn names_of_modules_are_unique() {
        let names: HashSet<&str> = MODULES.iter().map(|module| module.name).collect();
        assert_eq!(names.len(), MODULES.len());
        assert!(!names.contains(""), "a row forgot its name");
    }

    #[test]
    fn names_of_commands_are_unique_over_all_modules() {
        let mut seen = HashSet::new();
        for command in MODULES.iter().flat_map(|module| module.commands) {
            for name in std::iter::once(&command.name).chain(command.also) {
                assert!(seen.insert(*name), "{name} is claimed twice");
                assert_eq!(valid_command_name(name).as_deref(), Ok(*name), "{name} cannot be typed");
            }
        }
    }

    #[test]
    fn every_command_says_what_to_type_and_what_it_does() {
        for command in MODULES.iter().flat_map(|module| module.commands) {
            assert!(command.usage.starts_with(command.name), "{}: {}", command.name, command.usage);
            assert!(command.description.ends_with('.'), "{}: {}", command.name, command.description);
        }
    }

    #[test]
    fn every_row_makes_its_module() {
        for module in MODULES {
            assert!(!module.description.is_empty(), "{} has no description", module.name);
            assert!((module.new)().handover().len() <= 64 * 1024, "{}", module.name);
        }
    }
}
