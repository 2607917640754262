//! `/api/v1/queue/dead/{id}`: one dead letter is tried again or dropped.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::Serialize;
use storage::{Effect, Scope};
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::changing::Caller;
use crate::hub::router::Hub;

/// The message that it was about.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Letter {
    id: i64,
}

/// Gives a dead letter three more attempts.
#[utoipa::path(post, path = "/api/v1/queue/dead/{id}/retry", tag = "operators",
    params(("id" = i64, Path, description = "The message's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is tried again within a second.", body = Envelope<Letter>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such dead letter.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn retry(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<Letter> {
    let id = parse(&id)?;
    let entry = caller.entry("queue.retry", id.to_string());
    let done = caller
        .change(&hub, "queue.dead.retry", Scope::Global, move |tx| {
            async move {
                let is_there = storage::queue::retry_dead(tx, id).await?.is_some();
                let effect = Effect::new(is_there);
                Ok(if is_there { effect.audited(entry) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(Letter { id }) } else { Err(no_such_letter()) }
}

/// Drops a dead letter for good; a redelivery of it is still recognized for 48 h.
#[utoipa::path(delete, path = "/api/v1/queue/dead/{id}", tag = "operators",
    params(("id" = i64, Path, description = "The message's id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is dropped.", body = Envelope<Letter>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such dead letter.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<Letter> {
    let id = parse(&id)?;
    let entry = caller.entry("queue.drop", id.to_string());
    let done = caller
        .change(&hub, "queue.dead.drop", Scope::Global, move |tx| {
            async move {
                let is_there = storage::queue::drop_dead(tx, id).await?;
                let effect = Effect::new(is_there);
                Ok(if is_there { effect.audited(entry) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(Letter { id }) } else { Err(no_such_letter()) }
}

fn parse(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| no_such_letter())
}

fn no_such_letter() -> ApiError {
    ApiError::not_found("there is no dead letter of that id; GET /api/v1/queue/dead lists them")
}
