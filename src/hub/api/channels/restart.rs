//! `POST /api/v1/channels/{key}/restart`: starts a channel's actor anew, a parked one too.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{ASK_TIMEOUT, slot_of};
use crate::hub::router::Hub;

/// What was restarted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Restarted {
    key: String,
}

/// Starts a channel's actor anew; what waits in its queue is kept.
#[utoipa::path(post, path = "/api/v1/channels/{key}/restart", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It starts anew.", body = Envelope<Restarted>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope),
    (status = 409, description = "It could not be restarted; the message says why.", body = ErrorEnvelope),
    (status = 503, description = "The node did not answer within 1 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(State(hub): State<Hub>, Path(key): Path<String>) -> Answered<Restarted> {
    let slot = slot_of(&hub, &key)?;
    let key = slot.key();
    tracing::info!(channel.key = key, "an operator restarts a channel");
    match tokio::time::timeout(ASK_TIMEOUT, hub.deps.operator.restart_channel(slot.id)).await {
        Ok(Ok(())) => ok(Restarted { key }),
        Ok(Err(why)) => Err(ApiError::new(StatusCode::CONFLICT, "conflict", why)),
        Err(_elapsed) => Err(ApiError::unavailable(
            "channel_silent",
            format!("{key} did not stop within 1 s; try again"),
            1,
        )),
    }
}
