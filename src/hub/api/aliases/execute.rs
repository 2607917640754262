//! `POST /api/v1/aliases/execute`: what an alias becomes, for who runs commands elsewhere.

use axum::extract::State;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::{Effect, Scope};
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Longest user name, in characters.
const USER_CHARS_MAX: usize = 128;

/// Longest arguments, in characters.
const ARGS_CHARS_MAX: usize = 5_000;

/// The alias and what stands behind it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct AliasCall {
    channel: String,
    /// The alias, with or without `!`.
    name: String,
    /// Who typed it.
    user: String,
    #[serde(default)]
    args: String,
}

/// What an alias became.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Expanded {
    alias: String,
    /// The whole command line; send it as the `message` of a router event to run it.
    command: String,
    usage_count: i64,
}

/// Expands an alias and counts the use.
#[utoipa::path(post, path = "/api/v1/aliases/execute", tag = "commands", request_body = AliasCall,
    security(("service_key" = [])), responses(
    (status = 200, description = "The command line it stands for.", body = Envelope<Expanded>),
    (status = 400, description = "A field is unknown, missing or too long.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or alias.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(call): JsonBody<AliasCall>,
) -> Answered<Expanded> {
    if call.user.chars().count() > USER_CHARS_MAX || call.args.chars().count() > ARGS_CHARS_MAX {
        return Err(ApiError::invalid(format!(
            "user has at most {USER_CHARS_MAX} characters, args at most {ARGS_CHARS_MAX}"
        )));
    }
    let slot = slot_of(&hub, &call.channel)?;
    let name = domain::names::valid_command_name(&call.name)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let no_such_alias = || ApiError::not_found(format!("there is no alias !{name} in {}", slot.key()));
    let alias = storage::aliases::get(&hub.deps.db, slot.id, &name).await?.ok_or_else(no_such_alias)?;
    let id = alias.id;
    let done = caller
        .change(&hub, "aliases.execute", Scope::Global, move |tx| {
            async move { Ok(Effect::new(storage::aliases::bump_count(tx, id).await?)) }.boxed()
        })
        .await?;
    let usage_count = done.outcome.ok_or_else(no_such_alias)?;
    let command = domain::alias::expand(&alias.body, &call.user, &call.args);
    ok(Expanded { alias: name, command, usage_count })
}
