//! The metrics recorder: buckets, help texts and the names that every part of the node uses.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The `service` label of every metric that `WaddleBot` had.
pub const SERVICE: &str = "waddlebot";

/// `reply_latency_seconds`: from the platform's line to the socket write.
const REPLY_BUCKETS: &[f64] =
    &[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];
/// `command_duration_seconds` and what else people wait for.
const COMMAND_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const QUERY_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
const DEPTH_BUCKETS: &[f64] = &[0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 768.0, 1024.0];

const HELP: &[(&str, &str)] = &[
    ("waddlebot_commands_total", "Commands by how they ended."),
    ("waddlebot_messages_dropped_total", "Lines that were dropped, by reason."),
    ("waddlebot_lines_in_total", "Lines received from a platform, and events from the router."),
    (
        "waddlebot_lines_handled_total",
        "Lines handled; the others are in messages_dropped_total or duplicates.",
    ),
    ("waddlebot_circuit_breaker_state", "0 CLOSED, 1 OPEN, 2 HALF_OPEN, 3 DISABLED: the worst instance."),
    ("waddlebot_module_restarts_total", "Module actors that ended before their time, by reason."),
    ("waddlebot_fenced_writes_total", "Writes of a channel's state that were refused: another node owns it."),
    ("waddlebot_runtime_stall_seconds", "How long the runtime or a module last stood still."),
];

/// Installs the recorder of the process and returns the handle that renders it. Once a process.
///
/// # Errors
/// When a recorder is installed already; a retry does not help.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("waddlebot_reply_latency_seconds".to_owned()), REPLY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("query_duration_seconds".to_owned()), QUERY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("waddlebot_mailbox_depth".to_owned()), DEPTH_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), COMMAND_BUCKETS)?
        .install_recorder()?;
    for (name, text) in HELP {
        metrics::describe_counter!(*name, *text);
    }
    metrics::gauge!("waddlebot_service_info", "service" => SERVICE, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    Ok(handle)
}
