//! `POST /api/v1/channels/{key}/modules/{name}/restart|enable|disable`: one module in one channel.

use std::sync::Arc;

use axum::extract::{Path, State};
use futures_util::FutureExt;
use serde::Serialize;
use storage::{AuditEntry, Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::ToSchema;

use crate::cluster::ChannelSlot;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{operate, slot_of};
use crate::hub::changing::Caller;
use crate::hub::router::Hub;
use crate::messages::ModuleAction;

/// What was done to which module.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Operated {
    channel: String,
    module: &'static str,
    /// Whether the channel's actor runs and did it at once; a sleeping one does it when it wakes.
    running: bool,
}

/// Closes the module's breaker, forgets of what it is suspected and starts it anew.
#[utoipa::path(post, path = "/api/v1/channels/{key}/modules/{name}/restart", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id"),
           ("name" = String, Path, description = "The module's name")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It starts anew.", body = Envelope<Operated>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or module.", body = ErrorEnvelope),
    (status = 503, description = "The channel did not answer within 1 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn restart(
    State(hub): State<Hub>,
    Path((key, name)): Path<(String, String)>,
) -> Answered<Operated> {
    let (slot, module) = place_of(&hub, &key, &name)?;
    let mut tx = hub.deps.db.begin().await?;
    storage::suspects::forgive(&mut tx, slot.id, module).await?;
    let change = Change::new(ChangeScope::Channel(slot.id), ChangeKind::Modules);
    let made = storage::changes::append_all(&mut tx, &[change], hub.deps.clock.now()).await?;
    tx.commit().await?;
    hub.deps.directory.announce(&made);
    let running = operate(&slot, module, ModuleAction::Restart).await?;
    ok(Operated { channel: slot.key(), module, running })
}

/// Switches the module on in this channel and forgets of what it is suspected.
#[utoipa::path(post, path = "/api/v1/channels/{key}/modules/{name}/enable", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id"),
           ("name" = String, Path, description = "The module's name")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is on.", body = Envelope<Operated>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or module.", body = ErrorEnvelope),
    (status = 503, description = "The channel did not answer within 1 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn enable(
    State(hub): State<Hub>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Answered<Operated> {
    switch(&hub, &caller, (&key, &name), ModuleAction::Enable).await
}

/// Switches the module off in this channel.
#[utoipa::path(post, path = "/api/v1/channels/{key}/modules/{name}/disable", tag = "operators",
    params(("key" = String, Path, description = "platform:login or platform:platform_id"),
           ("name" = String, Path, description = "The module's name")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is off.", body = Envelope<Operated>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or module.", body = ErrorEnvelope),
    (status = 503, description = "The channel did not answer within 1 s.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn disable(
    State(hub): State<Hub>,
    caller: Caller,
    Path((key, name)): Path<(String, String)>,
) -> Answered<Operated> {
    switch(&hub, &caller, (&key, &name), ModuleAction::Disable).await
}

/// Stores the switch, then tells the running actor.
async fn switch(
    hub: &Hub,
    caller: &Caller,
    (key, name): (&str, &str),
    action: ModuleAction,
) -> Answered<Operated> {
    let (slot, module) = place_of(hub, key, name)?;
    let (id, now, enabled) = (slot.id, hub.deps.clock.now(), action == ModuleAction::Enable);
    let (deed, endpoint) = if enabled {
        ("module.enable", "channels.modules.enable")
    } else {
        ("module.disable", "channels.modules.disable")
    };
    let audit = AuditEntry { channel_id: Some(id), ..caller.entry(deed, module) };
    caller
        .change(hub, endpoint, Scope::Global, move |tx| {
            async move {
                storage::module_states::set(tx, id, module, enabled, now).await?;
                if enabled {
                    storage::suspects::forgive(tx, id, module).await?;
                }
                let change = Change::new(ChangeScope::Channel(id), ChangeKind::Modules);
                Ok(Effect::new(()).audited(audit).changed(change))
            }
            .boxed()
        })
        .await?;
    let running = operate(&slot, module, action).await?;
    ok(Operated { channel: slot.key(), module, running })
}

/// The channel and the module's own name.
fn place_of(hub: &Hub, key: &str, name: &str) -> Result<(Arc<ChannelSlot>, &'static str), ApiError> {
    let slot = slot_of(hub, key)?;
    let known = hub.deps.modules.iter().map(|module| module.name);
    let module = known.clone().find(|module| *module == name).ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no such module; there are {}",
            known.collect::<Vec<_>>().join(", ")
        ))
    })?;
    Ok((slot, module))
}
