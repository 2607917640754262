//! `/api/v1/memories/quotes/{community}/{number}`: one quote, named or drawn.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::Serialize;
use storage::{AuditEntry, Effect, Scope, quotes};
use ulid::Ulid;
use utoipa::ToSchema;

use super::{QuoteLine, no_such_quote};
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::router::Hub;

/// Shows a quote.
#[utoipa::path(get, path = "/api/v1/memories/quotes/{community}/{number}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The quote's number")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The quote.", body = Envelope<QuoteLine>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such community or quote.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(
    State(hub): State<Hub>,
    Path((community, number)): Path<(String, String)>,
) -> Answered<QuoteLine> {
    let community_id = community_of(&hub, &community).await?;
    let quote = quotes::get(&hub.deps.db, community_id, number_of(&number)?).await?;
    quote.map_or_else(|| Err(no_such_quote()), |quote| ok(QuoteLine::from(quote)))
}

/// Draws a quote, each as likely as the others.
#[utoipa::path(get, path = "/api/v1/memories/quotes/{community}/random", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels")),
    security(("service_key" = [])), responses(
    (status = 200, description = "A quote.", body = Envelope<QuoteLine>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such community, or it has no quotes.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn random(
    State(hub): State<Hub>,
    Path(community): Path<String>,
) -> Answered<QuoteLine> {
    let community_id = community_of(&hub, &community).await?;
    let draw = u64::try_from(Ulid::new().random() >> 16).expect("80 bits less 16");
    let quote = quotes::random(&hub.deps.db, community_id, draw).await?;
    quote
        .map(QuoteLine::from)
        .map_or_else(|| Err(ApiError::not_found("this community has no quotes yet")), ok)
}

/// The number of a deleted quote.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RemovedQuote {
    id: i64,
}

/// Deletes a quote; only who kept it, moderators and above may.
#[utoipa::path(delete, path = "/api/v1/memories/quotes/{community}/{number}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The quote's number"),
    ("X-Acting-User" = Option<String>, Header, description = "Who deletes it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is gone.", body = Envelope<RemovedQuote>),
    (status = 400, description = "A community or X-Acting-User that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User may not delete it.", body = ErrorEnvelope),
    (status = 404, description = "No such community or quote.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path((community, number)): Path<(String, String)>,
) -> Answered<RemovedQuote> {
    let community_id = community_of(&hub, &community).await?;
    let number = number_of(&number)?;
    let level = caller.acting().level_in(&hub.deps.db, community_id).await?;
    // Who kept it never changes; a quote that is gone is a repeat, whose outcome is stored, or a 404.
    let right = match quotes::get(&hub.deps.db, community_id, number).await? {
        Some(quote) => Some(caller.acting().right_over(level, &quote.created_by)?),
        None => None,
    };
    let audit = AuditEntry {
        community_id: Some(community_id),
        detail: serde_json::json!({ "right": right.map(|right| format!("{right:?}").to_lowercase()) }),
        ..caller.entry("quote.remove", number.to_string())
    };
    let done = caller
        .change(&hub, "memories.quotes.quote", Scope::Community(community_id), move |tx| {
            async move {
                let removed = right.is_some() && quotes::remove(tx, community_id, number).await?.is_some();
                let effect = Effect::new(removed);
                Ok(if removed { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(RemovedQuote { id: number }) } else { Err(no_such_quote()) }
}

/// Reads the number in a path.
pub(super) fn number_of(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| no_such_quote())
}
