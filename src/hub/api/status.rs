//! `GET /api/v1/status`: the node at a glance, for the first screen, `doctor` and the hub's pages.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Platform;
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::Moves;
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::readyz::readiness;
use crate::hub::router::Hub;
use crate::messages::{MemoryReport, PartReport, PlatformReport};

/// The node at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Status {
    node: String,
    version: &'static str,
    started_at: DateTime<Utc>,
    uptime_secs: i64,
    /// `sqlite` or `postgres`.
    storage: &'static str,
    /// `ok`, or what is wrong with the database.
    storage_state: &'static str,
    /// Channels that the node knows.
    channels: usize,
    /// Channels whose actor runs; the others sleep until something happens.
    channels_active: usize,
    /// Modules of this build.
    modules: usize,
    /// Events waiting or under way in all channels.
    events_in_flight: usize,
    /// What the process has in memory, its ceiling, and what is shed because of it.
    #[schema(value_type = Object)]
    memory: MemoryReport,
    /// The supervision tree's first row: each part with its state and crashes.
    #[schema(value_type = Vec<Object>)]
    parts: Vec<PartReport>,
    #[schema(value_type = Object)]
    platforms: BTreeMap<Platform, PlatformReport>,
    /// Keys on their way to or from this node; null where one node owns everything.
    moves: Option<Moves>,
}

/// Shows the node at a glance.
#[utoipa::path(get, path = "/api/v1/status", tag = "operators", security(("service_key" = [])), responses(
    (status = 200, description = "The node.", body = Envelope<Status>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<Status> {
    ok(of(&hub).await)
}

/// The node at a glance.
pub(super) async fn of(hub: &Hub) -> Status {
    let readiness = readiness(hub).await;
    let slots = hub.deps.directory.all();
    let node = &hub.deps.node;
    Status {
        node: node.id.clone(),
        version: node.version,
        started_at: node.started_at,
        uptime_secs: (hub.deps.clock.now() - node.started_at).num_seconds(),
        storage: hub.deps.db.kind().as_str(),
        storage_state: readiness.storage,
        channels: slots.len(),
        channels_active: slots.iter().filter(|slot| slot.actor().is_some()).count(),
        modules: hub.deps.modules.len(),
        events_in_flight: slots.iter().map(|slot| slot.lane.in_flight()).sum(),
        memory: hub.deps.directory.memory().report(),
        parts: hub.deps.operator.parts().await,
        platforms: readiness.platforms,
        moves: hub.deps.gateway.as_ref().map(|gateway| {
            let (leaving, awaited) = gateway.moves();
            Moves { leaving, awaited }
        }),
    }
}
