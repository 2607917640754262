//! Questions to channel actors: found by key, asked with a time limit, never waited for longer.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use domain::ChannelKey;
use ractor::RpcReplyPort;
use ractor::rpc::CallResult;

use super::answer::ApiError;
use super::router::Hub;
use crate::cluster::ChannelSlot;
use crate::messages::{ChannelMsg, ChannelReport, ModuleAction};

/// Time for an actor's answer.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads a key as callers write it.
///
/// # Errors
/// 400 with what to write instead.
pub(super) fn key_of(text: &str) -> Result<ChannelKey, ApiError> {
    text.parse().map_err(|error: domain::ChannelKeyError| ApiError::invalid(error.to_string()))
}

/// The channel of that key.
///
/// # Errors
/// 400 for what is no key, 404 that says how to add the channel.
pub(super) fn slot_of(hub: &Hub, key: &str) -> Result<Arc<ChannelSlot>, ApiError> {
    let key = key_of(key)?;
    hub.deps.directory.find(&key).ok_or_else(|| not_here(hub, &key))
}

/// Why this node has no channel of that key.
pub(super) fn not_here(hub: &Hub, key: &ChannelKey) -> ApiError {
    match hub.deps.directory.roster().and_then(|roster| roster.find(key)) {
        Some(_) => ApiError::unavailable(
            "not_owner",
            format!(
                "{key} is served by another node of the cluster, or on its way to one; ask the others' hubs"
            ),
            1,
        ),
        None => unknown_channel(key),
    }
}

/// 404 of a channel that the node does not know.
pub(super) fn unknown_channel(key: &ChannelKey) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_channel",
        format!(
            "the bot is not in {key}; add it with POST /api/v1/channels or `waddlebot channels add {key}`"
        ),
    )
}

/// What the channel says of itself; `None` while it is passive.
///
/// # Errors
/// 503 when its actor does not answer within 1 s.
pub(super) async fn describe(slot: &ChannelSlot) -> Result<Option<ChannelReport>, ApiError> {
    ask(slot, ChannelMsg::Describe).await
}

/// Does something to a module of the channel.
///
/// # Errors
/// 503 when the actor does not answer, 409 with the channel's own words when it refuses.
pub(super) async fn operate(
    slot: &ChannelSlot,
    module: &str,
    action: ModuleAction,
) -> Result<bool, ApiError> {
    let module = module.to_owned();
    let answer = ask(slot, |reply| ChannelMsg::Operate { module, action, reply }).await?;
    answer.transpose().map(|done| done.is_some()).map_err(ApiError::conflict)
}

async fn ask<T: Send + 'static>(
    slot: &ChannelSlot,
    question: impl FnOnce(RpcReplyPort<T>) -> ChannelMsg,
) -> Result<Option<T>, ApiError> {
    let Some(actor) = slot.actor() else { return Ok(None) };
    match actor.call(question, Some(ASK_TIMEOUT)).await {
        Ok(CallResult::Success(answer)) => Ok(Some(answer)),
        Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => {
            let message = format!("{} did not answer within 1 s; try again", slot.key());
            Err(ApiError::unavailable("channel_silent", message, 1))
        }
    }
}
