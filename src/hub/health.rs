//! `GET /health`: both probes in one document.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Answered, Envelope};
use super::healthz::Liveness;
use super::readyz::{Readiness, readiness};
use super::router::Hub;

/// Both probes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Health {
    /// `healthy`, or `degraded` while a dependency does not answer; without Redis work goes on, so that is no error.
    status: &'static str,
    process: Liveness,
    dependencies: Readiness,
}

/// Says how the process and its dependencies are.
#[utoipa::path(get, path = "/health", tag = "probes", responses(
    (status = 200, description = "All is well, or only Redis is away.", body = Envelope<Health>),
    (status = 503, description = "The database does not answer; the body says why.", body = Envelope<Health>)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<Health> {
    let dependencies = readiness(&hub).await;
    let (code, status) = match (dependencies.ready, dependencies.redis) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        (true, "away") => (StatusCode::OK, "degraded"),
        (true, _) => (StatusCode::OK, "healthy"),
    };
    Ok(Answer(code, Health { status, process: Liveness::HERE, dependencies }))
}
