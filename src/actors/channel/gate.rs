//! The gate: alias → registry → module enabled → command enabled → level → cooldown → rate limit.
//!
//! Reads memory only. What it takes (cooldown, rate slot) it gives back when the module fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::command_line::CommandLine;
use domain::cooldown::{CooldownSpec, Cooldowns};
use domain::sliding_window::SlidingWindow;
use domain::{Level, Refusal};

use crate::actors::modules::Registry;
use crate::config::LimitsConfig;
use crate::messages::{Chatter, CommandTable, CustomCommand};

/// An alias may stand for an alias, this deep.
pub const ALIAS_DEPTH_MAX: usize = 3;
/// (user, command) pairs with a running rate window; beyond it further pairs are refused, never let through.
const RATE_WINDOWS_MAX: usize = 4_096;

/// A command that may run.
#[derive(Clone, Debug)]
pub struct Passed {
    pub module: &'static str,
    /// The registered name; other spellings are resolved.
    pub name: Arc<str>,
    pub args: String,
    pub level: Level,
    pub custom: Option<Arc<CustomCommand>>,
    pub reservation: Reservation,
    /// The alias that led here, for its use count.
    pub alias: Option<String>,
}

/// What the gate took for a command, so that a failure gives it back.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    at: Instant,
    cooldown: bool,
    rate_slot: bool,
}

/// What stands behind a name in this channel.
struct Found {
    module: &'static str,
    is_module_on: bool,
    name: Arc<str>,
    level: Level,
    cooldown: CooldownSpec,
    enabled: bool,
    custom: Option<Arc<CustomCommand>>,
}

/// The gate's memory of one channel.
#[derive(Debug)]
pub struct Gate {
    pub cooldowns: Cooldowns,
    /// By command and user, see [`rate_key`].
    rates: HashMap<String, SlidingWindow>,
    registry: Registry,
    rate_limit: u32,
    rate_window: Duration,
}

impl Gate {
    pub fn new(limits: &LimitsConfig, registry: Registry) -> Self {
        Self {
            cooldowns: Cooldowns::default(),
            rates: HashMap::new(),
            registry,
            rate_limit: u32::try_from(limits.command_rate).unwrap_or(u32::MAX),
            rate_window: limits.command_rate_window,
        }
    }

    /// Judges one command line of `user`.
    ///
    /// # Errors
    /// The refusal, with the name that was asked for.
    pub fn judge(
        &mut self,
        table: &CommandTable,
        user: &Chatter,
        line: CommandLine<'_>,
        now: Instant,
    ) -> Result<Passed, (String, Refusal)> {
        let (name, args, alias) = resolve_alias(table, &self.registry, user, line)?;
        let refuse = |refusal| (name.clone(), refusal);
        let found = find(table, &self.registry, &name)
            .ok_or_else(|| refuse(Refusal::Unknown { command: name.clone() }))?;
        if !found.is_module_on {
            return Err(refuse(Refusal::ModuleDisabled { module: found.module.to_owned() }));
        }
        if !found.enabled {
            return Err(refuse(Refusal::CommandDisabled { command: found.name.to_string() }));
        }
        let level = effective_level(table, user);
        if level < found.level {
            return Err(refuse(Refusal::Level { needed: found.level }));
        }
        let reservation = self.reserve(&found, user, level, now).map_err(refuse)?;
        Ok(Passed {
            module: found.module,
            name: found.name,
            args,
            level,
            custom: found.custom,
            reservation,
            alias,
        })
    }

    fn reserve(
        &mut self,
        found: &Found,
        user: &Chatter,
        level: Level,
        now: Instant,
    ) -> Result<Reservation, Refusal> {
        let user = user_key(user);
        let cooldown = level < Level::Moderator && found.cooldown != CooldownSpec::default();
        if cooldown {
            self.cooldowns
                .reserve(&found.name, user, found.cooldown, now)
                .map_err(|left| Refusal::Cooldown { seconds_left: seconds_up(left) })?;
        }
        if let Err(left) = self.take_rate_slot(&found.name, user, now) {
            if cooldown {
                self.cooldowns.release(&found.name, user, now);
            }
            return Err(Refusal::RateLimited { seconds_left: seconds_up(left) });
        }
        Ok(Reservation { at: now, cooldown, rate_slot: self.rate_limit > 0 })
    }

    fn take_rate_slot(&mut self, command: &str, user: &str, now: Instant) -> Result<(), Duration> {
        if self.rate_limit == 0 {
            return Ok(());
        }
        let key = rate_key(command, user);
        if !self.rates.contains_key(&key) && self.rates.len() >= RATE_WINDOWS_MAX {
            self.prune(now);
            if self.rates.len() >= RATE_WINDOWS_MAX {
                return Err(self.rate_window);
            }
        }
        let window =
            self.rates.entry(key).or_insert_with(|| SlidingWindow::new(self.rate_limit, self.rate_window));
        window.try_take(now)
    }

    /// Gives back what a failed `command` of `user` took.
    pub fn release(&mut self, command: &str, user: &Chatter, reservation: Reservation) {
        let user = user_key(user);
        if reservation.cooldown {
            self.cooldowns.release(command, user, reservation.at);
        }
        if reservation.rate_slot
            && let Some(window) = self.rates.get_mut(&rate_key(command, user))
        {
            window.give_back(reservation.at);
        }
    }

    /// Forgets what is over.
    pub fn prune(&mut self, now: Instant) {
        self.cooldowns.prune(now);
        self.rates.retain(|_, window| !window.is_idle(now));
        if self.rates.is_empty() {
            self.rates.shrink_to(0);
        }
    }
}

/// The higher of what the badges and the stored roles give.
pub fn effective_level(table: &CommandTable, user: &Chatter) -> Level {
    let by_id = table.roles.get(&user.platform_user_id);
    let stored = by_id.or_else(|| {
        if table.roles.is_empty() { None } else { table.roles.get(&format!("login:{}", user.login)) }
    });
    stored.copied().unwrap_or_default().max(user.level)
}

/// One rate window. No name of a command holds a control character.
fn rate_key(command: &str, user: &str) -> String {
    [command, "\0", user].concat()
}

/// Who counts as one user: the platform's id, or the login where there is none.
pub fn user_key(user: &Chatter) -> &str {
    if user.platform_user_id.is_empty() { &user.login } else { &user.platform_user_id }
}

/// The command's name and arguments behind at most [`ALIAS_DEPTH_MAX`] aliases.
fn resolve_alias(
    table: &CommandTable,
    registry: &Registry,
    user: &Chatter,
    line: CommandLine<'_>,
) -> Result<(String, String, Option<String>), (String, Refusal)> {
    let mut name = line.name.to_lowercase();
    let mut args = line.args.to_owned();
    let mut first = None;
    for _ in 0..=ALIAS_DEPTH_MAX {
        let known = table.commands.contains_key(&name) || registry.command(&name).is_some();
        let Some(body) = table.aliases.get(&name).filter(|_| !known) else {
            return Ok((name, args, first));
        };
        let expanded = domain::alias::expand(body, &user.display_name, &args);
        first.get_or_insert_with(|| name.clone());
        let inner = expanded.trim_start_matches(['!', '#']);
        let (inner_name, inner_args) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
        (name, args) = (inner_name.to_lowercase(), inner_args.trim().to_owned());
    }
    Err((first.unwrap_or(name), Refusal::AliasDepth))
}

/// A row of this channel wins over the built-in of the same name.
fn find(table: &CommandTable, registry: &Registry, name: &str) -> Option<Found> {
    let builtin = registry.command(name);
    let canonical = builtin.map_or(name, |(_, command)| command.name);
    if let Some(entry) = table.commands.get(name).or_else(|| table.commands.get(canonical)) {
        let module = registry.module(&entry.module)?;
        return Some(Found {
            module: module.name,
            is_module_on: module.is_on(table),
            name: if entry.custom.is_some() { name.into() } else { canonical.into() },
            level: entry.level,
            cooldown: CooldownSpec {
                global: Duration::from_secs(entry.cooldown_secs.into()),
                user: Duration::from_secs(entry.user_cooldown_secs.into()),
            },
            enabled: entry.enabled,
            custom: entry.custom.clone(),
        });
    }
    let (module, command) = builtin?;
    Some(Found {
        module: module.name,
        is_module_on: module.is_on(table),
        name: command.name.into(),
        level: command.level,
        cooldown: CooldownSpec {
            global: Duration::from_secs(command.cooldown_secs.into()),
            user: Duration::ZERO,
        },
        enabled: true,
        custom: None,
    })
}

/// Whole seconds, rounded up, so that "1 second" is never said too early.
fn seconds_up(left: Duration) -> u32 {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}
