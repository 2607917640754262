//! `GET /api/v1/queue`: what waits in the queue, and how long.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::router::Hub;

pub(in crate::hub) mod dead;
pub(in crate::hub) mod replay;

/// How many messages of a topic stand where.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct TopicDepth {
    topic: String,
    /// `waiting` (never tried), `retry` (failed, tried again), `running` or `dead`.
    state: String,
    messages: i64,
    oldest_age_secs: i64,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct QueueDepth {
    /// Empty when everything is done.
    depths: Vec<TopicDepth>,
}

/// Shows what is not done.
#[utoipa::path(get, path = "/api/v1/queue", tag = "operators", security(("service_key" = [])), responses(
    (status = 200, description = "Messages by topic and state.", body = Envelope<QueueDepth>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<QueueDepth> {
    let now = hub.deps.clock.now();
    let depths = storage::queue::depth(&hub.deps.db).await?;
    let depths = depths.into_iter().map(|depth| TopicDepth {
        topic: depth.topic,
        state: depth.state,
        messages: depth.n_messages,
        oldest_age_secs: (now - depth.oldest_at).num_seconds().max(0),
    });
    ok(QueueDepth { depths: depths.collect() })
}
