//! `/api/v1/memories/quotes/{community}/{number}/vote`: what a user thinks of a quote.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::quotes::{self, Vote};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use super::quote::number_of;
use super::{no_such_quote, person_of};
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// How somebody votes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct VoteBody {
    vote_type: VoteType,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum VoteType {
    #[serde(alias = "upvote")]
    Up,
    #[serde(alias = "downvote")]
    Down,
    /// Takes the vote back.
    None,
}

/// The votes of a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct VotesLine {
    /// Up minus down.
    votes: i64,
    upvotes: i64,
    downvotes: i64,
}

/// Sets the one vote of whom the call acts for; another one switches it, `none` takes it back.
#[utoipa::path(post, path = "/api/v1/memories/quotes/{community}/{number}/vote", tag = "memories", request_body = VoteBody,
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The quote's number"),
    ("X-Acting-User" = String, Header, description = "Who votes, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The quote's votes now.", body = Envelope<VotesLine>),
    (status = 400, description = "A wrong vote, or nobody who votes.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such community or quote.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    Path((community, number)): Path<(String, String)>,
    JsonBody(body): JsonBody<VoteBody>,
) -> Answered<VotesLine> {
    let acting = caller.acting().clone();
    if acting.account().is_none() {
        return Err(ApiError::invalid(
            "a vote needs its voter; name them in X-Acting-User, such as twitch:42",
        ));
    }
    let community_id = community_of(&hub, &community).await?;
    let (number, now) = (number_of(&number)?, hub.deps.clock.now());
    let vote = match body.vote_type {
        VoteType::Up => Vote::Up,
        VoteType::Down => Vote::Down,
        VoteType::None => Vote::Withdrawn,
    };
    let audit =
        AuditEntry { community_id: Some(community_id), ..caller.entry("quote.vote", number.to_string()) };
    let done = caller
        .change(&hub, "memories.quotes.vote", Scope::Community(community_id), move |tx| {
            async move {
                let (who, person_id) = (acting.to_string(), person_of(&mut *tx, &acting).await?);
                let votes = quotes::vote(tx, (community_id, number), (&who, person_id), vote, now).await?;
                let effect = Effect::new(votes);
                Ok(if votes.is_some() { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    let votes = done.outcome.ok_or_else(no_such_quote)?;
    ok(VotesLine { votes: votes.sum(), upvotes: votes.up, downvotes: votes.down })
}
