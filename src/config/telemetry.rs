//! `[telemetry]`: what the node says about itself.

use tracing_subscriber::EnvFilter;

use super::reader::Reader;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for collectors.
    Json,
}

/// What the node says about itself. Exporting traces is refused in this version.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// A level or `target=level` directives, separated by commas.
    pub log: String,
    pub log_format: LogFormat,
    /// Share of the traces that are kept, 0 to 1.
    pub sample_ratio: f64,
    /// How long the event log is kept; zero = it is off.
    pub event_log_kept: chrono::TimeDelta,
}

impl TelemetryConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("telemetry");
        if section.http_base("otlp_endpoint").is_some() {
            section.refuse_not_yet("otlp_endpoint");
        }
        section.first_of("exporter", &["otlp", "zipkin", "console"]);
        Self {
            log: section.parsed("log", parse_filter).unwrap_or_else(|| "info".to_owned()),
            log_format: section.one_of(
                "log_format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
                LogFormat::Text,
            ),
            sample_ratio: section.number("sample_ratio", 1.0, 0.0..=1.0),
            event_log_kept: event_log_kept(section.count("event_log_days", 7, 0..=365)),
        }
    }
}

fn event_log_kept(days: usize) -> chrono::TimeDelta {
    chrono::TimeDelta::days(i64::try_from(days).unwrap_or_default())
}

fn parse_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("must be error, warn, info, debug or trace, or directives such as info,waddlebot=debug"
                .to_owned())
        }
    }
}
