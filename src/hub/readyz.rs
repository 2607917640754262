//! `GET /readyz`: the dependencies. Only the storage decides; a platform or Redis that is away is told, not held
//! against us.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use domain::Platform;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope};
use super::router::Hub;
use crate::messages::PlatformReport;

/// Time for the database's answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// What the node depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Readiness {
    /// Whether work can be given to this node.
    pub ready: bool,
    /// `ok`, or what is wrong with the database.
    pub storage: &'static str,
    /// `ok`, `away` (everything works on this node alone meanwhile), or `off` when none is configured.
    pub redis: &'static str,
    /// What each platform says of itself; for information only.
    #[schema(value_type = Object)]
    pub platforms: BTreeMap<Platform, PlatformReport>,
}

/// Asks the dependencies.
pub(super) async fn readiness(hub: &Hub) -> Readiness {
    let storage = match tokio::time::timeout(PING_TIMEOUT, hub.deps.db.ping()).await {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => error.kind(),
        Err(_elapsed) => "timeout",
    };
    let redis = match &hub.deps.redis {
        None => "off",
        Some(redis) if redis.state().is_up => "ok",
        Some(_) => "away",
    };
    Readiness { ready: storage == "ok", storage, redis, platforms: hub.deps.board.all() }
}

/// Says whether the dependencies answer.
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, description = "Work can be given to this node.", body = Envelope<Readiness>),
    (status = 503, description = "The database does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<Readiness> {
    let readiness = readiness(&hub).await;
    if readiness.ready {
        return Ok(Answer(StatusCode::OK, readiness));
    }
    let message = format!("the database does not answer ({}); check that it runs", readiness.storage);
    Err(ApiError::unavailable("not_ready", message, 1))
}
