//! `/api/v1/commands/{id}`: one custom command.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::commands::{Command, CommandSpec};
use storage::{Effect, Scope};
use ulid::Ulid;
use utoipa::ToSchema;

use super::{CUSTOM_MODULE, CommandLine, Place, description_of, level_of, name_of, response_of, secs_of};
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// What changes; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct CommandChange {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    cooldown_secs: Option<u32>,
    #[serde(default)]
    user_cooldown_secs: Option<u32>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// Changes a command.
#[utoipa::path(put, path = "/api/v1/commands/{id}", tag = "commands", request_body = CommandChange,
    params(("id" = String, Path, description = "The command's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It works so in the next line.", body = Envelope<CommandLine>),
    (status = 400, description = "A wrong name, template, level or time.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such command.", body = ErrorEnvelope),
    (status = 409, description = "The new name is taken.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn update(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<CommandChange>,
) -> Answered<CommandLine> {
    let command = stored(&hub, &id).await?;
    let (id, place) = (command.id, Place::of_scope(command.scope));
    let spec = changed(&hub, command.spec, change)?;
    let (name, now) = (spec.command.clone(), hub.deps.clock.now());
    let audit = place.entry(&caller, "command.edit", &name);
    caller
        .change(&hub, "commands.command.update", Scope::Global, move |tx| {
            async move {
                let edited = storage::commands::edit(tx, id, &spec, now).await?;
                let effect = Effect::new(edited);
                Ok(if edited { effect.audited(audit).changed(place.change) } else { effect })
            }
            .boxed()
        })
        .await?;
    let command = storage::commands::get(&hub.deps.db, id).await?.ok_or_else(no_such_command)?;
    ok(CommandLine::from(command))
}

/// The name of a removed command.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RemovedCommand {
    name: String,
}

/// Removes a command.
#[utoipa::path(delete, path = "/api/v1/commands/{id}", tag = "commands",
    params(("id" = String, Path, description = "The command's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is gone.", body = Envelope<RemovedCommand>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such command.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<RemovedCommand> {
    let command = stored(&hub, &id).await?;
    let (id, place, name) = (command.id, Place::of_scope(command.scope), command.spec.command);
    let audit = place.entry(&caller, "command.remove", &name);
    let done = caller
        .change(&hub, "commands.command.remove", Scope::Global, move |tx| {
            async move {
                let removed = storage::commands::remove(tx, id).await?;
                let effect = Effect::new(removed);
                Ok(if removed { effect.audited(audit).changed(place.change) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(RemovedCommand { name }) } else { Err(no_such_command()) }
}

async fn stored(hub: &Hub, id: &str) -> Result<Command, ApiError> {
    let id = Ulid::from_string(id).map_err(|_| no_such_command())?;
    storage::commands::get(&hub.deps.db, id).await?.ok_or_else(no_such_command)
}

fn no_such_command() -> ApiError {
    ApiError::not_found("there is no command of that id; GET /api/v1/commands lists them")
}

/// The command with the change applied. A module's own command keeps its name and has no template.
fn changed(hub: &Hub, mut spec: CommandSpec, change: CommandChange) -> Result<CommandSpec, ApiError> {
    let is_custom = spec.module_name == CUSTOM_MODULE;
    if !is_custom && (change.name.is_some() || change.response.is_some()) {
        return Err(ApiError::invalid("a built-in command keeps its name and its answers"));
    }
    if let Some(name) = change.name {
        spec.command = name_of(hub, &name)?;
    }
    if let Some(response) = change.response {
        spec.response = response_of(hub, response)?;
    }
    if let Some(level) = level_of(change.level.as_deref())? {
        spec.level = level;
    }
    if let Some(secs) = change.cooldown_secs {
        spec.cooldown_secs = secs_of("cooldown_secs", secs)?;
    }
    if let Some(secs) = change.user_cooldown_secs {
        spec.user_cooldown_secs = secs_of("user_cooldown_secs", secs)?;
    }
    if let Some(description) = change.description {
        spec.description = description_of(description)?;
    }
    spec.is_enabled = change.enabled.unwrap_or(spec.is_enabled);
    Ok(spec)
}
