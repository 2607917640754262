//! `!counter add|remove|list`: counters and the commands that show them.

use futures_util::FutureExt;
use storage::commands::{self, CommandScope, CommandSpec};
use storage::{Change, ChangeKind, ChangeScope, Effect, counters};

use super::{FIRST, SPEC, STEP};
use crate::actors::command_name::{Standing, parse_name};
use crate::actors::listing::cut_to_fit;
use crate::actors::modules::commands::split_word;
use crate::actors::{Context, ModuleError, audit};
use crate::messages::{CommandCall, Reply};

/// Most counters of a community.
const COUNTERS_MAX: u32 = 100;
const USAGE: &str = "Type !counter add <name>, !counter remove <name> or !counter list.";

pub async fn run(ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
    let (verb, rest) = split_word(&call.args);
    let word = split_word(rest).0;
    match verb.to_ascii_lowercase().as_str() {
        "" | "list" | "ls" => list(ctx).await,
        "add" | "create" if !word.is_empty() => add(ctx, call, parse_name(word)?).await,
        "remove" | "delete" | "del" | "rm" if !word.is_empty() => remove(ctx, call, parse_name(word)?).await,
        _ => Err(ModuleError::User(USAGE.to_owned())),
    }
}

async fn list(ctx: &Context) -> Result<Vec<Reply>, ModuleError> {
    let rows = counters::list(ctx.db(), ctx.community_id(), "", COUNTERS_MAX).await?;
    let mut shown: Vec<String> =
        rows.iter().map(|counter| format!("{}: {}", counter.name, counter.value)).collect();
    if rows.iter().all(|counter| counter.name != FIRST) {
        shown.insert(0, format!("{FIRST}: 0"));
    }
    Ok(Reply::only(format!("Counters: {}", cut_to_fit(&shown))))
}

/// Makes the counter and, in the same transaction, the command that leads to it.
async fn add(ctx: &Context, call: &CommandCall, name: String) -> Result<Vec<Reply>, ModuleError> {
    match Standing::of(&name, ctx.registry(), &ctx.commands) {
        Standing::Nothing => {}
        Standing::Added(entry) if entry.module == SPEC.name => {
            return Err(ModuleError::User(format!("There is a counter {name} already; !{name} shows it.")));
        }
        _ => return Err(ModuleError::User(format!("!{name} is a command already; choose another name."))),
    }
    let (community_id, channel_id, now) = (ctx.community_id(), ctx.channel_id(), ctx.now());
    let entry = audit::entry(ctx, &call.event, "counter.add", name.as_str());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let n_counters = counters::list(&mut *tx, community_id, "", COUNTERS_MAX).await?.len();
            if n_counters >= COUNTERS_MAX as usize {
                return Ok(Effect::new(format!(
                    "There are at most {COUNTERS_MAX} counters; remove one first."
                )));
            }
            let scope = CommandScope::Community(community_id);
            let spec = CommandSpec {
                module_name: SPEC.name.to_owned(),
                description: format!("Says how many {name} there were; moderators count."),
                usage: format!("{name} [+|-|set <n>]"),
                cooldown_secs: 0,
                ..CommandSpec::custom(name.as_str(), "")
            };
            let in_channel = commands::by_name(&mut *tx, CommandScope::Channel(channel_id), &name).await?;
            if in_channel.is_some() || commands::add(&mut *tx, scope, &spec, now).await?.is_none() {
                return Ok(Effect::new(format!("!{name} is a command already; choose another name.")));
            }
            counters::create(tx, community_id, &name, now).await?;
            let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Commands);
            let text = format!("Counter {name} added; !{name} shows it, !{name} + counts.");
            Ok(Effect::new(text).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

async fn remove(ctx: &Context, call: &CommandCall, name: String) -> Result<Vec<Reply>, ModuleError> {
    if name == FIRST {
        return Err(ModuleError::User(format!("!{FIRST} is always there; !{FIRST} set 0 begins anew.")));
    }
    let community_id = ctx.community_id();
    let entry = audit::entry(ctx, &call.event, "counter.remove", name.as_str());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let was_there = counters::remove(&mut *tx, community_id, &name).await?;
            let scope = CommandScope::Community(community_id);
            let command = commands::by_name(&mut *tx, scope, &name).await?;
            if let Some(command) = command.filter(|command| command.spec.module_name == SPEC.name) {
                commands::remove(tx, command.id).await?;
            } else if !was_there {
                return Ok(Effect::new(format!("There is no counter {name}; !counter list names them.")));
            }
            let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Commands);
            Ok(Effect::new(format!("Counter {name} removed.")).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}
