//! Adding, editing and removing custom commands.

use domain::Level;
use futures_util::FutureExt;
use storage::commands::{Command, CommandScope, CommandSpec};
use storage::{Change, ChangeKind, ChangeScope, Effect, StorageError, Tx, aliases, commands};

use super::flags::{self, Options};
use super::run::check;
use crate::actors::command_name::{Standing, audience, no_such_command};
use crate::actors::{Context, ModuleError, audit};
use crate::messages::{CommandCall, Reply};

/// Most commands that a channel sees; an operator's and another channel's of the community count too.
const COMMANDS_MAX: usize = 1_000;
/// One line changes one thing: all units of this module that a line can cause share a number.
pub const STEP: u16 = 1;

/// Where a name may be found, and who asks: what a unit of work needs of the context.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub channel_id: domain::ChannelId,
    pub community_id: domain::CommunityId,
    pub caller: Level,
}

impl Place {
    pub fn of(ctx: &Context, call: &CommandCall) -> Self {
        Self { channel_id: ctx.channel_id(), community_id: ctx.community_id(), caller: call.level }
    }

    pub const fn aliases_change(self) -> Change {
        Change::new(ChangeScope::Channel(self.channel_id), ChangeKind::Aliases)
    }

    /// The entry in force here: the channel's own, else its community's, else the operator's.
    pub async fn find(self, tx: &mut Tx, name: &str) -> Result<Option<Command>, StorageError> {
        let scopes = [
            CommandScope::Channel(self.channel_id),
            CommandScope::Community(self.community_id),
            CommandScope::Global,
        ];
        for scope in scopes {
            if let Some(command) = commands::by_name(&mut *tx, scope, name).await? {
                return Ok(Some(command));
            }
        }
        Ok(None)
    }

    /// Writes a changed entry; an operator's stays as it is and gets one of the community before it.
    pub async fn write(
        self,
        tx: &mut Tx,
        found: &Command,
        spec: &CommandSpec,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<CommandScope, StorageError> {
        if found.scope == CommandScope::Global {
            let scope = CommandScope::Community(self.community_id);
            commands::add(tx, scope, spec, now).await?;
            return Ok(scope);
        }
        commands::edit(tx, found.id, spec, now).await?;
        Ok(found.scope)
    }
}

/// Tells every node that the commands of that scope changed.
pub const fn change(scope: CommandScope) -> Change {
    let scope = match scope {
        CommandScope::Channel(id) => ChangeScope::Channel(id),
        CommandScope::Community(id) => ChangeScope::Community(id),
        CommandScope::Global => ChangeScope::Global,
    };
    Change::new(scope, ChangeKind::Commands)
}

/// `!addcom <name> <text>`.
pub async fn add(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let (name, options, text) = typed(args, "addcom <name> <text>")?;
    check(ctx, &text)?;
    check_level(call.level, options.level)?;
    refuse_built_in(ctx, &name)?;
    if ctx.commands.aliases.contains_key(&name) {
        return Err(ModuleError::User(format!(
            "!{name} is an alias; remove it first with !alias remove {name}."
        )));
    }
    check_aliases(ctx, &name, &options)?;
    if ctx.commands.commands.len() >= COMMANDS_MAX {
        return Err(ModuleError::User(format!(
            "A channel has at most {COMMANDS_MAX} commands; remove one first."
        )));
    }
    let mut spec = CommandSpec::custom(name.as_str(), text);
    apply(&mut spec, &options);
    let (place, now) = (Place::of(ctx, call), ctx.now());
    let entry = audit::entry(ctx, &call.event, "command.add", format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let scope = CommandScope::Community(place.community_id);
            let is_taken = place.find(tx, &name).await?.is_some();
            if is_taken || commands::add(tx, scope, &spec, now).await?.is_none() {
                return Ok(Effect::new(format!("!{name} exists already; use !editcom {name} <text>.")));
            }
            let said = add_aliases(tx, place, &name, &options, now).await?;
            let effect = Effect::new(format!("!{name} added{said}.")).audited(entry);
            Ok(effect.changed(change(scope)).changed(place.aliases_change()))
        }
        .boxed()
    });
    unit.await
}

/// `!editcom <name> <text>`; options alone change only these.
pub async fn edit(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let typed = flags::parse(args)?;
    if typed.text.is_empty() && !typed.options.is_empty() {
        return super::options::set(ctx, call, args).await;
    }
    let (name, options, text) = self::typed(args, "editcom <name> <text>")?;
    check(ctx, &text)?;
    check_level(call.level, options.level)?;
    refuse_built_in(ctx, &name)?;
    check_aliases(ctx, &name, &options)?;
    let unknown = no_such_command(&name, ctx.registry(), &ctx.commands);
    let (place, now) = (Place::of(ctx, call), ctx.now());
    let entry = audit::entry(ctx, &call.event, "command.edit", format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let Some(found) = place.find(tx, &name).await? else { return Ok(Effect::new(unknown)) };
            if let Some(refusal) = refuse_foreign(&found, place.caller) {
                return Ok(Effect::new(refusal));
            }
            let mut spec = CommandSpec { response: text, ..found.spec.clone() };
            apply(&mut spec, &options);
            let scope = place.write(tx, &found, &spec, now).await?;
            let said = add_aliases(tx, place, &name, &options, now).await?;
            let effect = Effect::new(format!("!{name} changed{said}.")).audited(entry);
            Ok(effect.changed(change(scope)).changed(place.aliases_change()))
        }
        .boxed()
    });
    unit.await
}

/// `!delcom <name>`; the command's aliases go with it.
pub async fn remove(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let typed = flags::parse(args)?;
    let name = typed.name.ok_or_else(|| ModuleError::User("Type !delcom <name>.".to_owned()))?;
    match Standing::of(&name, ctx.registry(), &ctx.commands) {
        Standing::Alias(_) => {
            return Err(ModuleError::User(format!("!{name} is an alias; use !alias remove {name}.")));
        }
        Standing::BuiltIn(..) => {
            return Err(ModuleError::User(format!(
                "!{name} is a built-in command; !command disable {name} switches it off."
            )));
        }
        Standing::Custom(_) | Standing::Added(_) | Standing::Nothing => {}
    }
    let unknown = no_such_command(&name, ctx.registry(), &ctx.commands);
    let place = Place::of(ctx, call);
    let entry = audit::entry(ctx, &call.event, "command.remove", format!("!{name}"));
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let Some(found) = place.find(tx, &name).await? else { return Ok(Effect::new(unknown)) };
            if let Some(refusal) = refuse_foreign(&found, place.caller) {
                return Ok(Effect::new(refusal));
            }
            if found.scope == CommandScope::Global {
                return Ok(Effect::new(format!(
                    "!{name} is everywhere on this bot; !command disable {name} switches it off here."
                )));
            }
            commands::remove(tx, found.id).await?;
            let n_aliases = remove_aliases(tx, place, &name).await?;
            let text = match n_aliases {
                0 => format!("!{name} removed."),
                1 => format!("!{name} and its alias removed."),
                n => format!("!{name} and its {n} aliases removed."),
            };
            let effect = Effect::new(text).audited(entry);
            Ok(effect.changed(change(found.scope)).changed(place.aliases_change()))
        }
        .boxed()
    });
    unit.await
}

/// A name and a text, or what to type.
fn typed(args: &str, usage: &str) -> Result<(String, Options, String), ModuleError> {
    let typed = flags::parse(args)?;
    match typed.name {
        Some(name) if !typed.text.is_empty() => Ok((name, typed.options, typed.text)),
        _ => Err(ModuleError::User(format!(
            "Type !{usage}, for example !{}.",
            usage.replace("<name> <text>", "!hi Hello $(user)")
        ))),
    }
}

/// A built-in command answers by itself: it has options, but no text.
fn refuse_built_in(ctx: &Context, name: &str) -> Result<(), ModuleError> {
    if !matches!(Standing::of(name, ctx.registry(), &ctx.commands), Standing::BuiltIn(..)) {
        return Ok(());
    }
    Err(ModuleError::User(format!(
        "!{name} is a built-in command; choose another name, or set its options with !command options {name}."
    )))
}

/// Nobody gives a command a level above their own: they could not take it back.
pub fn check_level(caller: Level, wanted: Option<Level>) -> Result<(), ModuleError> {
    match wanted {
        Some(wanted) if wanted > caller => {
            Err(ModuleError::User(format!("Your own level is {caller}; -ul can be at most that.")))
        }
        _ => Ok(()),
    }
}

/// Why this caller cannot change this entry. `None`: they can.
pub fn refuse_foreign(found: &Command, caller: Level) -> Option<String> {
    let name = &found.spec.command;
    if found.spec.level > caller {
        return Some(beyond(name, found.spec.level));
    }
    let is_custom = found.spec.module_name == super::SPEC.name;
    (!is_custom).then(|| {
        format!("!{name} is no custom command; it belongs to the module {}.", found.spec.module_name)
    })
}

/// Says that a command is for a higher level than the caller's.
pub fn beyond(name: &str, level: Level) -> String {
    format!("!{name} is for {}, and nobody else changes it.", audience(level))
}

/// Puts what was typed into the entry.
pub fn apply(spec: &mut CommandSpec, options: &Options) {
    if let Some(level) = options.level {
        spec.level = level;
    }
    if let Some(secs) = options.cooldown_secs {
        spec.cooldown_secs = i64::from(secs);
    }
    if let Some(secs) = options.user_cooldown_secs {
        spec.user_cooldown_secs = i64::from(secs);
    }
}

/// Names for `-a`: free, or an alias that will be told from the others when it is written.
pub fn check_aliases(ctx: &Context, name: &str, options: &Options) -> Result<(), ModuleError> {
    for alias in &options.aliases {
        let is_taken = alias == name
            || ctx.registry().command(alias).is_some()
            || ctx.commands.commands.contains_key(alias)
            || ctx.commands.aliases.contains_key(alias);
        if is_taken {
            return Err(ModuleError::User(format!("!{alias} exists already; choose another alias.")));
        }
    }
    Ok(())
}

/// Writes the aliases and says which: ` with alias !hello`, or nothing.
pub async fn add_aliases(
    tx: &mut Tx,
    place: Place,
    name: &str,
    options: &Options,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<String, StorageError> {
    let mut said = String::new();
    for alias in &options.aliases {
        if aliases::add(tx, place.channel_id, alias, &format!("{name} {{args}}"), now).await?.is_some() {
            said.push_str(if said.is_empty() { " with alias !" } else { ", !" });
            said.push_str(alias);
        }
    }
    Ok(said)
}

/// Removes the aliases that stand for `name` alone, and says how many.
async fn remove_aliases(tx: &mut Tx, place: Place, name: &str) -> Result<usize, StorageError> {
    let mut n_removed = 0;
    for alias in aliases::list(&mut *tx, place.channel_id).await? {
        let stands_for_it = domain::alias::target_of(&alias.body).is_some_and(|target| target == name);
        if stands_for_it && aliases::remove(tx, place.channel_id, &alias.name).await? {
            n_removed += 1;
        }
    }
    Ok(n_removed)
}
