//! Shoutouts that nobody asks for: at a raid, and at somebody's first line. Off in a channel until `!autoso` chooses
//! whom they are for.
//!
//! Whether somebody had one lately is asked and noted in one statement, so that a channel that moves, a repeat, or two
//! channels of one community say it once.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::shoutout::AutoMode;
use domain::{ChannelKey, Platform};
use futures_util::FutureExt;
use storage::settings::SettingsScope;
use storage::shoutouts::{self, NewShoutout, TemplateKey, listed};
use storage::{Effect, settings};

use crate::actors::channel::gate::effective_level;
use crate::actors::{Context, Module, ModuleError, ModuleSpec};
use crate::messages::streamers::{Streamer, login_of};
use crate::messages::{ChatEvent, Chatter, CommandTable, EventKind, Line, Reply};

#[cfg(test)]
mod tests;

pub const NAME: &str = "auto_shoutout";

/// The step of a raid; the lines of a batch have the following ones.
const STEP: u16 = 1;

/// A streamer gets no second one within this time, whoever gave the first.
const COOLDOWN: TimeDelta = TimeDelta::hours(1);
/// A first line is the first of a stream; where nobody knows when that began, the first within this time.
const STREAM_LASTS: TimeDelta = TimeDelta::hours(12);

/// Chatters of one batch of lines whom the storage is asked about; the others are asked about with their next line.
const ASKED_PER_BATCH_MAX: u16 = 16;
/// Chatters of whom it is remembered that they get none now.
const SETTLED_MAX: usize = 4_096;

pub const SPEC: ModuleSpec = ModuleSpec {
    name: NAME,
    description: "Gives shoutouts by itself; !autoso says to whom.",
    events: &[EventKind::Raid],
    lines: true,
    starts_off: true,
    new: || Box::new(AutoShoutout { memory: None }),
    ..ModuleSpec::DEFAULT
};

struct AutoShoutout {
    memory: Option<Memory>,
}

/// What was read for one table of the channel: every change of settings brings a new table.
struct Memory {
    table: Arc<CommandTable>,
    mode: AutoMode,
    listed: HashSet<String>,
    /// Logins that need not be asked about again.
    settled: HashSet<String>,
}

/// Why somebody may get one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Raid,
    FirstLine,
}

#[async_trait]
impl Module for AutoShoutout {
    async fn on_event(&mut self, ctx: &Context, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
        let memory = self.memory(ctx).await?;
        if event.kind != EventKind::Raid || !memory.wants(ctx, &event.user, Occasion::Raid).await? {
            return Ok(Vec::new());
        }
        memory.settle(&event.user.login);
        give(ctx, &event.user.login, Occasion::Raid, STEP).await
    }

    /// At most one of a batch gets one: who comes with many is not drowned in them.
    async fn on_lines(&mut self, ctx: &Context, lines: &[Line]) -> Result<Vec<Reply>, ModuleError> {
        if ctx.stream().live == Some(false) {
            return Ok(Vec::new());
        }
        let memory = self.memory(ctx).await?;
        let mut n_asked = 0;
        for Line { user, .. } in lines {
            if n_asked == ASKED_PER_BATCH_MAX {
                break;
            }
            if memory.settled.contains(&user.login) {
                continue;
            }
            n_asked += 1;
            let wanted = memory.wants(ctx, user, Occasion::FirstLine).await?;
            memory.settle(&user.login);
            if wanted {
                let said = give(ctx, &user.login, Occasion::FirstLine, STEP + n_asked).await?;
                if !said.is_empty() {
                    return Ok(said);
                }
            }
        }
        Ok(Vec::new())
    }
}

impl AutoShoutout {
    async fn memory(&mut self, ctx: &Context) -> Result<&mut Memory, ModuleError> {
        let is_fresh = |memory: &Memory| Arc::ptr_eq(&memory.table, &ctx.commands);
        let memory = match self.memory.take().filter(is_fresh) {
            Some(memory) => memory,
            None => Memory::read(ctx).await?,
        };
        Ok(self.memory.insert(memory))
    }
}

impl Memory {
    async fn read(ctx: &Context) -> Result<Self, ModuleError> {
        let mode = mode_of(ctx).await?;
        let listed = match mode {
            AutoMode::ListOnly => listed::all(ctx.db(), ctx.community_id()).await?.into_iter().collect(),
            _ => HashSet::new(),
        };
        Ok(Self { table: Arc::clone(&ctx.commands), mode, listed, settled: HashSet::new() })
    }

    fn settle(&mut self, login: &str) {
        if self.settled.len() >= SETTLED_MAX {
            self.settled.clear();
        }
        self.settled.insert(login.to_owned());
    }

    async fn wants(&self, ctx: &Context, user: &Chatter, occasion: Occasion) -> Result<bool, ModuleError> {
        if user.login == ctx.channel_login() {
            return Ok(false);
        }
        Ok(match self.mode {
            AutoMode::Disabled => false,
            AutoMode::ListOnly => self.listed.contains(&user.login),
            AutoMode::RoleBased(level) => effective_level(&ctx.commands, user) >= level,
            AutoMode::AllCreators => occasion == Occasion::Raid || is_served(ctx, &user.login).await?,
        })
    }
}

/// Whether the bot serves that user's channel.
async fn is_served(ctx: &Context, login: &str) -> Result<bool, ModuleError> {
    let Ok(key) = ChannelKey::new(ctx.platform(), login) else { return Ok(false) };
    Ok(storage::channels::by_key(ctx.db(), &key).await?.is_some())
}

/// What the channel chose; nothing that can be read means off.
pub async fn mode_of(ctx: &Context) -> Result<AutoMode, ModuleError> {
    let scope = SettingsScope { community_id: ctx.community_id(), channel_id: Some(ctx.channel_id()) };
    let kept = settings::get(ctx.db(), scope, NAME).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default())
}

/// Gives the shoutout unless there was one lately, or Twitch does not tell who that is.
async fn give(ctx: &Context, login: &str, occasion: Occasion, step: u16) -> Result<Vec<Reply>, ModuleError> {
    // Names of other platforms are other people's on Twitch.
    let platform = ctx.platform();
    if !matches!(platform, Platform::Twitch | Platform::Console) {
        return Ok(Vec::new());
    }
    let Some(streamer) = known(ctx, login).await else { return Ok(Vec::new()) };
    let (community_id, now) = (ctx.community_id(), ctx.now());
    let key = TemplateKey { community_id, platform, is_live: streamer.is_live() };
    let template = shoutouts::template_or_default(ctx.db(), key).await?;
    let new = NewShoutout {
        platform,
        target_user_id: streamer.user.id.clone(),
        target_login: streamer.user.login.clone(),
        message: template.render(&streamer.profile(), platform),
        created_by: format!("module:{NAME}"),
    };
    let not_since = not_since(occasion, ctx.stream().started_at, now);
    let unit = ctx.unit_of_work(
        ctx.community_scope(),
        step,
        move |tx| {
            async move {
                let is_due = shoutouts::record_unless(tx, community_id, &new, not_since, now).await?;
                Ok(Effect::new(is_due.then_some(new.message)))
            }
            .boxed()
        },
        |said: &Option<String>| said.as_ref().map_or_else(Vec::new, Reply::only),
    );
    unit.await
}

/// Who had one at that time or later gets none.
fn not_since(occasion: Occasion, started_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let cooled = now - COOLDOWN;
    match occasion {
        Occasion::Raid => cooled,
        Occasion::FirstLine => started_at.unwrap_or(now - STREAM_LASTS).min(cooled),
    }
}

/// Nobody asked for it, so trouble with Twitch is only logged.
async fn known(ctx: &Context, login: &str) -> Option<Arc<Streamer>> {
    match ctx.streamer(&login_of(login)?).await {
        Ok(streamer) => streamer,
        Err(error) => {
            tracing::info!(%error, "no automatic shoutout");
            None
        }
    }
}
