//! `POST /api/v1/router/responses`: the late answer of an outside module.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use domain::CorrelationId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;
use crate::messages::{OutboundReply, Reply, ReplySink};

/// Longest answer, in characters.
const RESPONSE_CHARS_MAX: usize = 5_000;

/// A late answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct LateResponse {
    /// The id that the event's handling got.
    session_id: String,
    /// 1 to 5,000 characters.
    response: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    embed: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    components: Option<Value>,
    #[serde(default)]
    ephemeral: bool,
}

/// That the answer is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Delivered {
    session_id: String,
    delivered: bool,
}

/// Delivers a late answer to where the event came from: once, within 60 s.
#[utoipa::path(post, path = "/api/v1/router/responses", tag = "router", request_body = LateResponse,
    security(("service_key" = [])), responses(
    (status = 200, description = "It is on its way.", body = Envelope<Delivered>),
    (status = 400, description = "A field is unknown, missing or wrong; it is named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such session, older than 60 s, or answered already.", body = ErrorEnvelope),
    (status = 410, description = "Who sent the event no longer waits.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    JsonBody(late): JsonBody<LateResponse>,
) -> Answered<Delivered> {
    let n_chars = late.response.chars().count();
    if !(1..=RESPONSE_CHARS_MAX).contains(&n_chars) {
        return Err(ApiError::invalid(format!("response: must have 1 to {RESPONSE_CHARS_MAX} characters")));
    }
    let no_such_session =
        || ApiError::not_found("there is no such session; an answer is taken once and within 60 s");
    let session_id = CorrelationId::parse(&late.session_id).ok_or_else(no_such_session)?;
    let received = Instant::now();
    let session = hub.sessions.take(session_id, received).ok_or_else(no_such_session)?;
    let sink = session.sink.upgrade().filter(|sink| sink.is_open()).ok_or_else(|| {
        ApiError::new(
            StatusCode::GONE,
            "caller_gone",
            "who sent the event got its answer and no longer waits",
        )
    })?;
    let reply = Reply {
        text: late.response,
        embed: late.embed,
        components: late.components,
        ephemeral: late.ephemeral,
        ..Reply::default()
    };
    sink.deliver(OutboundReply {
        channel_id: session.channel_id,
        reply,
        in_reply_to: None,
        received,
        correlation_id: session_id,
        permit: None,
    });
    ok(Delivered { session_id: session_id.to_string(), delivered: true })
}
