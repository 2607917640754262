//! Counters: `!deaths`, and those that `!counter add` makes.

use async_trait::async_trait;
use domain::Level;
use futures_util::FutureExt;
use storage::{Change, ChangeKind, ChangeScope, Effect, counters};

use super::commands::split_word;
use crate::actors::command_name::{Standing, parse_name};
use crate::actors::listing::cut_to_fit;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

mod manage;
#[cfg(test)]
mod tests;

/// Highest count: beyond it nobody counts by hand.
const VALUE_MAX: i64 = 1_000_000_000_000;
const STEP: u16 = 1;
/// The counter that every community has from the start.
const FIRST: &str = "deaths";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "counters",
    description: "Counters such as !deaths.",
    commands: &[
        CommandSpec {
            name: FIRST,
            usage: "deaths [+|-|set <n>]",
            description: "Says how many deaths there were; moderators count.",
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "counter",
            also: &["counters"],
            usage: "counter add|remove|list <name>",
            description: "Adds and removes counters.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "editcounter",
            usage: "editcounter <name> +n|-n|set <n>",
            description: "Changes a counter.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Counters),
    ..ModuleSpec::DEFAULT
};

struct Counters;

/// What is done to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Add(i64),
    Set(i64),
}
