//! Timers: texts that are said again and again while the chat is lively.

use async_trait::async_trait;
use domain::Level;

use super::commands::split_word;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{ChatEvent, CommandCall, EventKind, Reply};

mod fire;
mod manage;
#[cfg(test)]
mod tests;
mod typed;

const USAGE: &str = "Type !timer add <name> <minutes> <lines> <text>, or !timer remove|enable|disable <name>, \
    or !timer list.";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "timers",
    description: "Says texts again and again while the chat is lively.",
    commands: &[CommandSpec {
        name: "timer",
        also: &["timers"],
        usage: "timer add <name> <minutes> <lines> [-always] <text>",
        description: "Says a text every so many minutes, once so many lines were written; -always also offline.",
        level: Level::Moderator,
        ..CommandSpec::DEFAULT
    }],
    events: &[EventKind::TimerDue],
    new: || Box::new(Timers),
    ..ModuleSpec::DEFAULT
};

struct Timers;

#[async_trait]
impl Module for Timers {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let (verb, rest) = split_word(&call.args);
        match verb.to_ascii_lowercase().as_str() {
            "add" | "create" | "+" => manage::add(ctx, call, rest).await,
            "remove" | "delete" | "del" | "rm" | "-" => manage::remove(ctx, call, rest).await,
            "enable" | "on" => manage::switch(ctx, call, rest, true).await,
            "disable" | "off" => manage::switch(ctx, call, rest, false).await,
            "" | "list" | "ls" => manage::list(ctx).await,
            _ => Err(ModuleError::User(USAGE.to_owned())),
        }
    }

    async fn on_event(&mut self, ctx: &Context, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
        fire::fire(ctx, event).await
    }
}
