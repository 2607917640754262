//! `/api/v1/cluster`: the nodes, their leases and what they own.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::cluster::NodeReport;
use utoipa::ToSchema;

use super::status;
use crate::cluster::Gateway;
use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::everywhere::{Everywhere, Missing};
use crate::hub::peers;
use crate::hub::router::Hub;

pub(in crate::hub) mod pins;

/// Where each node says how it is.
const STATUS: &str = "/api/v1/status";

/// A node of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ClusterNode {
    id: String,
    /// The process; another one after each start.
    incarnation: String,
    /// What other nodes dial.
    address: String,
    roles: Vec<String>,
    /// joining, active or draining.
    state: String,
    /// What is left of its lease; negative when it has lapsed.
    lease_left_ms: i64,
    /// Since its last renewal, if it has the same `cluster.lease_ttl_ms` as the node that answers.
    lease_age_ms: i64,
    joined_at: DateTime<Utc>,
    /// Versions of the protocol between nodes that it speaks, the oldest and the newest.
    protocol: (i64, i64),
    /// Channels that it owns.
    channels: i64,
    /// Whether it is the one that answers.
    answers: bool,
    /// What it says of itself; null when it did not answer.
    says: Option<NodeSays>,
}

/// What a node says of itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct NodeSays {
    version: String,
    uptime_secs: i64,
    /// Channels whose actor runs.
    channels_active: usize,
    /// Events waiting or under way in all channels.
    events_in_flight: usize,
    #[schema(value_type = Object)]
    memory: Value,
    /// Null when it is no member.
    moves: Option<Moves>,
}

/// Keys on their way: channels, and partitions of the queue.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct Moves {
    /// Keys that it hands over, or is about to.
    pub leaving: usize,
    /// Keys that fall to it and are not yet its own.
    pub awaited: usize,
}

/// The cluster at a glance.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::hub) struct ClusterStatus {
    /// False where one node is alone; the rest is empty then.
    enabled: bool,
    /// Version of the ring.
    view: i64,
    nodes: Vec<ClusterNode>,
    /// Channels that there are.
    channels: i64,
    /// Channels that nobody owns just now: on their way from one node to another.
    channels_unowned: i64,
    /// The database's clock less the answering node's, and what the question took on its way.
    clock_skew_ms: i64,
    #[serde(flatten)]
    missing: Missing,
}

/// Shows the cluster at a glance.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "operators", security(("service_key" = [])), responses(
    (status = 200, description = "The cluster.", body = Envelope<ClusterStatus>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 503, description = "The storage does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>, everywhere: Everywhere) -> Answered<ClusterStatus> {
    if hub.deps.directory.roster().is_none() {
        return ok(ClusterStatus::default());
    }
    let asked_at = hub.deps.clock.now();
    let others = everywhere.parts_of::<NodeSays>(&hub, STATUS);
    let (report, others) = tokio::join!(storage::cluster::report(&hub.deps.db), others);
    let report = report?;
    let mut said: BTreeMap<String, NodeSays> = others.parts.into_iter().collect();
    if let Ok(here) = serde_json::to_value(status::of(&hub).await).and_then(serde_json::from_value) {
        said.insert(hub.deps.node.id.clone(), here);
    }
    let lease_ttl_ms = i64::try_from(hub.deps.config.cluster.lease_ttl.as_millis()).unwrap_or(i64::MAX);
    let n_owned: i64 = report.nodes.iter().map(|node| node.n_channels).sum();
    let node = |node: NodeReport| ClusterNode {
        answers: node.node == hub.deps.node.id,
        says: said.remove(&node.node),
        id: node.node,
        incarnation: node.incarnation,
        address: node.address,
        roles: node.roles.split(',').map(str::to_owned).collect(),
        state: node.state,
        lease_left_ms: node.lease_left_ms,
        lease_age_ms: lease_ttl_ms.saturating_sub(node.lease_left_ms),
        joined_at: node.joined_at,
        protocol: node.protocol,
        channels: node.n_channels,
    };
    ok(ClusterStatus {
        enabled: true,
        view: report.view,
        nodes: report.nodes.into_iter().map(node).collect(),
        channels: report.n_channels,
        channels_unowned: (report.n_channels - n_owned).max(0),
        clock_skew_ms: (report.now - asked_at).num_milliseconds(),
        missing: others.missing,
    })
}

/// A node that begins to drain.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Draining {
    id: String,
}

/// Begins a soft stop of a node: it hands its channels over, finishes what is under way and ends.
#[utoipa::path(post, path = "/api/v1/cluster/nodes/{id}/drain", tag = "operators",
    params(("id" = String, Path, description = "The node's id")), security(("service_key" = [])), responses(
    (status = 202, description = "It drains.", body = Envelope<Draining>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such node; the message names those there are.", body = ErrorEnvelope),
    (status = 503, description = "That node does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn drain(
    State(hub): State<Hub>,
    everywhere: Everywhere,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    if id == hub.deps.node.id {
        tracing::info!("an operator drains this node");
        hub.deps.operator.drain();
        return Ok(Answer(StatusCode::ACCEPTED, Draining { id }).into_response());
    }
    let peers = hub.deps.gateway.as_ref().map(Gateway::peers).unwrap_or_default();
    match peers.iter().find(|peer| peer.node.0 == id) {
        Some(peer) if !everywhere.only_here() => {
            peers::forward(&hub, peer, everywhere.call(peers::FORWARD_LIMIT)).await
        }
        _ => {
            let here = std::iter::once(hub.deps.node.id.as_str());
            let names: Vec<_> = here.chain(peers.iter().map(|peer| peer.node.0.as_str())).collect();
            Err(ApiError::not_found(format!("there is no node {id}; there are {}", names.join(", "))))
        }
    }
}
