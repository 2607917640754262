//! `!alias`: short names for longer commands.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::Level;
use domain::alias::{check_no_loop, target_of};
use futures_util::FutureExt;
use storage::{Change, ChangeKind, ChangeScope, Effect, aliases};

use super::commands::split_word;
use crate::actors::command_name::{Standing, mistake, no_such_command, parse_name};
use crate::actors::listing::cut_to_fit;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

/// Most aliases of a channel.
const ALIASES_MAX: usize = 500;
const STEP: u16 = 1;
const USAGE: &str = "Type !alias add <name> <command>, !alias remove <name> or !alias list.";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "alias",
    description: "Short names for longer commands.",
    commands: &[CommandSpec {
        name: "alias",
        also: &["aliases"],
        usage: "alias add|remove|list <name> <command>",
        description: "Gives a command another name; {user}, {args} and {arg1} stand for what was typed.",
        level: Level::Moderator,
        ..CommandSpec::DEFAULT
    }],
    new: || Box::new(Alias),
    ..ModuleSpec::DEFAULT
};

struct Alias;

#[async_trait]
impl Module for Alias {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let (verb, rest) = split_word(&call.args);
        match verb.to_ascii_lowercase().as_str() {
            "add" | "create" | "+" => add(ctx, call, rest).await,
            "remove" | "delete" | "del" | "rm" | "-" => remove(ctx, call, rest).await,
            "" | "list" | "ls" => Ok(Reply::only(list(ctx))),
            _ => Err(ModuleError::User(USAGE.to_owned())),
        }
    }
}

async fn add(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let (name, body) = split_word(args);
    if name.is_empty() || body.is_empty() {
        return Err(ModuleError::User(USAGE.to_owned()));
    }
    let name = parse_name(name)?;
    check_name(ctx, &name)?;
    check_target(ctx, &name, body)?;
    let body = bare(body).to_owned();
    let (channel_id, now) = (ctx.channel_id(), ctx.now());
    let entry = audit::entry(ctx, &call.event, "alias.add", format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let known: HashMap<String, String> = aliases::list(&mut *tx, channel_id)
                .await?
                .into_iter()
                .map(|row| (row.name, row.body))
                .collect();
            if known.contains_key(&name) {
                return Ok(Effect::new(format!("!{name} is an alias already; remove it first.")));
            }
            // Asked again here: another line may have added the other half of a loop meanwhile.
            if let Err(error) = check_no_loop(&name, &body, |other| known.get(other).cloned()) {
                return Ok(Effect::new(format!("{error}.")));
            }
            if known.len() >= ALIASES_MAX || aliases::add(tx, channel_id, &name, &body, now).await?.is_none()
            {
                return Ok(Effect::new(format!(
                    "A channel has at most {ALIASES_MAX} aliases; remove one first."
                )));
            }
            let change = Change::new(ChangeScope::Channel(channel_id), ChangeKind::Aliases);
            Ok(Effect::new(format!("!{name} is now short for !{body}")).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

/// An alias must not hide what is there.
fn check_name(ctx: &Context, name: &str) -> Result<(), ModuleError> {
    if ctx.registry().command(name).is_some() {
        return Err(ModuleError::User(format!("!{name} is a built-in command; choose another name.")));
    }
    if ctx.commands.commands.contains_key(name) {
        return Err(ModuleError::User(format!("!{name} is a command already; choose another name.")));
    }
    Ok(())
}

/// The command that an alias stands for must be there, and must not lead back.
fn check_target(ctx: &Context, name: &str, body: &str) -> Result<(), ModuleError> {
    check_no_loop(name, body, |other| ctx.commands.aliases.get(other).cloned()).map_err(mistake)?;
    let target = target_of(body).ok_or_else(|| ModuleError::User(USAGE.to_owned()))?;
    match Standing::of(&target, ctx.registry(), &ctx.commands) {
        Standing::Nothing => Err(ModuleError::User(no_such_command(&target, ctx.registry(), &ctx.commands))),
        _ => Ok(()),
    }
}

async fn remove(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let word = split_word(args).0;
    if word.is_empty() {
        return Err(ModuleError::User(USAGE.to_owned()));
    }
    let name = parse_name(word)?;
    let channel_id = ctx.channel_id();
    let entry = audit::entry(ctx, &call.event, "alias.remove", format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            if !aliases::remove(tx, channel_id, &name).await? {
                return Ok(Effect::new(format!("There is no alias !{name}.")));
            }
            let change = Change::new(ChangeScope::Channel(channel_id), ChangeKind::Aliases);
            Ok(Effect::new(format!("Alias !{name} removed.")).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

fn list(ctx: &Context) -> String {
    if ctx.commands.aliases.is_empty() {
        return "There are no aliases yet; !alias add <name> <command> makes one.".to_owned();
    }
    let mut shown: Vec<String> =
        ctx.commands.aliases.iter().map(|(name, body)| format!("!{name} → !{}", bare(body))).collect();
    shown.sort_unstable();
    format!("Aliases: {}", cut_to_fit(&shown))
}

fn bare(body: &str) -> &str {
    body.strip_prefix(['!', '#']).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use crate::actors::modules::testing::World;

    #[tokio::test]
    async fn an_alias_is_added_listed_and_removed() {
        let mut world = World::new().await;
        world.moderator("!addcom hug $(user) hugs $(1)").await;
        assert_eq!(
            world.moderator("!alias add Cuddle !hug {arg1}").await,
            "!cuddle is now short for !hug {arg1}"
        );
        assert_eq!(world.table().await.aliases["cuddle"], "hug {arg1}");
        assert_eq!(world.moderator("!alias add p ping").await, "!p is now short for !ping");
        assert_eq!(world.moderator("!alias add q !p").await, "!q is now short for !p");
        assert_eq!(
            world.moderator("!alias list").await,
            "Aliases: !cuddle → !hug {arg1}, !p → !ping, !q → !p"
        );
        assert_eq!(world.moderator("!alias remove !cuddle").await, "Alias !cuddle removed.");
        assert!(!world.table().await.aliases.contains_key("cuddle"));
    }

    #[tokio::test]
    async fn an_alias_that_cannot_work_is_refused() {
        let mut world = World::new().await;
        assert!(world.moderator("!alias list").await.starts_with("There are no aliases yet"));
        world.moderator("!addcom hi Hello").await;
        for line in ["!alias add a hi", "!alias add b a", "!alias add c b"] {
            world.moderator(line).await;
        }
        let long = format!("!alias add long hi {}", "x".repeat(500));
        for (line, want) in [
            ("!alias add x", "Type !alias add <name> <command>"),
            ("!alias", "Aliases: "),
            ("!alias dance", "Type !alias add"),
            ("!alias remove", "Type !alias add"),
            ("!alias remove x", "There is no alias !x."),
            ("!alias add ping hi", "!ping is a built-in command; choose another name."),
            ("!alias add cmd hi", "!cmd is a built-in command"),
            ("!alias add hi ping", "!hi is a command already"),
            ("!alias add a ping", "!a is an alias already"),
            ("!alias add x x", "`!x` would call itself"),
            ("!alias add x pnig", "There is no command !pnig; did you mean !ping?"),
            ("!alias add x {arg1} now", "an alias begins with the command"),
            ("!alias add d c", "`!d` would go through more than 3 aliases."),
            ("!alias add /x hi", "`/x` cannot be a command's name"),
            (long.as_str(), "an alias has at most 500 characters."),
        ] {
            let reply = world.moderator(line).await;
            assert!(reply.starts_with(want), "{line}: {reply}");
        }
    }

    #[tokio::test]
    async fn no_alias_is_left_behind_by_a_removed_command() {
        let mut world = World::new().await;
        world.moderator("!addcom b text").await;
        world.moderator("!alias add a b now").await;
        assert_eq!(world.moderator("!delcom b").await, "!b and its alias removed.");
        assert!(world.table().await.aliases.is_empty());
        assert!(world.moderator("!alias add b a").await.starts_with("There is no command !a"));
    }
}
