//! `/api/v1/commands`: the custom commands of a channel, or of all channels.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use domain::Level;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::commands::{Command, CommandScope, CommandSpec};
use storage::{AuditEntry, Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::{IntoParams, ToSchema};

use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::changing::Caller;
use crate::hub::input::{JsonBody, Queried};
use crate::hub::page::{Page, page_of, rows_of};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

pub(in crate::hub) mod command;

/// Longest cooldown: a day.
pub(super) const COOLDOWN_SECS_MAX: u32 = 86_400;

/// Default cooldown of a custom command.
pub(super) const COOLDOWN_SECS_DEFAULT: u32 = 5;

/// Longest description, in characters.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 500;

/// The module that runs custom commands.
pub(super) const CUSTOM_MODULE: &str = "commands";

/// Which commands are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct CommandsQuery {
    /// The channel whose commands are wanted, global ones that are in force there too; absent for all global ones.
    channel: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A command as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct CommandLine {
    id: String,
    /// Lower case, without prefix.
    name: String,
    /// The template of a custom command; empty for a module's own.
    response: String,
    module: String,
    #[schema(value_type = String, example = "everyone")]
    level: Level,
    cooldown_secs: i64,
    user_cooldown_secs: i64,
    description: String,
    usage: String,
    category: String,
    enabled: bool,
    use_count: i64,
    /// `global`, `community` or `channel`.
    scope: &'static str,
    updated_at: DateTime<Utc>,
}

impl From<Command> for CommandLine {
    fn from(command: Command) -> Self {
        let Command { id, scope, spec, use_count, updated_at, .. } = command;
        Self {
            id: id.to_string(),
            name: spec.command,
            response: spec.response,
            module: spec.module_name,
            level: spec.level,
            cooldown_secs: spec.cooldown_secs,
            user_cooldown_secs: spec.user_cooldown_secs,
            description: spec.description,
            usage: spec.usage,
            category: spec.category,
            enabled: spec.is_enabled,
            use_count,
            scope: match scope {
                CommandScope::Global => "global",
                CommandScope::Community(_) => "community",
                CommandScope::Channel(_) => "channel",
            },
            updated_at,
        }
    }
}

/// Lists commands in the order of their names: those in force in a channel, or all global ones.
#[utoipa::path(get, path = "/api/v1/commands", tag = "commands", params(CommandsQuery,
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of commands.", body = Envelope<Page<CommandLine>>),
    (status = 400, description = "A wrong limit or channel.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Queried(query): Queried<CommandsQuery>,
) -> Answered<Page<CommandLine>> {
    let limit = rows_of(query.limit)?;
    let after = query.cursor.unwrap_or_default();
    let rows = match query.channel {
        None => storage::commands::list(read_after.lists(&hub), CommandScope::Global, &after, limit).await?,
        Some(key) => {
            let slot = slot_of(&hub, &key)?;
            let mut rows =
                storage::commands::for_channel(read_after.lists(&hub), slot.id, slot.community_id).await?;
            rows.retain(|row| row.spec.command > after);
            rows.truncate(limit as usize);
            rows
        }
    };
    ok(page_of(rows.into_iter().map(CommandLine::from).collect(), limit, |line| line.name.clone()))
}

/// A command to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewCommand {
    /// The channel: the command is for its whole community, as `!addcom` makes it. Absent for every channel.
    #[serde(default)]
    channel: Option<String>,
    /// One word, with or without `!`.
    #[schema(example = "hi")]
    name: String,
    /// The template, with variables such as `$(user)`.
    #[schema(example = "Hello $(user)")]
    response: String,
    /// Who may use it; everyone when absent.
    #[serde(default)]
    level: Option<String>,
    /// Cooldown of the channel, 0 to 86,400; 5 when absent.
    #[serde(default)]
    cooldown_secs: Option<u32>,
    /// Cooldown of each user, 0 to 86,400; 0 when absent.
    #[serde(default)]
    user_cooldown_secs: Option<u32>,
    #[serde(default)]
    description: Option<String>,
}

/// Adds a command.
#[utoipa::path(post, path = "/api/v1/commands", tag = "commands", request_body = NewCommand,
    security(("service_key" = [])), responses(
    (status = 201, description = "It works in the next line.", body = Envelope<CommandLine>),
    (status = 400, description = "A wrong name, template, level or time.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope),
    (status = 409, description = "There is a command of that name.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(new): JsonBody<NewCommand>,
) -> Answered<CommandLine> {
    let place = Place::of(&hub, new.channel.as_deref())?;
    let spec = CommandSpec {
        level: level_of(new.level.as_deref())?.unwrap_or_default(),
        cooldown_secs: secs_of("cooldown_secs", new.cooldown_secs.unwrap_or(COOLDOWN_SECS_DEFAULT))?,
        user_cooldown_secs: secs_of("user_cooldown_secs", new.user_cooldown_secs.unwrap_or(0))?,
        description: description_of(new.description.unwrap_or_default())?,
        ..CommandSpec::custom(name_of(&hub, &new.name)?, response_of(&hub, new.response)?)
    };
    let (name, now) = (spec.command.clone(), hub.deps.clock.now());
    let audit = place.entry(&caller, "command.add", &name);
    let (scope, change) = (place.scope, place.change);
    let shadows = place.shadows;
    let done = caller
        .change(&hub, "commands", Scope::Global, move |tx| {
            async move {
                for other in shadows.into_iter().flatten() {
                    if storage::commands::by_name(&mut *tx, other, &spec.command).await?.is_some() {
                        return Ok(Effect::new(false));
                    }
                }
                let added = storage::commands::add(tx, scope, &spec, now).await?.is_some();
                let effect = Effect::new(added);
                Ok(if added { effect.audited(audit).changed(change) } else { effect })
            }
            .boxed()
        })
        .await?;
    if !done.outcome {
        return Err(ApiError::conflict(format!("there is a command !{name} already; change it with PUT")));
    }
    let stored = storage::commands::by_name(&hub.deps.db, scope, &name).await?;
    let stored = stored.ok_or_else(|| ApiError::conflict(format!("!{name} was removed meanwhile")))?;
    Ok(Answer(StatusCode::CREATED, CommandLine::from(stored)))
}

/// Where commands belong, for the statements, the change and the audit log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub scope: CommandScope,
    pub change: Change,
    /// Where else a command of the same name would be in force: above or below this one.
    shadows: [Option<CommandScope>; 2],
}

impl Place {
    /// The place of that channel's community, or everywhere.
    fn of(hub: &Hub, channel: Option<&str>) -> Result<Self, ApiError> {
        let Some(key) = channel else { return Ok(Self::of_scope(CommandScope::Global)) };
        let slot = slot_of(hub, key)?;
        let shadows = [Some(CommandScope::Channel(slot.id)), Some(CommandScope::Global)];
        Ok(Self { shadows, ..Self::of_scope(CommandScope::Community(slot.community_id)) })
    }

    pub(super) const fn of_scope(scope: CommandScope) -> Self {
        let changed = match scope {
            CommandScope::Global => ChangeScope::Global,
            CommandScope::Community(id) => ChangeScope::Community(id),
            CommandScope::Channel(id) => ChangeScope::Channel(id),
        };
        Self { scope, change: Change::new(changed, ChangeKind::Commands), shadows: [None, None] }
    }

    pub(super) fn entry(self, caller: &Caller, action: &'static str, name: &str) -> AuditEntry {
        let (community_id, channel_id) = match self.scope {
            CommandScope::Global => (None, None),
            CommandScope::Community(id) => (Some(id), None),
            CommandScope::Channel(id) => (None, Some(id)),
        };
        AuditEntry { community_id, channel_id, ..caller.entry(action, format!("!{name}")) }
    }
}

/// A legal name that no built-in command has.
pub(super) fn name_of(hub: &Hub, text: &str) -> Result<String, ApiError> {
    let name =
        domain::names::valid_command_name(text).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut built_in = hub.deps.modules.iter().flat_map(|module| &module.commands);
    if built_in.any(|command| command.name == name || command.also.contains(&name.as_str())) {
        return Err(ApiError::conflict(format!("!{name} is built in; choose another name")));
    }
    Ok(name)
}

/// A template that can be filled, with addresses that can be fetched.
pub(super) fn response_of(hub: &Hub, text: String) -> Result<String, ApiError> {
    let template = domain::Template::parse(&text).map_err(|error| ApiError::invalid(error.to_string()))?;
    for url in template.literal_urls() {
        let refused = |error| ApiError::invalid(format!("`$(urlfetch)` cannot be saved: {error}"));
        hub.deps.urls.check(url).map_err(refused)?;
    }
    Ok(text)
}

pub(super) fn level_of(text: Option<&str>) -> Result<Option<Level>, ApiError> {
    text.map(str::parse::<Level>).transpose().map_err(|error| ApiError::invalid(error.to_string()))
}

pub(super) fn secs_of(field: &str, secs: u32) -> Result<i64, ApiError> {
    if secs > COOLDOWN_SECS_MAX {
        return Err(ApiError::invalid(format!("{field} must be 0 to {COOLDOWN_SECS_MAX}")));
    }
    Ok(i64::from(secs))
}

pub(super) fn description_of(text: String) -> Result<String, ApiError> {
    if text.chars().count() > DESCRIPTION_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "description must be one line of at most {DESCRIPTION_CHARS_MAX} characters"
        )));
    }
    Ok(text)
}
