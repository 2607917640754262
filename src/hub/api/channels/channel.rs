//! `/api/v1/channels/{key}`: one channel.

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::Serialize;
use storage::{Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::ToSchema;

use super::ChannelLine;
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{describe, key_of, not_here, slot_of};
use crate::hub::changing::Caller;
use crate::hub::router::Hub;
use crate::messages::{ChannelMsg, ChannelReport};

/// A channel with what its actor says.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ChannelDetail {
    #[serde(flatten)]
    channel: ChannelLine,
    /// Mailbox, modules with breaker states, last events; null while the channel sleeps.
    #[schema(value_type = Option<Object>)]
    report: Option<ChannelReport>,
}

/// Shows one channel.
#[utoipa::path(get, path = "/api/v1/channels/{key}", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The channel.", body = Envelope<ChannelDetail>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope),
    (status = 503, description = "Its actor did not answer within 1 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>, Path(key): Path<String>) -> Answered<ChannelDetail> {
    let slot = slot_of(&hub, &key)?;
    let report = describe(&slot).await?;
    ok(ChannelDetail { channel: ChannelLine::here(&hub, &slot), report })
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Removed {
    key: String,
}

/// Removes a channel: the bot leaves it; its commands and settings stay for when it is added again.
#[utoipa::path(delete, path = "/api/v1/channels/{key}", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The bot leaves it.", body = Envelope<Removed>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path(key): Path<String>,
) -> Answered<Removed> {
    let key = key_of(&key)?;
    let slot = hub.deps.directory.find(&key);
    let elsewhere = || hub.deps.directory.roster().and_then(|roster| roster.find(&key));
    let id = slot.as_ref().map(|slot| slot.id).or_else(elsewhere).ok_or_else(|| not_here(&hub, &key))?;
    let (now, key) = (hub.deps.clock.now(), slot.as_ref().map_or_else(|| key.to_string(), |slot| slot.key()));
    let audit = storage::AuditEntry { channel_id: Some(id), ..caller.entry("channel.remove", key.clone()) };
    caller
        .change(&hub, "channels.channel", Scope::Global, move |tx| {
            async move {
                let removed = storage::channels::deactivate(tx, id, now).await?;
                let change = Change::new(ChangeScope::Channel(id), ChangeKind::Channels);
                Ok(Effect::new(removed).audited(audit).changed(change))
            }
            .boxed()
        })
        .await?;
    if let Some(slot) = slot.filter(|_| hub.deps.directory.roster().is_none()) {
        hub.deps.directory.remove(id);
        if let Some(actor) = slot.actor() {
            // One that is just ending is drained already.
            drop(actor.cast(ChannelMsg::Drain));
        }
    }
    ok(Removed { key })
}
