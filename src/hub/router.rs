//! The table of endpoints, grouped by client, one row each. An endpoint's path is its file.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::answered::Answered;
use super::sessions::Sessions;
use super::{
    HubDeps, access, answer, api, health, healthz, home, live, metrics, openapi, peers, read_after, readyz,
    trace,
};

/// What every endpoint is given.
#[derive(Clone)]
pub(super) struct Hub {
    pub deps: Arc<HubDeps>,
    /// Late answers of outside modules.
    pub sessions: Arc<Sessions>,
    /// How events ended that may be asked for again.
    pub answered: Arc<Answered>,
    /// Path → label of metrics and logs.
    labels: Arc<HashMap<&'static str, &'static str>>,
    /// Who follows communities.
    pub live: Arc<live::Places>,
}

impl Hub {
    pub fn new(deps: HubDeps) -> Self {
        let labels = table().iter().map(|row| (row.path, row.path)).collect();
        Self {
            deps: Arc::new(deps),
            sessions: Arc::default(),
            answered: Arc::default(),
            labels: Arc::new(labels),
            live: Arc::default(),
        }
    }

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
    /// Puts the handler behind a method.
    route: Box<dyn FnOnce(MethodFilter) -> MethodRouter<Hub>>,
}

fn open<T: 'static>(method: Method, path: &'static str, handler: impl Handler<T, Hub>) -> Endpoint {
    Endpoint { method, path, access: Access::Open, route: Box::new(|filter| on(filter, handler)) }
}

fn keyed<T: 'static>(method: Method, path: &'static str, handler: impl Handler<T, Hub>) -> Endpoint {
    Endpoint { method, path, access: Access::Key, route: Box::new(|filter| on(filter, handler)) }
}

/// Every endpoint of this build.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Endpoint> {
    use Method as M;
    vec![
        // Browsers
        open(M::GET, "/", home::show),
        // Probes and Prometheus
        open(M::GET, "/healthz", healthz::show),
        open(M::GET, "/readyz", readyz::show),
        open(M::GET, "/health", health::show),
        open(M::GET, "/metrics", metrics::show),
        // Everybody who writes a client
        open(M::GET, "/api/v1/openapi.json", openapi::show),
        // Platform adapters and outside modules
        keyed(M::POST, "/api/v1/router/events", api::router::events::create),
        keyed(M::POST, "/api/v1/router/events/batch", api::router::events::batch::create),
        keyed(M::GET, "/api/v1/router/commands", api::router::commands::list),
        keyed(M::POST, "/api/v1/router/responses", api::router::responses::create),
        // Operators, the command line and the hub's pages
        keyed(M::GET, "/api/v1/status", api::status::show),
        keyed(M::GET, "/api/v1/cluster", api::cluster::show),
        keyed(M::POST, "/api/v1/cluster/nodes/{id}/drain", api::cluster::drain),
        keyed(M::GET, "/api/v1/cluster/pins", api::cluster::pins::list),
        keyed(M::PUT, "/api/v1/cluster/pins/{channel}", api::cluster::pins::pin),
        keyed(M::DELETE, "/api/v1/cluster/pins/{channel}", api::cluster::pins::unpin),
        keyed(M::GET, "/api/v1/channels", api::channels::list),
        keyed(M::POST, "/api/v1/channels", api::channels::create),
        keyed(M::POST, "/api/v1/channels/import", api::channels::import::create),
        keyed(M::GET, "/api/v1/channels/{key}", api::channels::channel::show),
        keyed(M::DELETE, "/api/v1/channels/{key}", api::channels::channel::remove),
        keyed(M::POST, "/api/v1/channels/{key}/restart", api::channels::restart::create),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/restart", api::channels::modules::restart),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/enable", api::channels::modules::enable),
        keyed(M::POST, "/api/v1/channels/{key}/modules/{name}/disable", api::channels::modules::disable),
        keyed(M::GET, "/api/v1/channels/{key}/events", api::channels::events::list),
        keyed(M::POST, "/api/v1/channels/{key}/recording", api::channels::recording::create),
        keyed(M::DELETE, "/api/v1/channels/{key}/recording", api::channels::recording::remove),
        keyed(M::POST, "/api/v1/channels/{key}/replay", api::channels::replay::create),
        keyed(M::GET, "/api/v1/communities/{community}/live", api::communities::live::show),
        keyed(M::GET, "/api/v1/modules", api::modules::list),
        keyed(M::GET, "/api/v1/audit", api::audit::list),
        keyed(M::GET, "/api/v1/queue", api::queue::show),
        keyed(M::GET, "/api/v1/queue/dead", api::queue::dead::list),
        keyed(M::POST, "/api/v1/queue/dead/{id}/retry", api::queue::dead::letter::retry),
        keyed(M::DELETE, "/api/v1/queue/dead/{id}", api::queue::dead::letter::remove),
        keyed(M::POST, "/api/v1/queue/replay", api::queue::replay::create),
        // Who manages a channel's commands
        keyed(M::GET, "/api/v1/commands", api::commands::list),
        keyed(M::POST, "/api/v1/commands", api::commands::create),
        keyed(M::PUT, "/api/v1/commands/{id}", api::commands::command::update),
        keyed(M::DELETE, "/api/v1/commands/{id}", api::commands::command::remove),
        keyed(M::GET, "/api/v1/aliases", api::aliases::list),
        keyed(M::POST, "/api/v1/aliases", api::aliases::create),
        keyed(M::DELETE, "/api/v1/aliases/{id}", api::aliases::alias::remove),
        keyed(M::POST, "/api/v1/aliases/execute", api::aliases::execute::create),
    ]
    .into_iter()
    .chain([
        // Who moves in from another bot, or takes a copy
        keyed(M::GET, "/api/v1/transfer/{kind}/{channel}", api::transfer::export),
        keyed(M::POST, "/api/v1/transfer/{kind}/{channel}", api::transfer::import),
    ])
    .chain(shoutouts())
    .chain(memories())
    .collect()
}

/// Shoutouts. What stands below `/api/v1/shoutout/` is reached without that part too, for those who know it so.
#[rustfmt::skip]
fn shoutouts() -> Vec<Endpoint> {
    use Method as M;
    vec![
        keyed(M::POST, "/api/v1/shoutout", api::shoutout::create),
        keyed(M::GET, "/api/v1/shoutout/history/{community}", api::shoutout::history::list),
        keyed(M::GET, "/api/v1/history/{community}", api::shoutout::history::list),
        keyed(M::GET, "/api/v1/shoutout/stats/{community}", api::shoutout::history::stats),
        keyed(M::GET, "/api/v1/stats/{community}", api::shoutout::history::stats),
        keyed(M::POST, "/api/v1/shoutout/template", api::shoutout::template::set),
        keyed(M::POST, "/api/v1/template", api::shoutout::template::set),
        keyed(M::GET, "/api/v1/shoutout/twitch/user/{username}", api::shoutout::streamer::show),
        keyed(M::GET, "/api/v1/twitch/user/{username}", api::shoutout::streamer::show),
        keyed(M::GET, "/api/v1/shoutout/circuit-breaker/metrics", api::shoutout::circuit_breaker::show),
        keyed(M::GET, "/api/v1/circuit-breaker/metrics", api::shoutout::circuit_breaker::show),
    ]
}

/// What a community remembers.
#[rustfmt::skip]
fn memories() -> Vec<Endpoint> {
    use Method as M;
    vec![
        keyed(M::POST, "/api/v1/memories/quotes", api::memories::quotes::create),
        keyed(M::GET, "/api/v1/memories/quotes/{community}", api::memories::quotes::list),
        keyed(M::GET, "/api/v1/memories/quotes/{community}/random", api::memories::quotes::quote::random),
        keyed(M::GET, "/api/v1/memories/quotes/{community}/categories", api::memories::quotes::summary::categories),
        keyed(M::GET, "/api/v1/memories/quotes/{community}/stats", api::memories::quotes::summary::stats),
        keyed(M::GET, "/api/v1/memories/quotes/{community}/{number}", api::memories::quotes::quote::show),
        keyed(M::DELETE, "/api/v1/memories/quotes/{community}/{number}", api::memories::quotes::quote::remove),
        keyed(M::POST, "/api/v1/memories/quotes/{community}/{number}/vote", api::memories::quotes::vote::create),
        keyed(M::POST, "/api/v1/memories/bookmarks", api::memories::bookmarks::create),
        keyed(M::GET, "/api/v1/memories/bookmarks/{community}", api::memories::bookmarks::list),
        keyed(M::GET, "/api/v1/memories/bookmarks/{community}/popular", api::memories::bookmarks::summary::popular),
        keyed(M::GET, "/api/v1/memories/bookmarks/{community}/tags", api::memories::bookmarks::summary::tags),
        keyed(M::GET, "/api/v1/memories/bookmarks/{community}/stats", api::memories::bookmarks::summary::stats),
        keyed(M::GET, "/api/v1/memories/bookmarks/{community}/{number}", api::memories::bookmarks::bookmark::show),
        keyed(M::PUT, "/api/v1/memories/bookmarks/{community}/{number}", api::memories::bookmarks::bookmark::update),
        keyed(M::DELETE, "/api/v1/memories/bookmarks/{community}/{number}", api::memories::bookmarks::bookmark::remove),
        keyed(M::POST, "/api/v1/memories/reminders", api::memories::reminders::create),
        keyed(M::GET, "/api/v1/memories/reminders/pending", api::memories::reminders::lists::pending),
        keyed(M::POST, "/api/v1/memories/reminders/{id}/sent", api::memories::reminders::reminder::sent),
        keyed(M::GET, "/api/v1/memories/reminders/{community}/stats", api::memories::reminders::lists::stats),
        keyed(M::GET, "/api/v1/memories/reminders/{community}/user/{user}", api::memories::reminders::lists::of_user),
        keyed(M::GET, "/api/v1/memories/reminders/{community}/{id}", api::memories::reminders::reminder::show),
        keyed(M::DELETE, "/api/v1/memories/reminders/{community}/{id}", api::memories::reminders::reminder::remove),
    ]
}

/// The router of the whole table, with what surrounds every request.
pub(super) fn build(hub: Hub) -> Router {
    let rows = table();
    let mut router = Router::new();
    for row in rows {
        let filter = MethodFilter::try_from(row.method).expect("the table names methods that HTTP has");
        let route = (row.route)(filter);
        let route = match row.access {
            // Probes, Prometheus and the page are for everybody, always.
            Access::Open if !row.path.starts_with("/api/") => route,
            Access::Open => route.layer(from_fn_with_state(hub.clone(), access::count_strangers)),
            Access::Key => route
                .layer(from_fn_with_state(hub.clone(), peers::to_owner))
                .layer(from_fn_with_state(hub.clone(), read_after::tell))
                .layer(from_fn_with_state(hub.clone(), access::require_key)),
        };
        router = router.route(row.path, route);
    }
    router
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn_with_state(hub.clone(), trace::surround))
        .with_state(hub)
}
