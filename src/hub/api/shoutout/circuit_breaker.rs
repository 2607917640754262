//! `/api/v1/shoutout/circuit-breaker/metrics`: how the calls to Twitch's API went.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{BreakerConfig, Trip};
use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::router::Hub;

/// The breaker in front of Twitch's API, on the node that answers, since its start.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct BreakerMetrics {
    #[schema(example = "twitch_api")]
    name: &'static str,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    #[schema(example = "CLOSED")]
    state: &'static str,
    /// Failures since the last success, while it is closed.
    failure_count: u32,
    /// Probes that succeeded since it began to try again.
    success_count: u32,
    /// Calls that ended.
    total_calls: u64,
    total_failures: u64,
    total_successes: u64,
    /// Refused while it was open; they are no calls.
    total_rejections: u64,
    /// Failures of all calls, 0 to 1; 0 when there was none.
    failure_rate: f64,
    /// Null when it never changed.
    last_state_change: Option<DateTime<Utc>>,
    config: BreakerSettings,
}

/// When it opens and closes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct BreakerSettings {
    /// Failures in a row that open it.
    failure_threshold: u32,
    /// Seconds until it tries again.
    timeout_seconds: u64,
    /// Successes in a row that close it.
    success_threshold: u32,
}

impl From<BreakerConfig> for BreakerSettings {
    fn from(config: BreakerConfig) -> Self {
        let failure_threshold = match config.trip {
            Trip::InRow { failures } => failures,
            Trip::Share { calls_min, .. } => calls_min,
        };
        Self {
            failure_threshold,
            timeout_seconds: config.open.base.as_secs(),
            success_threshold: config.successes_to_close,
        }
    }
}

/// Shows how the calls to Twitch's API went, on this node.
#[utoipa::path(get, path = "/api/v1/shoutout/circuit-breaker/metrics", tag = "shoutout",
    security(("service_key" = [])), responses(
    (status = 200, description = "The breaker.", body = Envelope<BreakerMetrics>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Answered<BreakerMetrics> {
    let figures = hub.deps.streamers.figures();
    let total_calls = figures.n_successes + figures.n_failures;
    #[expect(clippy::cast_precision_loss, reason = "a rate of calls since the start")]
    let rate = if total_calls == 0 { 0.0 } else { figures.n_failures as f64 / total_calls as f64 };
    ok(BreakerMetrics {
        name: "twitch_api",
        state: figures.state,
        failure_count: figures.n_failures_in_row,
        success_count: figures.n_probes_succeeded,
        total_calls,
        total_failures: figures.n_failures,
        total_successes: figures.n_successes,
        total_rejections: figures.n_rejections,
        failure_rate: rate,
        last_state_change: figures.changed_at,
        config: figures.config.into(),
    })
}
