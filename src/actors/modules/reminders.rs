//! `!remindme`: says something again when its time has come.

use async_trait::async_trait;
use domain::Level;

use super::commands::split_word;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{ChatEvent, CommandCall, EventKind, Reply};

mod due;
mod manage;
#[cfg(test)]
mod tests;

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "reminders",
    description: "Reminds people of what they asked to be reminded of.",
    commands: &[
        CommandSpec {
            name: "remindme",
            usage: "remindme <when> <text>",
            description: "Reminds you after 10m, 1h30m or 2d, or at 2030-05-01T18:00[Europe/Berlin].",
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "remind",
            usage: "remind <who> <when> <text>",
            description: "Reminds somebody.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "reminders",
            usage: "reminders [remove <number>]",
            description: "Lists the reminders that you set and are still to come, or takes one away.",
            ..CommandSpec::DEFAULT
        },
    ],
    events: &[EventKind::ReminderDue],
    new: || Box::new(Reminders),
    ..ModuleSpec::DEFAULT
};

struct Reminders;

#[async_trait]
impl Module for Reminders {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        match &*call.name {
            "remindme" => manage::add(ctx, call, "me", &call.args).await,
            "remind" => {
                let (who, rest) = split_word(&call.args);
                manage::add(ctx, call, who, rest).await
            }
            _ => manage::own(ctx, call).await,
        }
    }

    async fn on_event(&mut self, ctx: &Context, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
        due::say(ctx, event).await
    }
}
