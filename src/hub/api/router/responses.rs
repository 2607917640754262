//! `POST /api/v1/router/responses`: the late answer of an outside module.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::CorrelationId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::everywhere::Everywhere;
use crate::hub::input::JsonBody;
use crate::hub::peers;
use crate::hub::router::Hub;
use crate::hub::sessions::Session;
use crate::messages::{OutboundReply, Reply, ReplySink};

/// Longest answer, in characters.
const RESPONSE_CHARS_MAX: usize = 5_000;

/// A late answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
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

/// Delivers a late answer to where the event came from, whichever node asked: once, within 60 s.
#[utoipa::path(post, path = "/api/v1/router/responses", tag = "router", request_body = LateResponse,
    security(("service_key" = [])), responses(
    (status = 200, description = "It is on its way.", body = Envelope<Delivered>),
    (status = 400, description = "A field is unknown, missing or wrong; it is named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such session, older than 60 s, or answered already.", body = ErrorEnvelope),
    (status = 410, description = "Who sent the event no longer waits.", body = ErrorEnvelope),
    (status = 503, description = "No node that answers has the session, but one does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    everywhere: Everywhere,
    JsonBody(late): JsonBody<LateResponse>,
) -> Result<Response, ApiError> {
    let n_chars = late.response.chars().count();
    if !(1..=RESPONSE_CHARS_MAX).contains(&n_chars) {
        return Err(ApiError::invalid(format!("response: must have 1 to {RESPONSE_CHARS_MAX} characters")));
    }
    let session_id = CorrelationId::parse(&late.session_id).ok_or_else(no_such_session)?;
    match hub.sessions.take(session_id, Instant::now()) {
        Some(session) => deliver(&session, session_id, late).map(IntoResponse::into_response),
        None => elsewhere(&hub, &everywhere, &late).await,
    }
}

fn no_such_session() -> ApiError {
    ApiError::not_found("there is no such session; an answer is taken once and within 60 s")
}

/// The session's id does not say which node keeps it: all are asked, and the one that has it takes it out.
async fn elsewhere(hub: &Hub, everywhere: &Everywhere, late: &LateResponse) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(late).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut is_one_silent = false;
    for (_, answer) in everywhere.send(hub, &body.into()).await {
        match answer {
            Ok(answer) if answer.status != StatusCode::NOT_FOUND => return Ok(peers::answered(answer)),
            answer => is_one_silent |= answer.is_err(),
        }
    }
    Err(if is_one_silent {
        ApiError::unavailable("node_silent", "a node that may have the session does not answer; try again", 1)
    } else {
        no_such_session()
    })
}

fn deliver(session: &Session, session_id: CorrelationId, late: LateResponse) -> Answered<Delivered> {
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
        received: Instant::now(),
        correlation_id: session_id,
        permit: None,
    });
    ok(Delivered { session_id: session_id.to_string(), delivered: true })
}
