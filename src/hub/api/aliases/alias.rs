//! `/api/v1/aliases/{id}`: one alias.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::Serialize;
use storage::{Change, ChangeKind, ChangeScope, Effect, Scope};
use ulid::Ulid;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::changing::Caller;
use crate::hub::router::Hub;

/// The name of a removed alias.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RemovedAlias {
    name: String,
}

/// Removes an alias.
#[utoipa::path(delete, path = "/api/v1/aliases/{id}", tag = "commands",
    params(("id" = String, Path, description = "The alias's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is gone.", body = Envelope<RemovedAlias>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such alias.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<RemovedAlias> {
    let no_such_alias =
        || ApiError::not_found("there is no alias of that id; GET /api/v1/aliases lists them");
    let id = Ulid::from_string(&id).map_err(|_| no_such_alias())?;
    let mut audit = caller.entry("alias.remove", id.to_string());
    let done = caller
        .change(&hub, "aliases.alias", Scope::Global, move |tx| {
            async move {
                let Some(alias) = storage::aliases::remove_by_id(tx, id).await? else {
                    return Ok(Effect::new(None));
                };
                audit.channel_id = Some(alias.channel_id);
                audit.target = format!("!{}", alias.name);
                let change = Change::new(ChangeScope::Channel(alias.channel_id), ChangeKind::Aliases);
                Ok(Effect::new(Some(alias.name)).audited(audit).changed(change))
            }
            .boxed()
        })
        .await?;
    done.outcome.map_or_else(|| Err(no_such_alias()), |name| ok(RemovedAlias { name }))
}
