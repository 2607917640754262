//! Options of any command, built-in ones too: level, cooldowns, on and off.

use futures_util::FutureExt;
use storage::commands::{self, CommandScope, CommandSpec};
use storage::{Effect, StorageError, Tx};

use super::flags::{self, Options};
use super::manage::{self, Place, STEP};
use crate::actors::command_name::{Standing, audience, no_such_command};
use crate::actors::{Context, ModuleError, audit};
use crate::messages::{CommandCall, Reply};

const USAGE: &str = "Type !command options <name> -ul=<level> -cd=<seconds> -usercd=<seconds> -a=<alias>.";

/// `!command options <name> …`.
pub async fn set(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let typed = flags::parse(args)?;
    let usage = || ModuleError::User(USAGE.to_owned());
    let name = typed.name.ok_or_else(usage)?;
    if typed.options.is_empty() || !typed.text.is_empty() {
        return Err(usage());
    }
    manage::check_level(call.level, typed.options.level)?;
    manage::check_aliases(ctx, &name, &typed.options)?;
    change(ctx, call, &name, Wish::Options(typed.options)).await
}

/// `!command enable|disable <name>`.
pub async fn switch(
    ctx: &Context,
    call: &CommandCall,
    args: &str,
    is_on: bool,
) -> Result<Vec<Reply>, ModuleError> {
    let verb = if is_on { "enable" } else { "disable" };
    let name =
        flags::parse(args)?.name.ok_or_else(|| ModuleError::User(format!("Type !command {verb} <name>.")))?;
    let is_command = ctx.registry().command(&name).is_some_and(|(_, command)| command.name == "command");
    if is_command && !is_on {
        return Err(ModuleError::User(
            "!command stays on: nobody could switch anything on again without it.".to_owned(),
        ));
    }
    change(ctx, call, &name, Wish::Switch { is_on }).await
}

enum Wish {
    Options(Options),
    Switch { is_on: bool },
}

async fn change(
    ctx: &Context,
    call: &CommandCall,
    name: &str,
    wish: Wish,
) -> Result<Vec<Reply>, ModuleError> {
    let (name, built_in) = match Standing::of(name, ctx.registry(), &ctx.commands) {
        Standing::Alias(_) => {
            return Err(ModuleError::User(format!(
                "!{name} is an alias; name the command that it stands for."
            )));
        }
        Standing::BuiltIn(module, command, _) => {
            (command.name.to_owned(), Some(built_in(module.name, command)))
        }
        Standing::Custom(_) | Standing::Added(_) => (name.to_owned(), None),
        Standing::Nothing => {
            return Err(ModuleError::User(no_such_command(name, ctx.registry(), &ctx.commands)));
        }
    };
    let (place, now) = (Place::of(ctx, call), ctx.now());
    let action = match wish {
        Wish::Options(_) => "command.options",
        Wish::Switch { is_on: true } => "command.enable",
        Wish::Switch { is_on: false } => "command.disable",
    };
    let entry = audit::entry(ctx, &call.event, action, format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let found = place.find(tx, &name).await?;
            let current = found.as_ref().map(|found| found.spec.clone()).or(built_in);
            let Some(mut spec) = current else {
                return Ok(Effect::new(format!("There is no command !{name} any more.")));
            };
            if spec.level > place.caller {
                return Ok(Effect::new(manage::beyond(&name, spec.level)));
            }
            let mut text = fulfil(&mut spec, &wish);
            let scope = match &found {
                Some(found) => place.write(tx, found, &spec, now).await?,
                None => add(tx, place, &spec, now).await?,
            };
            if let Wish::Options(options) = &wish {
                text.push_str(&manage::add_aliases(tx, place, &name, options, now).await?);
            }
            let effect = Effect::new(format!("!{name} {text}.")).audited(entry);
            Ok(effect.changed(manage::change(scope)).changed(place.aliases_change()))
        }
        .boxed()
    });
    unit.await
}

/// The entry of a built-in command that nobody changed so far.
fn built_in(module_name: &str, command: &crate::actors::CommandSpec) -> CommandSpec {
    CommandSpec {
        module_name: module_name.to_owned(),
        description: command.description.to_owned(),
        usage: command.usage.to_owned(),
        level: command.level,
        cooldown_secs: i64::from(command.cooldown_secs),
        ..CommandSpec::custom(command.name, "")
    }
}

/// Changes the entry, and says what it is now.
fn fulfil(spec: &mut CommandSpec, wish: &Wish) -> String {
    match wish {
        Wish::Switch { is_on } => {
            spec.is_enabled = *is_on;
            if *is_on { "is on".to_owned() } else { "is off".to_owned() }
        }
        Wish::Options(options) => {
            manage::apply(spec, options);
            let every = |secs: i64, whose: &str| {
                if secs > 0 { format!(", every {secs} s{whose}") } else { String::new() }
            };
            let (common, own) =
                (every(spec.cooldown_secs, ""), every(spec.user_cooldown_secs, " for each user"));
            format!("is now for {}{common}{own}", audience(spec.level))
        }
    }
}

async fn add(
    tx: &mut Tx,
    place: Place,
    spec: &CommandSpec,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<CommandScope, StorageError> {
    let scope = CommandScope::Community(place.community_id);
    commands::add(tx, scope, spec, now).await?;
    Ok(scope)
}
