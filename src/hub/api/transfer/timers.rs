//! Timers of a channel as rows. A name is a timer; what a row says differently is changed.

use chrono::{DateTime, TimeDelta, Utc};
use domain::names::valid_command_name;
use serde_json::json;
use storage::channels::Channel;
use storage::commands::{self, CommandScope};
use storage::timers::{self, Enabled, Timer, TimerSpec};
use storage::{StorageError, Target, Tx};

use super::item::{Did, Rows};
use super::row::Row;
use crate::hub::api::commands::{CUSTOM_MODULE, response_of};
use crate::hub::router::Hub;

pub const COLUMNS: &[&str] = &["name", "text", "interval_secs", "min_lines", "only_live", "enabled"];

/// As `!timer add` has them.
const INTERVAL_SECS_MIN: i64 = 60;
const INTERVAL_SECS_MAX: i64 = 86_400;
const INTERVAL_SECS_DEFAULT: i64 = 15 * 60;
const LINES_MAX: i64 = 10_000;
const TEXT_CHARS_MAX: usize = 500;
const TIMERS_MAX: usize = 50;

#[derive(Clone, Debug)]
pub struct TimerItem {
    spec: TimerSpec,
    is_enabled: bool,
}

/// All of them: a channel has few.
pub async fn export(on: Target<'_>, channel: &Channel) -> Result<Rows, StorageError> {
    let found = timers::list(on, channel.id).await?;
    let row = |Timer { spec, is_enabled, .. }: &Timer| {
        json!({ "name": spec.name, "text": spec.body, "interval_secs": spec.interval_secs,
            "min_lines": spec.min_lines, "only_live": spec.only_live, "enabled": is_enabled })
    };
    Ok(Rows { items: found.iter().map(row).collect(), n_read: 0, last: None })
}

pub fn read(hub: &Hub, mut row: Row<'_>) -> Result<TimerItem, String> {
    let name = valid_command_name(&row.given("name"));
    let body = row.text("text", 1..=TEXT_CHARS_MAX);
    let spec = TimerSpec {
        name: row.read("name", name),
        interval_secs: row.number(
            "interval_secs",
            INTERVAL_SECS_DEFAULT,
            INTERVAL_SECS_MIN..=INTERVAL_SECS_MAX,
        ),
        min_lines: row.number("min_lines", 0, 0..=LINES_MAX),
        only_live: row.flag("only_live", true),
        body: if body.starts_with('!') { body } else { row.read("text", response_of(hub, body)) },
    };
    let is_enabled = row.flag("enabled", true);
    row.end()?;
    Ok(TimerItem { spec, is_enabled })
}

impl TimerItem {
    pub async fn apply(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        now: DateTime<Utc>,
    ) -> Result<Did, StorageError> {
        let Self { spec, is_enabled } = self;
        if let Some(line) = spec.body.strip_prefix('!')
            && !is_custom(tx, channel, line).await?
        {
            return Ok(Did::Refused(format!(
                "{}: a timer runs custom commands only; import it first",
                spec.body
            )));
        }
        let there = timers::list(&mut *tx, channel.id).await?;
        let same_name = there.iter().find(|timer| timer.spec.name == spec.name);
        match same_name {
            Some(timer) if timer.spec == *spec && timer.is_enabled == *is_enabled => return Ok(Did::Same),
            Some(_) => drop(timers::remove(&mut *tx, channel.id, &spec.name).await?),
            None if there.len() >= TIMERS_MAX => {
                return Ok(Did::Refused(format!("a channel has at most {TIMERS_MAX} timers")));
            }
            None => {}
        }
        let next_due_at = now + TimeDelta::seconds(spec.interval_secs);
        timers::add(&mut *tx, channel.id, spec, next_due_at, now).await?;
        if !is_enabled {
            timers::set_enabled(tx, channel.id, &spec.name, Enabled::Off, now).await?;
        }
        Ok(if same_name.is_some() { Did::Changed } else { Did::Added })
    }

    pub fn what(&self) -> String {
        self.spec.name.clone()
    }
}

/// Whether the line behind the prefix begins with a custom command of the channel.
async fn is_custom(tx: &mut Tx, channel: &Channel, line: &str) -> Result<bool, StorageError> {
    let name = line.split_whitespace().next().unwrap_or_default().to_lowercase();
    let scopes = [
        CommandScope::Channel(channel.id),
        CommandScope::Community(channel.community_id),
        CommandScope::Global,
    ];
    for scope in scopes {
        if let Some(found) = commands::by_name(&mut *tx, scope, &name).await? {
            return Ok(found.spec.module_name == CUSTOM_MODULE);
        }
    }
    Ok(false)
}
