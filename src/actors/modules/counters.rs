//! Counters: `!deaths`, and those that `!counter add` makes.

use async_trait::async_trait;
use domain::Level;
use futures_util::FutureExt;
use storage::counters::VALUE_MAX;
use storage::{Effect, counters};

use super::commands::split_word;
use crate::actors::command_name::parse_name;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

mod manage;
#[cfg(test)]
mod tests;

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

#[async_trait]
impl Module for Counters {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        match &*call.name {
            "counter" => manage::run(ctx, call).await,
            "editcounter" => {
                let (name, deed) = split_word(&call.args);
                if deed.is_empty() {
                    return Err(usage("editcounter <name>"));
                }
                let name = parse_name(name)?;
                let known = counters::get(ctx.db(), ctx.community_id(), &name).await?;
                if known.is_none() && name != FIRST {
                    return Err(ModuleError::User(format!(
                        "There is no counter {name}; !counter list names them."
                    )));
                }
                apply(ctx, call, &name, parse_deed(deed, "editcounter <name>")?).await
            }
            name => {
                let deed = parse_deed(&call.args, name);
                match deed {
                    Ok(Deed::Read) => read(ctx, name).await,
                    Ok(_) if call.level < Level::Moderator => {
                        Err(ModuleError::User(format!("Only moderators can change !{name}.")))
                    }
                    Ok(deed) => apply(ctx, call, name, deed).await,
                    // A viewer who writes on behind the name wants to read.
                    Err(_) if call.level < Level::Moderator => read(ctx, name).await,
                    Err(error) => Err(error),
                }
            }
        }
    }
}

fn usage(command: &str) -> ModuleError {
    ModuleError::User(format!("Type !{command} +, !{command} -, !{command} +5 or !{command} set 5."))
}

/// Reads `+`, `-`, `+5`, `- 5`, `set 5` or nothing.
fn parse_deed(text: &str, command: &str) -> Result<Deed, ModuleError> {
    let text = text.trim();
    let number = |digits: &str, default: Option<i64>| {
        let digits = digits.trim();
        if digits.is_empty() {
            return default.ok_or_else(|| usage(command));
        }
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse::<i64>() {
            Ok(n) if is_number && n <= VALUE_MAX => Ok(n),
            _ if is_number => Err(ModuleError::User(format!("A counter goes from 0 to {VALUE_MAX}."))),
            _ => Err(usage(command)),
        }
    };
    if text.is_empty() {
        Ok(Deed::Read)
    } else if let Some(digits) = text.strip_prefix('+') {
        number(digits, Some(1)).map(Deed::Add)
    } else if let Some(digits) = text.strip_prefix('-') {
        number(digits, Some(1)).map(|n| Deed::Add(-n))
    } else {
        let (word, digits) = split_word(text);
        if word.eq_ignore_ascii_case("set") {
            number(digits, None).map(Deed::Set)
        } else {
            Err(usage(command))
        }
    }
}

async fn read(ctx: &Context, name: &str) -> Result<Vec<Reply>, ModuleError> {
    let value = counters::get(ctx.db(), ctx.community_id(), name).await?.unwrap_or(0);
    Ok(Reply::only(format!("{name}: {value}")))
}

/// Changes a counter once for the line that asked for it, however often that line is delivered.
async fn apply(ctx: &Context, call: &CommandCall, name: &str, deed: Deed) -> Result<Vec<Reply>, ModuleError> {
    let (name, community_id, now) = (name.to_owned(), ctx.community_id(), ctx.now());
    let entry = audit::entry(ctx, &call.event, "counter.change", name.as_str());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let text = match deed {
                Deed::Read => return Ok(Effect::new(String::new())),
                Deed::Set(value) => {
                    counters::set(tx, community_id, &name, value, now).await?;
                    format!("{name}: {value}")
                }
                Deed::Add(delta) => match counters::add(&mut *tx, community_id, &name, delta, now).await? {
                    ..0 => {
                        counters::set(tx, community_id, &name, 0, now).await?;
                        format!("{name}: 0 (it cannot go lower)")
                    }
                    VALUE_MAX => format!("{name}: {VALUE_MAX} (it cannot go higher)"),
                    value => format!("{name}: {value}"),
                },
            };
            Ok(Effect::new(text).audited(entry))
        }
        .boxed()
    });
    unit.await
}
