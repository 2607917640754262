//! `POST /api/v1/queue/replay`: messages that were done are handed out anew.

use axum::extract::State;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::{Effect, Scope};
use utoipa::ToSchema;

use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Messages of one call.
const REPLAYED_MAX: u32 = 1_000;

/// What is to be replayed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct Replay {
    #[schema(example = "router_events")]
    topic: String,
    /// The first message's id; those that are not done are left alone.
    from_id: i64,
}

/// How far a replay came.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct ReplayStep {
    replayed: usize,
    /// Give it as `from_id` for the next step; null when nothing is left.
    next_from_id: Option<i64>,
}

/// Hands out again what is done, at most 1,000 messages a call; effects that were applied within 48 h are not applied
/// a second time.
#[utoipa::path(post, path = "/api/v1/queue/replay", tag = "operators", request_body = Replay,
    security(("service_key" = [])), responses(
    (status = 200, description = "How many, and where to go on.", body = Envelope<ReplayStep>),
    (status = 400, description = "A field is unknown, missing or wrong.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(Replay { topic, from_id }): JsonBody<Replay>,
) -> Answered<ReplayStep> {
    let mut entry = caller.entry("queue.replay", topic.clone());
    let done = caller
        .change(&hub, "queue.replay", Scope::Global, move |tx| {
            async move {
                let step = storage::queue::replay(tx, &topic, from_id, REPLAYED_MAX).await?;
                let replayed = step.messages.len();
                entry.detail = json!({ "from_id": from_id, "replayed": replayed });
                Ok(Effect::new(ReplayStep { replayed, next_from_id: step.next_id }).audited(entry))
            }
            .boxed()
        })
        .await?;
    ok(done.outcome)
}
