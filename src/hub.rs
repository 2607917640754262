//! The HTTP side of the node: probes, metrics, the router contract and the runtime API.
//!
//! The hub knows channels only by their slots and asks their actors with a time limit; an event from HTTP takes the
//! same lane as one from a platform, with a collector as its sink. [`router`] is the table of all endpoints, and an
//! endpoint's path is its file.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use storage::Db;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Directory, Gateway};
use crate::config::Config;
use crate::http::UrlFetcher;
use crate::limits::Limiter;
use crate::messages::streamers::StreamerLookup;
use crate::messages::{Board, Clock, ModuleInfo, Operator};
use crate::queue::Queue;
use crate::redis::Redis;
use crate::telemetry::event_log::EventLog;

mod access;
mod acting;
mod answer;
mod answered;
mod api;
mod ask;
mod changing;
mod client;
mod collector;
mod everywhere;
mod fields;
mod health;
mod healthz;
mod home;
mod input;
mod live;
mod metrics;
mod openapi;
mod page;
pub mod peers;
mod read_after;
mod readyz;
mod router;
mod server;
mod sessions;
mod throttle;
mod trace;

pub use peers::PeerListener;
use router::Hub;

#[cfg(test)]
pub(crate) mod tests;

/// Who this node is.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub id: String,
    pub version: &'static str,
    pub started_at: DateTime<Utc>,
}

/// What the hub is given at its start.
#[derive(Clone)]
pub struct HubDeps {
    pub config: Arc<Config>,
    pub db: Db,
    pub directory: Arc<Directory>,
    pub clock: Clock,
    /// What happened, in memory and in the store.
    pub events: Arc<EventLog>,
    /// Knows which addresses may be saved.
    pub urls: UrlFetcher,
    /// Knows who streams what.
    pub streamers: Arc<dyn StreamerLookup>,
    /// Written by the platforms.
    pub board: Arc<Board>,
    /// Events whose caller does not wait, and what operators see of them.
    pub queue: Arc<Queue>,
    /// `None`: none is configured.
    pub redis: Option<Redis>,
    /// The way to the other nodes. `None`: the node is alone.
    pub gateway: Option<Gateway>,
    /// Limits of callers.
    pub limiter: Arc<Limiter>,
    /// Renders what the recorder holds.
    pub metrics: PrometheusHandle,
    /// What callers of the API prove themselves with.
    pub service_key: SecretString,
    pub modules: Arc<Vec<ModuleInfo>>,
    /// Supervision.
    pub operator: Arc<dyn Operator>,
    pub node: NodeInfo,
    /// Cancelled when the node stops: no new connections, the open ones finish.
    pub stop: CancellationToken,
}

/// Answers HTTP on `listener`, and other nodes on theirs, until [`HubDeps::stop`] is cancelled, then gives open requests at most 5 s.
///
/// # Errors
/// When the listener breaks; the caller starts the hub anew.
pub async fn serve(deps: HubDeps, listener: TcpListener, peers: Option<PeerListener>) -> io::Result<()> {
    let stop = deps.stop.clone();
    let hub = Hub::new(deps);
    let api = router::build(hub.clone());
    let Some(PeerListener { listener: cluster, tls, cookie }) = peers else {
        return server::run(listener, None, api, stop).await;
    };
    let for_peers = peers::router(&hub, api.clone(), cookie);
    let served = server::run(cluster, tls.map(TlsAcceptor::from), for_peers, stop.clone());
    tokio::try_join!(server::run(listener, None, api, stop), served).map(drop)
}
