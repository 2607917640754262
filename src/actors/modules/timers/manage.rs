//! Adding, removing, switching and listing timers.

use chrono::TimeDelta;
use domain::duration::human_duration;
use futures_util::FutureExt;
use storage::timers::{self, Enabled, TimerSpec};
use storage::{Effect, Tx};

use super::USAGE;
use super::typed::{self, Typed};
use crate::actors::command_name::{Standing, mistake, no_such_command, parse_name};
use crate::actors::listing::cut_to_fit;
use crate::actors::modules::commands::{run::check, split_word};
use crate::actors::{Context, ModuleError, audit};
use crate::messages::{CommandCall, Reply};

/// Most timers of a channel.
const TIMERS_MAX: usize = 50;
const STEP: u16 = 1;

pub async fn add(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let Typed { name, interval, min_lines, only_live, body } = typed::parse(args)?;
    check_body(ctx, &body)?;
    let (channel_id, now) = (ctx.channel_id(), ctx.now());
    let spec = TimerSpec {
        name: name.clone(),
        body,
        interval_secs: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
        min_lines: i64::from(min_lines),
        only_live,
    };
    let first_due_at = now + TimeDelta::from_std(interval).map_err(mistake)?;
    let entry = audit::entry(ctx, &call.event, "timer.add", name.as_str());
    let text = format!(
        "Timer {name} added: every {}, after {min_lines} lines{}.",
        human_duration(interval),
        if only_live { ", while the stream is live" } else { ", live or not" }
    );
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            if timers::list(&mut *tx, channel_id).await?.len() >= TIMERS_MAX {
                return Ok(Effect::new(format!(
                    "A channel has at most {TIMERS_MAX} timers; remove one first."
                )));
            }
            if timers::add(tx, channel_id, &spec, first_due_at, now).await?.is_none() {
                return Ok(Effect::new(format!("There is a timer {name} already; remove it first.")));
            }
            Ok(Effect::new(text).audited(entry))
        }
        .boxed()
    });
    unit.await
}

/// A timer says a text, or the text of one of the channel's own commands.
fn check_body(ctx: &Context, body: &str) -> Result<(), ModuleError> {
    let Some(line) = body.strip_prefix('!') else {
        return check(ctx, body);
    };
    let name = parse_name(split_word(line).0)?;
    match Standing::of(&name, ctx.registry(), &ctx.commands) {
        Standing::Custom(_) => Ok(()),
        Standing::Nothing => Err(ModuleError::User(no_such_command(&name, ctx.registry(), &ctx.commands))),
        Standing::BuiltIn(..) | Standing::Added(_) | Standing::Alias(_) => Err(ModuleError::User(format!(
            "A timer runs custom commands only, and !{name} is none; write its text instead."
        ))),
    }
}

pub async fn remove(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let name = name_of(args)?;
    let channel_id = ctx.channel_id();
    let entry = audit::entry(ctx, &call.event, "timer.remove", name.as_str());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            if !timers::remove(tx, channel_id, &name).await? {
                return Ok(Effect::new(none_of(&name)));
            }
            Ok(Effect::new(format!("Timer {name} removed.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

/// Switches a timer; one that is switched on begins a new interval.
pub async fn switch(
    ctx: &Context,
    call: &CommandCall,
    args: &str,
    is_on: bool,
) -> Result<Vec<Reply>, ModuleError> {
    let name = name_of(args)?;
    let (channel_id, now) = (ctx.channel_id(), ctx.now());
    let action = if is_on { "timer.enable" } else { "timer.disable" };
    let entry = audit::entry(ctx, &call.event, action, name.as_str());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let Some(interval_secs) = interval_of(tx, channel_id, &name).await? else {
                return Ok(Effect::new(none_of(&name)));
            };
            let next_due_at = now + TimeDelta::seconds(interval_secs);
            let enabled = if is_on { Enabled::On { next_due_at } } else { Enabled::Off };
            timers::set_enabled(tx, channel_id, &name, enabled, now).await?;
            let state = if is_on { "on" } else { "off" };
            Ok(Effect::new(format!("Timer {name} is {state}.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

async fn interval_of(
    tx: &mut Tx,
    channel_id: domain::ChannelId,
    name: &str,
) -> Result<Option<i64>, storage::StorageError> {
    let timers = timers::list(tx, channel_id).await?;
    Ok(timers.into_iter().find(|timer| timer.spec.name == name).map(|timer| timer.spec.interval_secs))
}

pub async fn list(ctx: &Context) -> Result<Vec<Reply>, ModuleError> {
    let timers = timers::list(ctx.db(), ctx.channel_id()).await?;
    if timers.is_empty() {
        return Ok(Reply::only(
            "There are no timers yet; !timer add <name> <minutes> <lines> <text> makes one.",
        ));
    }
    let shown: Vec<String> = timers
        .iter()
        .map(|timer| {
            let off = if timer.is_enabled { "" } else { ", off" };
            format!("{} (every {} min{off})", timer.spec.name, timer.spec.interval_secs / 60)
        })
        .collect();
    Ok(Reply::only(format!("Timers: {}", cut_to_fit(&shown))))
}

fn name_of(args: &str) -> Result<String, ModuleError> {
    match split_word(args).0 {
        "" => Err(ModuleError::User(USAGE.to_owned())),
        word => parse_name(word),
    }
}

fn none_of(name: &str) -> String {
    format!("There is no timer {name}; !timer list names them.")
}
