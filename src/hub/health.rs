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
    /// `healthy`, or `degraded` while a dependency does not answer.
    status: &'static str,
    process: Liveness,
    dependencies: Readiness,
}

/// Says how the process and its dependencies are.
#[utoipa::path(get, path = "/health", tag = "probes", responses(
    (status = 200, description = "All is well.", body = Envelope<Health>),
    (status = 503, description = "A dependency does not answer; the body says which.", body = Envelope<Health>)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<Health> {
    let dependencies = readiness(&hub).await;
    let (code, status) = if dependencies.ready {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "degraded")
    };
    Ok(Answer(code, Health { status, process: Liveness::HERE, dependencies }))
}
