//! `GET /metrics`: everything that is counted, as Prometheus reads it.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::router::Hub;

/// Version 0.0.4 of the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all metrics.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, description = "Prometheus text.", body = String, content_type = "text/plain")))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> impl IntoResponse {
    if let Some(open_for) = hub.deps.directory.gate().open_for() {
        // The gate shuts that much before the lease lapses, so this is never too long.
        let cluster = &hub.deps.config.cluster;
        let left = if open_for.is_zero() {
            open_for
        } else {
            open_for + cluster.lease_ttl.saturating_sub(cluster.gate)
        };
        metrics::gauge!("waddlebot_lease_remaining_seconds").set(left.as_secs_f64());
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], hub.deps.metrics.render())
}
