//! `/api/v1/cluster`: the nodes, their leases and what they own.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::router::Hub;

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
    joined_at: DateTime<Utc>,
    /// Channels that it owns.
    channels: i64,
    /// Whether it is the one that answers.
    answers: bool,
}

/// The cluster at a glance.
#[derive(Debug, Serialize, ToSchema)]
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
}

/// Shows the cluster at a glance.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "operators", security(("service_key" = [])), responses(
    (status = 200, description = "The cluster.", body = Envelope<ClusterStatus>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 503, description = "The storage does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<ClusterStatus> {
    if hub.deps.directory.roster().is_none() {
        return ok(ClusterStatus {
            enabled: false,
            view: 0,
            nodes: Vec::new(),
            channels: 0,
            channels_unowned: 0,
            clock_skew_ms: 0,
        });
    }
    let asked_at = hub.deps.clock.now();
    let report = storage::cluster::report(&hub.deps.db).await?;
    let clock_skew_ms = (report.now - asked_at).num_milliseconds();
    let n_owned: i64 = report.nodes.iter().map(|node| node.n_channels).sum();
    let node = |node: storage::cluster::NodeReport| ClusterNode {
        answers: node.node == hub.deps.node.id,
        id: node.node,
        incarnation: node.incarnation,
        address: node.address,
        roles: node.roles.split(',').map(str::to_owned).collect(),
        state: node.state,
        lease_left_ms: node.lease_left_ms,
        joined_at: node.joined_at,
        channels: node.n_channels,
    };
    ok(ClusterStatus {
        enabled: true,
        view: report.view,
        nodes: report.nodes.into_iter().map(node).collect(),
        channels: report.n_channels,
        channels_unowned: (report.n_channels - n_owned).max(0),
        clock_skew_ms,
    })
}

/// A node that begins to drain.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Draining {
    id: String,
}

/// Begins a soft stop of the node: it hands its channels over, finishes what is under way and ends.
#[utoipa::path(post, path = "/api/v1/cluster/nodes/{id}/drain", tag = "operators",
    params(("id" = String, Path, description = "The node's id")), security(("service_key" = [])), responses(
    (status = 202, description = "It drains.", body = Envelope<Draining>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 409, description = "Another node answers here; ask that one.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn drain(State(hub): State<Hub>, Path(id): Path<String>) -> Answered<Draining> {
    if id != hub.deps.node.id {
        return Err(ApiError::conflict(format!(
            "this is the node {}; send the call to the hub of {id} itself",
            hub.deps.node.id
        )));
    }
    hub.deps.operator.drain();
    Ok(Answer(StatusCode::ACCEPTED, Draining { id }))
}
