//! `/api/v1/cluster/pins`: channels that an operator tied to a node. The paths do not call their channel `key`: a pin is
//! changed here, not by the node that it may be about to leave.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use domain::{ChannelId, ChannelKey};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::{AuditEntry, Change, ChangeKind, ChangeScope, Effect, Scope, pins};
use utoipa::ToSchema;

use crate::cluster::Gateway;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{key_of, unknown_channel};
use crate::hub::changing::Caller;
use crate::hub::input::{JsonBody, Queried};
use crate::hub::page::{Page, PageQuery, page_of, rows_of};
use crate::hub::router::Hub;

/// A channel that is tied to a node.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct PinLine {
    #[serde(skip)]
    id: ChannelId,
    /// `platform:login`.
    key: String,
    node: String,
    /// The node that owns it now; null while it is on its way. While its node is not on the ring, the ring decides.
    owner: Option<String>,
    /// `platform:user_id`, or `service`.
    pinned_by: String,
    since: DateTime<Utc>,
}

impl From<pins::Pin> for PinLine {
    fn from(pin: pins::Pin) -> Self {
        let pins::Pin { channel_id: id, channel_key: key, node, owner, pinned_by, created_at: since } = pin;
        Self { id, key, node, owner, pinned_by, since }
    }
}

/// Lists the channels that are tied to nodes.
#[utoipa::path(get, path = "/api/v1/cluster/pins", tag = "operators", params(PageQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of pins.", body = Envelope<Page<PinLine>>),
    (status = 400, description = "A wrong limit or cursor.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    Queried(query): Queried<PageQuery>,
) -> Answered<Page<PinLine>> {
    let limit = rows_of(query.limit)?;
    let id = |text: String| {
        ChannelId::parse(&text).ok_or_else(|| ApiError::invalid("cursor: give next_cursor back as it was"))
    };
    let after = query.cursor.map(id).transpose()?;
    let pins = pins::list(&hub.deps.db, after, limit).await?;
    let lines = pins.into_iter().map(PinLine::from).collect();
    ok(page_of(lines, limit, |line: &PinLine| line.id.to_string()))
}

/// Where the channel belongs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewPin {
    /// The node's id.
    node: String,
}

/// A channel that sets out for its node.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Placed {
    key: String,
    /// The node that it is tied to; null: the ring decides.
    pin: Option<String>,
    /// The node that is to serve it; null while nobody can.
    goes_to: Option<String>,
}

/// Ties a channel to a node, which takes it over at once.
#[utoipa::path(put, path = "/api/v1/cluster/pins/{channel}", tag = "operators", request_body = NewPin,
    params(("channel" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is tied; it goes there now.", body = Envelope<Placed>),
    (status = 400, description = "That is no key.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope),
    (status = 409, description = "That node does not serve channels now.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn pin(
    State(hub): State<Hub>,
    caller: Caller,
    Path(channel): Path<String>,
    JsonBody(NewPin { node }): JsonBody<NewPin>,
) -> Answered<Placed> {
    let nodes = gateway(&hub)?.owners();
    if !nodes.iter().any(|known| known.0 == node) {
        let nodes: Vec<_> = nodes.into_iter().map(|node| node.0).collect();
        return Err(ApiError::conflict(format!(
            "no node {node} serves channels now; there are {}",
            nodes.join(", ")
        )));
    }
    let (id, key) = channel_of(&hub, &channel).await?;
    let now = hub.deps.clock.now();
    let entry = caller.entry("cluster.pin", key.clone());
    let audit = AuditEntry { channel_id: Some(id), detail: serde_json::json!({ "node": node }), ..entry };
    let done = caller
        .change(&hub, "cluster.pins", Scope::Global, move |tx| {
            async move {
                pins::set(tx, id, (&node, &audit.actor), now).await?;
                Ok(Effect::new(node).audited(audit).changed(moved(id)))
            }
            .boxed()
        })
        .await?;
    ok(Placed { key, pin: Some(done.outcome.clone()), goes_to: Some(done.outcome) })
}

/// Unties a channel: it goes where the ring says.
#[utoipa::path(delete, path = "/api/v1/cluster/pins/{channel}", tag = "operators",
    params(("channel" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The ring decides.", body = Envelope<Placed>),
    (status = 400, description = "That is no key.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there, or it is not tied.", body = ErrorEnvelope),
    (status = 409, description = "This node is alone.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn unpin(
    State(hub): State<Hub>,
    caller: Caller,
    Path(channel): Path<String>,
) -> Answered<Placed> {
    let gateway = gateway(&hub)?;
    let (id, key) = channel_of(&hub, &channel).await?;
    let audit = AuditEntry { channel_id: Some(id), ..caller.entry("cluster.unpin", key.clone()) };
    let done = caller
        .change(&hub, "cluster.pins.remove", Scope::Global, move |tx| {
            async move {
                let was_pinned = pins::remove(tx, id).await?;
                let effect = Effect::new(was_pinned);
                Ok(if was_pinned { effect.audited(audit).changed(moved(id)) } else { effect })
            }
            .boxed()
        })
        .await?;
    if !done.outcome {
        return Err(ApiError::not_found(format!("{key} is tied to no node")));
    }
    ok(Placed { key, pin: None, goes_to: gateway.owner_unpinned(id).map(|node| node.0) })
}

/// Every node places the channel anew.
const fn moved(id: ChannelId) -> Change {
    Change::new(ChangeScope::Channel(id), ChangeKind::Channels)
}

fn gateway(hub: &Hub) -> Result<&Gateway, ApiError> {
    let alone = || ApiError::conflict("this node is alone: [cluster] enabled = true makes it one of several");
    hub.deps.gateway.as_ref().ok_or_else(alone)
}

/// The channel's id and its key.
async fn channel_of(hub: &Hub, key: &str) -> Result<(ChannelId, String), ApiError> {
    let key: ChannelKey = key_of(key)?;
    let stored = storage::channels::by_key(&hub.deps.db, &key).await?.filter(|channel| channel.is_active);
    let channel = stored.ok_or_else(|| unknown_channel(&key))?;
    Ok((channel.id, format!("{}:{}", channel.platform, channel.login)))
}
