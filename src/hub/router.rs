//! The table of endpoints, grouped by client, one row each. An endpoint's path is its file.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::sessions::Sessions;
use super::{HubDeps, access, answer, api, health, healthz, home, metrics, openapi, readyz, trace};

/// What every endpoint is given.
#[derive(Clone)]
pub(super) struct Hub {
    pub deps: Arc<HubDeps>,
    /// Late answers of outside modules.
    pub sessions: Arc<Sessions>,
    /// Path → label of metrics and logs.
    labels: Arc<HashMap<&'static str, &'static str>>,
}

impl Hub {
    /// The table's own text of a matched path, which lives as long as the program.
    pub fn endpoint_label(&self, path: &str) -> &'static str {
        self.labels.get(path).copied().unwrap_or("unmatched")
    }
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who reaches the listener.
    Open,
    /// Who knows the service key.
    Key,
}

/// One row of the table.
pub(super) struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    route: MethodRouter<Hub>,
}

fn open(method: Method, path: &'static str, route: MethodRouter<Hub>) -> Endpoint {
    Endpoint { method, path, access: Access::Open, route }
}

fn keyed(method: Method, path: &'static str, route: MethodRouter<Hub>) -> Endpoint {
    Endpoint { method, path, access: Access::Key, route }
}

/// Every endpoint of this build.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Endpoint> {
    use Method as M;
    vec![
        // Browsers
        open(M::GET, "/", get(home::show)),
        // Probes and Prometheus
        open(M::GET, "/healthz", get(healthz::show)),
        open(M::GET, "/readyz", get(readyz::show)),
        open(M::GET, "/health", get(health::show)),
        open(M::GET, "/metrics", get(metrics::show)),
        // Everybody who writes a client
        open(M::GET, "/api/v1/openapi.json", get(openapi::show)),
        // Platform adapters and outside modules
        keyed(M::POST, "/api/v1/router/events", post(api::router::events::create)),
        keyed(M::POST, "/api/v1/router/events/batch", post(api::router::events::batch::create)),
        keyed(M::GET, "/api/v1/router/commands", get(api::router::commands::list)),
        keyed(M::POST, "/api/v1/router/responses", post(api::router::responses::create)),
        // Operators, the command line and the hub's pages
        keyed(M::GET, "/api/v1/status", get(api::status::show)),
        keyed(M::GET, "/api/v1/channels", get(api::channels::list)),
        keyed(M::POST, "/api/v1/channels", post(api::channels::create)),
        keyed(M::POST, "/api/v1/channels/import", post(api::channels::import::create)),
        keyed(M::GET, "/api/v1/channels/{key}", get(api::channels::channel::show)),
        keyed(M::DELETE, "/api/v1/channels/{key}", delete(api::channels::channel::remove)),
        keyed(M::POST, "/api/v1/channels/{key}/restart", post(api::channels::restart::create)),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/restart", post(api::channels::modules::restart)),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/enable", post(api::channels::modules::enable)),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/disable", post(api::channels::modules::disable)),
        keyed(M::GET, "/api/v1/modules", get(api::modules::list)),
        keyed(M::GET, "/api/v1/audit", get(api::audit::list)),
        // Who manages a channel's commands
        keyed(M::GET, "/api/v1/commands", get(api::commands::list)),
        keyed(M::POST, "/api/v1/commands", post(api::commands::create)),
        keyed(M::PUT, "/api/v1/commands/{id}", put(api::commands::command::update)),
        keyed(M::DELETE, "/api/v1/commands/{id}", delete(api::commands::command::remove)),
        keyed(M::GET, "/api/v1/aliases", get(api::aliases::list)),
        keyed(M::POST, "/api/v1/aliases", post(api::aliases::create)),
        keyed(M::DELETE, "/api/v1/aliases/{id}", delete(api::aliases::alias::remove)),
        keyed(M::POST, "/api/v1/aliases/execute", post(api::aliases::execute::create)),
    ]
}

/// The router of the whole table, with what surrounds every request.
pub(super) fn build(deps: HubDeps) -> Router {
    let rows = table();
    let hub = Hub {
        deps: Arc::new(deps),
        sessions: Arc::default(),
        labels: Arc::new(rows.iter().map(|row| (row.path, row.path)).collect()),
    };
    let mut router = Router::new();
    for row in rows {
        let route = match row.access {
            Access::Open => row.route,
            Access::Key => row.route.layer(from_fn_with_state(hub.clone(), access::require_key)),
        };
        router = router.route(row.path, route);
    }
    router
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn_with_state(hub.clone(), trace::surround))
        .with_state(hub)
}
