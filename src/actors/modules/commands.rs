//! Custom commands: `!addcom`, `!editcom`, `!delcom`, `!commands`, `!command …`, and running what they made.

use async_trait::async_trait;
use domain::Level;

use crate::actors::command_name::audience;
use crate::actors::listing::cut_to_fit;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{CommandCall, Reply};

mod flags;
mod manage;
mod options;
pub(super) mod run;
#[cfg(test)]
mod tests;

pub(super) use flags::split_word;

const USAGE: &str = "command add|edit|remove|options|enable|disable|list";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "commands",
    description: "Custom commands, and the settings of all commands.",
    commands: &[
        CommandSpec {
            name: "addcom",
            also: &["addcommand", "addcmd"],
            usage: "addcom <name> <text> [-ul=<level>] [-cd=<secs>] [-usercd=<secs>] [-a=<alias>]",
            description: "Adds a command.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "editcom",
            also: &["editcommand", "editcmd"],
            usage: "editcom <name> <text>",
            description: "Changes the text of a command.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "delcom",
            also: &["delcommand", "delcmd"],
            usage: "delcom <name>",
            description: "Removes a command.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "command",
            also: &["cmd"],
            usage: USAGE,
            description: "Manages the commands of this channel.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "commands",
            usage: "commands",
            description: "Lists the commands that you can use.",
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::<Commands>::default(),
    ..ModuleSpec::DEFAULT
};

/// The module; its memory is the templates that were parsed already.
#[derive(Default)]
struct Commands {
    templates: run::Templates,
}

/// What `!command` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Edit,
    Remove,
    Options,
    Enable,
    Disable,
    List,
}

impl Verb {
    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "add" | "create" | "new" | "+" => Self::Add,
            "edit" | "change" => Self::Edit,
            "remove" | "delete" | "del" | "rm" | "-" => Self::Remove,
            "options" | "option" | "opt" => Self::Options,
            "enable" | "on" => Self::Enable,
            "disable" | "off" => Self::Disable,
            "list" | "ls" => Self::List,
            _ => return None,
        })
    }
}

#[async_trait]
impl Module for Commands {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if let Some(custom) = &call.custom {
            return self.templates.run(ctx, call, custom).await;
        }
        let (verb, args) = match &*call.name {
            "addcom" => (Verb::Add, call.args.as_str()),
            "editcom" => (Verb::Edit, call.args.as_str()),
            "delcom" => (Verb::Remove, call.args.as_str()),
            name => subcommand(ctx, call, name == "commands")?,
        };
        match verb {
            Verb::Add => manage::add(ctx, call, args).await,
            Verb::Edit => manage::edit(ctx, call, args).await,
            Verb::Remove => manage::remove(ctx, call, args).await,
            Verb::Options => options::set(ctx, call, args).await,
            Verb::Enable => options::switch(ctx, call, args, true).await,
            Verb::Disable => options::switch(ctx, call, args, false).await,
            Verb::List => Ok(Reply::only(list(ctx, call.level))),
        }
    }
}

/// Reads `!command <verb> …`; `!commands` takes the same verbs and lists when it gets none.
fn subcommand<'c>(ctx: &Context, call: &'c CommandCall, lists: bool) -> Result<(Verb, &'c str), ModuleError> {
    let (word, args) = split_word(&call.args);
    match Verb::parse(word) {
        Some(Verb::List) => Ok((Verb::List, "")),
        Some(verb) => {
            let needed = ctx.commands.commands.get("command").map_or(Level::Moderator, |entry| entry.level);
            if call.level < needed {
                return Err(ModuleError::User(format!("Changing commands is for {}.", audience(needed))));
            }
            Ok((verb, args))
        }
        None if lists => Ok((Verb::List, "")),
        None => Err(ModuleError::User(format!("Type !{USAGE}."))),
    }
}

/// The commands of this channel that somebody of `level` can use: its own first.
fn list(ctx: &Context, level: Level) -> String {
    let table = &ctx.commands;
    let is_on = |module: &str| table.modules.get(module) != Some(&false);
    let mut own: Vec<String> = table
        .commands
        .iter()
        .filter(|(name, entry)| {
            let is_built_in = ctx.registry().command(name).is_some();
            !is_built_in && entry.enabled && entry.level <= level && is_on(&entry.module)
        })
        .map(|(name, _)| format!("!{name}"))
        .chain(table.aliases.keys().map(|name| format!("!{name}")))
        .collect();
    own.sort_unstable();
    own.dedup();
    let built_in = ctx.registry().modules().iter().filter(|module| is_on(module.name)).flat_map(|module| {
        module.commands.iter().filter(|command| {
            let entry = table.commands.get(command.name);
            entry.map_or(command.level, |entry| entry.level) <= level
                && entry.is_none_or(|entry| entry.enabled)
        })
    });
    own.extend(built_in.map(|command| format!("!{}", command.name)));
    format!("Commands: {}", cut_to_fit(&own))
}
