//! `!help [command]`: what a command does, who may use it, and what to type.

use async_trait::async_trait;
use domain::Level;

use crate::actors::command_name::{Standing, audience, no_such_command, parse_name};
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{CommandCall, Reply};

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "help",
    description: "Explains the commands.",
    commands: &[CommandSpec {
        name: "help",
        usage: "help [command]",
        description: "Says what a command does and how to type it.",
        ..CommandSpec::DEFAULT
    }],
    new: || Box::new(Help),
    ..ModuleSpec::DEFAULT
};

struct Help;

#[async_trait]
impl Module for Help {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let Some(word) = call.args.split_whitespace().next() else {
            return Ok(vec![Reply::text(
                "!commands lists what you can type; !help <command> explains one, for example !help uptime.",
            )]);
        };
        let text = explain(ctx, &parse_name(word)?);
        Ok(vec![Reply::text(text)])
    }
}

fn explain(ctx: &Context, name: &str) -> String {
    match Standing::of(name, ctx.registry(), &ctx.commands) {
        Standing::Alias(body) => format!("!{name} is short for !{body}."),
        Standing::BuiltIn(module, command, entry) => {
            let level = entry.map_or(command.level, |entry| entry.level);
            let cooldown_secs = entry.map_or(command.cooldown_secs, |entry| entry.cooldown_secs);
            let is_off = ctx.commands.modules.get(module.name) == Some(&false)
                || entry.is_some_and(|entry| !entry.enabled);
            format!(
                "!{}: {} {}",
                command.usage,
                command.description,
                conditions(level, cooldown_secs, is_off)
            )
        }
        Standing::Custom(entry) => {
            format!(
                "!{name} is a custom command. {}",
                conditions(entry.level, entry.cooldown_secs, !entry.enabled)
            )
        }
        Standing::Added(entry) => format!(
            "!{name} belongs to the module {}. {}",
            entry.module,
            conditions(entry.level, entry.cooldown_secs, !entry.enabled)
        ),
        Standing::Nothing => no_such_command(name, ctx.registry(), &ctx.commands),
    }
}

fn conditions(level: Level, cooldown_secs: u32, is_off: bool) -> String {
    let cooldown = if cooldown_secs > 0 { format!(", every {cooldown_secs} s") } else { String::new() };
    let off = if is_off { " Switched off here." } else { "" };
    format!("For {}{cooldown}.{off}", audience(level))
}

#[cfg(test)]
mod tests {
    use crate::actors::modules::testing::World;

    #[tokio::test]
    async fn help_explains_every_kind_of_command() {
        let mut world = World::new().await;
        world.moderator("!addcom hi -cd=30 -ul=vip Hello").await;
        world.moderator("!alias add hey hi").await;
        world.moderator("!counter add wins").await;
        world.moderator("!command options ping -cd=10").await;
        world.moderator("!command disable botuptime").await;
        for (line, want) in [
            (
                "!help",
                "!commands lists what you can type; !help <command> explains one, for example !help uptime.",
            ),
            ("!help !PING", "!ping: Asks whether the bot is there. For everyone, every 10 s."),
            (
                "!help botuptime",
                "!botuptime: Says how long the bot has been running. For everyone. Switched off here.",
            ),
            (
                "!help cmd",
                "!command add|edit|remove|options|enable|disable|list: Manages the commands of this channel. For moderators and above.",
            ),
            ("!help hi", "!hi is a custom command. For vips and above, every 30 s."),
            ("!help hey", "!hey is short for !hi."),
            ("!help wins", "!wins belongs to the module counters. For everyone."),
            ("!help uptim", "There is no command !uptim; did you mean !uptime?"),
            ("!help nonsense", "There is no command !nonsense; !commands lists what there is."),
            (
                "!help /ban",
                "`/ban` cannot be a command's name; use one word that begins with a letter, a digit or `_`.",
            ),
        ] {
            assert_eq!(world.viewer(line).await, want, "{line}");
        }
    }
}
