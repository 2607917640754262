//! `/api/v1/channels`: the channels, whichever node serves them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use domain::{ChannelKey, CommunityId};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::channels::Channel;
use storage::{Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::ToSchema;

use crate::cluster::ChannelSlot;
use crate::cluster::SlotSpec;
use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::key_of;
use crate::hub::changing::Caller;
use crate::hub::everywhere::{Everywhere, Missing};
use crate::hub::input::{JsonBody, Queried};
use crate::hub::page::{Page, PageQuery, page_of, rows_of};
use crate::hub::router::Hub;

pub(in crate::hub) mod channel;
pub(in crate::hub) mod events;
pub(in crate::hub) mod import;
pub(in crate::hub) mod modules;
pub(in crate::hub) mod recording;
pub(in crate::hub) mod replay;
pub(in crate::hub) mod restart;

/// A channel in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct ChannelLine {
    id: String,
    /// `platform:login`.
    key: String,
    platform: String,
    login: String,
    /// Null until the platform told us.
    platform_id: Option<String>,
    community_id: String,
    /// Whether its actor runs; a channel sleeps until something happens in it.
    running: bool,
    /// Events waiting or under way.
    mailbox: usize,
    /// Plain lines since the node started.
    lines: u64,
    /// The node that owns it; null while it is on its way to one.
    node: Option<String>,
    /// How often it changed its owner; null where one node owns everything.
    epoch: Option<i64>,
}

/// A page of channels, and the nodes whose channels are not in it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ChannelPage {
    #[serde(flatten)]
    page: Page<ChannelLine>,
    #[serde(flatten)]
    missing: Missing,
}

impl ChannelLine {
    /// A channel of this node.
    fn here(hub: &Hub, slot: &ChannelSlot) -> Self {
        Self {
            id: slot.id.to_string(),
            key: slot.key(),
            platform: slot.platform.to_string(),
            login: slot.login.clone(),
            platform_id: slot.platform_id().map(|id| id.to_string()),
            community_id: slot.community_id.to_string(),
            running: slot.actor().is_some(),
            mailbox: slot.lane.in_flight(),
            lines: slot.lines(),
            node: Some(hub.deps.node.id.clone()),
            epoch: slot.ownership.map(|ownership| ownership.epoch.0),
        }
    }
}

impl From<Channel> for ChannelLine {
    /// A channel that is not on this node.
    fn from(channel: Channel) -> Self {
        Self {
            id: channel.id.to_string(),
            key: format!("{}:{}", channel.platform, channel.login),
            platform: channel.platform.to_string(),
            login: channel.login,
            platform_id: channel.platform_id,
            community_id: channel.community_id.to_string(),
            running: false,
            mailbox: 0,
            lines: 0,
            node: None,
            epoch: None,
        }
    }
}

/// Lists the channels of all nodes in the order of their keys.
#[utoipa::path(get, path = "/api/v1/channels", tag = "operators", params(PageQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of channels.", body = Envelope<ChannelPage>),
    (status = 400, description = "A wrong limit.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    everywhere: Everywhere,
    Queried(query): Queried<PageQuery>,
) -> Answered<ChannelPage> {
    let limit = rows_of(query.limit)?;
    let mut lines = lines_here(&hub, &query.cursor.unwrap_or_default(), limit as usize);
    let others = everywhere.parts::<Page<ChannelLine>>(&hub).await;
    lines.extend(others.parts.into_iter().flat_map(|(_, page)| page.items));
    lines.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    // One that moved meanwhile may be told of twice.
    lines.dedup_by(|one, other| one.key == other.key);
    lines.truncate(limit as usize);
    ok(ChannelPage { page: page_of(lines, limit, |line| line.key.clone()), missing: others.missing })
}

/// The node's own first channels behind a key, in no order.
fn lines_here(hub: &Hub, after: &str, n_wanted: usize) -> Vec<ChannelLine> {
    let slots = hub.deps.directory.all().into_iter();
    let mut slots: Vec<(String, Arc<ChannelSlot>)> =
        slots.map(|slot| (slot.key(), slot)).filter(|(key, _)| key.as_str() > after).collect();
    if slots.len() > n_wanted {
        slots.select_nth_unstable_by(n_wanted, |(one, _), (other, _)| one.cmp(other));
        slots.truncate(n_wanted);
    }
    slots.iter().map(|(_, slot)| ChannelLine::here(hub, slot)).collect()
}

/// The channel to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewChannel {
    /// `platform:login`.
    #[schema(example = "twitch:waddlebot")]
    key: String,
    /// Key of a channel whose commands, counters and points it shares; absent: it begins a community of its own.
    community_of: Option<String>,
}

/// A channel after it was added.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct AddedChannel {
    /// False when the bot was there already.
    added: bool,
    #[serde(flatten)]
    channel: ChannelLine,
}

/// Adds a channel; one that is there stays as it is.
#[utoipa::path(post, path = "/api/v1/channels", tag = "operators", request_body = NewChannel,
    security(("service_key" = [])), responses(
    (status = 200, description = "The bot was there already.", body = Envelope<AddedChannel>),
    (status = 201, description = "The bot joins it now.", body = Envelope<AddedChannel>),
    (status = 400, description = "That is no key.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 409, description = "It belongs to another community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(new): JsonBody<NewChannel>,
) -> Answered<AddedChannel> {
    let key = key_of(&new.key)?;
    let community = match &new.community_of {
        Some(other) => Some(community_of(&hub, other).await?),
        None => None,
    };
    let n_added = ensure(&hub, &caller, "channels", (vec![key.clone()], community)).await?;
    let channel = match hub.deps.directory.find(&key) {
        Some(slot) => ChannelLine::here(&hub, &slot),
        None => ChannelLine::from(stored(&hub, &key).await?.ok_or_else(|| {
            ApiError::conflict(format!(
                "{key} was removed meanwhile; send another Idempotency-Key to add it again"
            ))
        })?),
    };
    if community.is_some_and(|community| community.to_string() != channel.community_id) {
        return Err(ApiError::conflict(format!("{key} belongs to another community already")));
    }
    let status = if n_added > 0 { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer(status, AddedChannel { added: n_added > 0, channel }))
}

/// The channel as the storage has it, unless it was removed.
pub(in crate::hub) async fn stored(hub: &Hub, key: &ChannelKey) -> Result<Option<Channel>, ApiError> {
    Ok(storage::channels::by_key(&hub.deps.db, key).await?.filter(|channel| channel.is_active))
}

async fn community_of(hub: &Hub, key: &str) -> Result<CommunityId, ApiError> {
    stored(hub, &key_of(key)?)
        .await?
        .map(|channel| channel.community_id)
        .ok_or_else(|| ApiError::invalid(format!("community_of: there is no channel {key}; add it first")))
}

/// Writes the channels and makes the node know them; returns how many are new. Without a community each gets its own.
async fn ensure(
    hub: &Hub,
    caller: &Caller,
    endpoint: &'static str,
    (keys, community): (Vec<ChannelKey>, Option<CommunityId>),
) -> Result<usize, ApiError> {
    let now = hub.deps.clock.now();
    let target = match keys.as_slice() {
        [key] => key.to_string(),
        keys => format!("{} channels", keys.len()),
    };
    let audit = caller.entry("channel.add", target);
    let wanted = keys.clone();
    let done = caller
        .change(hub, endpoint, Scope::Global, move |tx| {
            async move {
                let mut n_added = 0;
                for key in &wanted {
                    let ensured = storage::channels::ensure(&mut *tx, key, community, now).await?;
                    n_added += usize::from(ensured.is_new);
                }
                let effect =
                    Effect::new(n_added).changed(Change::new(ChangeScope::Global, ChangeKind::Channels));
                Ok(if n_added > 0 { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    if hub.deps.directory.roster().is_some() {
        // The change was announced; the cluster decides which node takes them.
        return Ok(done.outcome);
    }
    let mut specs = Vec::with_capacity(keys.len());
    for key in keys.iter().filter(|key| hub.deps.directory.find(key).is_none()) {
        specs.extend(stored(hub, key).await?.map(SlotSpec::from));
    }
    if !specs.is_empty() {
        hub.deps.directory.add(specs);
    }
    Ok(done.outcome)
}
