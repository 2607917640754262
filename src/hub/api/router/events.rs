//! `POST /api/v1/router/events`: an event, handled as if it had come from its platform; the answer holds the replies.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{CorrelationId, Outcome, Refusal};
use serde::Serialize;
use serde_json::Value;
use ulid::Ulid;
use utoipa::ToSchema;

use self::accepted::{Waiting, accept};
use self::event::RouterEvent;
use self::queued::{Queued, accept_later, answer_later};
use crate::hub::answer::{ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::input::{IdempotencyKey, JsonBody, RespondAsync};
use crate::hub::peers::{self, FromPeer};
use crate::hub::router::Hub;
use crate::hub::trace::RequestIds;
use crate::messages::{Completion, ModerationAction, Reply};

mod accepted;
pub(in crate::hub) mod batch;
mod event;
mod queued;

/// How an event was handled.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Handled {
    /// Whether it did what was asked; a refusal's words are in `response`.
    success: bool,
    /// The id of this handling: in every log line about it, and for `POST /api/v1/router/responses`.
    session_id: String,
    /// Whether a command ran.
    processed: bool,
    /// How it ended, in the words of `waddlebot_commands_total`: success, silent, cooldown, forbidden, …; when the same message
    /// came before and did not fail nothing is done again: the answer is the first one's, or `duplicate` where that has not
    /// ended yet, or more than ten minutes ago.
    status: &'static str,
    /// The command's name; absent when the event was no command.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// The module that ran; absent when none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'static str>,
    /// The text of all replies, a line each; absent when there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    /// The first reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    /// The further replies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_actions: Vec<Action>,
    /// Why it was refused; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    refusal: Option<Refusal>,
}

/// A reply that the caller is to show, or a moderator's deed that it is to do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Action {
    /// `message` or `moderation`.
    r#type: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    embed: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    moderation: Option<ModerationAction>,
}

impl From<Reply> for Action {
    fn from(reply: Reply) -> Self {
        Self {
            r#type: if reply.action.is_some() { "moderation" } else { "message" },
            content: reply.text,
            embed: reply.embed,
            components: reply.components,
            ephemeral: reply.ephemeral.then_some(true),
            moderation: reply.action,
        }
    }
}

/// Handles one event.
#[utoipa::path(post, path = "/api/v1/router/events", tag = "router", request_body = RouterEvent,
    security(("service_key" = [])), responses(
    (status = 200, description = "It was handled; the replies are in here.", body = Envelope<Handled>),
    (status = 202, description = "With `Prefer: respond-async`: it is stored and will be handled; replies go to the \
        channel's platform.", body = Envelope<Queued>),
    (status = 400, description = "A field is unknown, missing or wrong; it is named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel, or there is no such command.", body = ErrorEnvelope),
    (status = 413, description = "More than 64 KiB.", body = ErrorEnvelope),
    (status = 503, description = "The channel has too much to do; Retry-After says when.", body = ErrorEnvelope),
    (status = 504, description = "No end within 6 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    Extension(ids): Extension<RequestIds>,
    (headers, from_peer): (HeaderMap, Option<Extension<FromPeer>>),
    wishes: (IdempotencyKey, RespondAsync),
    JsonBody(event): JsonBody<RouterEvent>,
) -> Result<Response, ApiError> {
    let (IdempotencyKey(key), RespondAsync(is_async)) = wishes;
    if from_peer.is_none()
        && let Some(peer) = peers::elsewhere(&hub, &event.channel()?)
    {
        return peers::forward(&hub, &peer, event.call("/api/v1/router/events", peers::passed_on(&headers)))
            .await;
    }
    if is_async {
        let queued = accept_later(&hub, &ids, vec![(event, key)]).await?.remove(0)?;
        return Ok(answer_later(queued));
    }
    let waiting = accept(&hub, &ids, event, key)?;
    Ok(ok(waiting.finish().await?).into_response())
}

/// What the caller is told of an event that ended.
fn handled(
    session_id: CorrelationId,
    completion: Completion,
    replies: Vec<Reply>,
) -> Result<Handled, ApiError> {
    let Completion { outcome, command, module } = completion;
    let status = outcome.status();
    let refusal = match outcome {
        Outcome::Refused { refusal } => Some(refusal_or_error(refusal)?),
        Outcome::Shed => return Err(overloaded("the channel has too much to do; try again in a moment")),
        Outcome::Moved => {
            return Err(overloaded("the channel is ending or moving to another node; try again in a moment"));
        }
        _ => None,
    };
    let texts: Vec<&str> =
        replies.iter().map(|reply| reply.text.as_str()).filter(|text| !text.is_empty()).collect();
    let response = (!texts.is_empty()).then(|| texts.join("\n"));
    let mut actions = replies.into_iter().map(Action::from);
    Ok(Handled {
        success: matches!(status, "success" | "silent"),
        session_id: session_id.to_string(),
        processed: module.is_some() && refusal.is_none(),
        status,
        command: command.as_deref().map(str::to_owned),
        module,
        response,
        action: actions.next(),
        more_actions: actions.collect(),
        refusal,
    })
}

/// What chat leaves unsaid is an error here, and so is what passes by itself; other refusals are answers.
fn refusal_or_error(refusal: Refusal) -> Result<Refusal, ApiError> {
    match refusal {
        Refusal::Unknown { command } => {
            let message =
                format!("there is no command !{command} here; GET /api/v1/router/commands lists them");
            Err(ApiError::new(axum::http::StatusCode::NOT_FOUND, "unknown_command", message))
        }
        Refusal::NotLoaded => {
            Err(overloaded("the channel's settings are not there yet; try again in a moment"))
        }
        refusal => Ok(refusal),
    }
}

fn overloaded(message: &str) -> ApiError {
    ApiError::unavailable("overloaded", message, 1)
}

/// An event that came before under the same id, and whose end is not known here.
fn unanswered(session_id: CorrelationId) -> Handled {
    Handled {
        success: true,
        session_id: session_id.to_string(),
        processed: false,
        status: "duplicate",
        command: None,
        module: None,
        response: None,
        action: None,
        more_actions: Vec::new(),
        refusal: None,
    }
}

/// A new session's id. It is the event's correlation id too, so it must never repeat, whatever the caller sends.
fn new_session() -> CorrelationId {
    CorrelationId(Ulid::new())
}
