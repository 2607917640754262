//! SQL texts with their labels, and what is counted and logged about each run.

use std::time::Duration;

use crate::StorageError;

/// Time after which a query is worth a line at level debug.
const NOTABLE_QUERY: Duration = Duration::from_millis(100);

/// One SQL text, or one for each database, with its labels for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// `select`, `insert`, `update` or `delete`.
    pub operation: &'static str,
    /// The table that the statement is about.
    pub table: &'static str,
    pub sqlite: &'static str,
    pub postgres: &'static str,
    /// Whether a replica may answer, which may be seconds behind.
    pub on_replicas: bool,
}

impl Statement {
    /// Marks a list or a search that somebody looks at: what decides anything asks the primary.
    #[must_use]
    pub const fn on_replicas(mut self) -> Self {
        self.on_replicas = true;
        self
    }

    /// Counts and times one run. No value of it is told.
    pub(crate) fn record(&self, took: Duration, slow: Duration, error: Option<&StorageError>) {
        let Self { operation, table, .. } = *self;
        let status = if error.is_some() { "error" } else { "success" };
        metrics::counter!("waddlebot_db_queries_total",
            "service" => "waddlebot", "operation" => operation, "table" => table, "status" => status)
        .increment(1);
        for name in ["waddlebot_db_query_duration_seconds", "waddlebot_database_query_duration_seconds"] {
            metrics::histogram!(name, "service" => "waddlebot", "operation" => operation, "table" => table)
                .record(took.as_secs_f64());
        }
        let duration_ms = took.as_secs_f64() * 1000.0;
        if took > slow {
            tracing::warn!(db.operation = operation, db.table = table, duration_ms, "slow query");
        } else if took > NOTABLE_QUERY {
            tracing::debug!(db.operation = operation, db.table = table, duration_ms, "query took long");
        }
    }
}
