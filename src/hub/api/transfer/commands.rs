//! Custom commands as rows. A name is a command; what a row says differently is changed.

use chrono::{DateTime, Utc};
use domain::Level;
use serde_json::json;
use storage::channels::Channel;
use storage::commands::{self, Command, CommandScope, CommandSpec};
use storage::{StorageError, Target, Tx};

use super::item::{Did, Rows};
use super::row::Row;
use crate::hub::api::commands::{
    COOLDOWN_SECS_DEFAULT, COOLDOWN_SECS_MAX, CUSTOM_MODULE, DESCRIPTION_CHARS_MAX, name_of, response_of,
};
use crate::hub::router::Hub;

pub const COLUMNS: &[&str] =
    &["name", "response", "level", "cooldown_secs", "user_cooldown_secs", "description", "enabled"];

#[derive(Clone, Debug)]
pub struct CommandItem(CommandSpec);

pub async fn export(
    on: Target<'_>,
    channel: &Channel,
    after: &str,
    limit: u32,
) -> Result<Rows, StorageError> {
    let limit = limit.min(commands::PAGE_MAX);
    let found = commands::list(on, CommandScope::Community(channel.community_id), after, limit).await?;
    let last = found.last().map(|command| command.spec.command.clone());
    let n_read = u32::try_from(found.len()).unwrap_or(limit);
    // The page may be shorter than was asked for, and there may be more all the same.
    let n_read = if n_read == limit { u32::MAX } else { n_read };
    let row = |Command { spec, .. }: &Command| {
        json!({ "name": spec.command, "response": spec.response, "level": spec.level,
            "cooldown_secs": spec.cooldown_secs, "user_cooldown_secs": spec.user_cooldown_secs,
            "description": spec.description, "enabled": spec.is_enabled })
    };
    let custom = found.iter().filter(|command| command.spec.module_name == CUSTOM_MODULE);
    Ok(Rows { items: custom.map(row).collect(), n_read, last })
}

pub fn read(hub: &Hub, mut row: Row<'_>) -> Result<CommandItem, String> {
    let (name, response, level) = (row.given("name"), row.given("response"), row.given("level"));
    let level = if level.is_empty() { Ok(Level::Everyone) } else { level.parse::<Level>() };
    let (day, default) = (i64::from(COOLDOWN_SECS_MAX), i64::from(COOLDOWN_SECS_DEFAULT));
    let spec = CommandSpec {
        level: row.read("level", level),
        cooldown_secs: row.number("cooldown_secs", default, 0..=day),
        user_cooldown_secs: row.number("user_cooldown_secs", 0, 0..=day),
        description: row.text("description", 0..=DESCRIPTION_CHARS_MAX),
        is_enabled: row.flag("enabled", true),
        ..CommandSpec::custom(
            row.read("name", name_of(hub, &name)),
            row.read("response", response_of(hub, response)),
        )
    };
    row.end()?;
    Ok(CommandItem(spec))
}

impl CommandItem {
    pub async fn apply(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        now: DateTime<Utc>,
    ) -> Result<Did, StorageError> {
        let (spec, scope) = (&self.0, CommandScope::Community(channel.community_id));
        for other in [CommandScope::Channel(channel.id), CommandScope::Global] {
            if commands::by_name(&mut *tx, other, &spec.command).await?.is_some() {
                let text = format!("!{} is there for this channel alone, or for every one", spec.command);
                return Ok(Did::Refused(text));
            }
        }
        let Some(there) = commands::by_name(&mut *tx, scope, &spec.command).await? else {
            commands::add(tx, scope, spec, now).await?;
            return Ok(Did::Added);
        };
        if there.spec.module_name != CUSTOM_MODULE {
            return Ok(Did::Refused(format!("!{} belongs to {}", spec.command, there.spec.module_name)));
        }
        let wanted = CommandSpec {
            usage: there.spec.usage.clone(),
            category: there.spec.category.clone(),
            ..spec.clone()
        };
        if there.spec == wanted {
            return Ok(Did::Same);
        }
        commands::edit(tx, there.id, &wanted, now).await?;
        Ok(Did::Changed)
    }

    pub fn what(&self) -> String {
        format!("!{}", self.0.command)
    }
}
