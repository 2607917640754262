//! What a node of a cluster has beside one that is alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use domain::PartitionSet;
use membership::ask::{Newcomer, Role};
use membership::{Incarnation, Input, NodeId, Timings};
use secrecy::SecretString;
use storage::Db;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::Services;
use crate::actors::ownership::Ownership;
use crate::cluster::gateway::GatewayOptions;
use crate::cluster::member::Outputs;
use crate::cluster::peer_tls::PeerTls;
use crate::cluster::{Directory, Gateway, Member, MemberOptions, Roster, SendGate, links};
use crate::config::{self, Config};
use crate::hub::PeerListener;
use crate::limits::Limiter;
use crate::redis::Redis;

/// Versions of the protocol between nodes that this program speaks, both included.
const PROTOCOL: (u16, u16) = (1, 1);
/// A node's part of the ring beside others'.
const WEIGHT: u32 = 100;

/// The node's place in its cluster.
#[derive(Debug)]
pub struct Clustering {
    pub member: Member,
    pub gateway: Gateway,
    pub incarnation: Incarnation,
    /// Bound once, so that a restart of the hub keeps its port.
    listener: std::net::TcpListener,
    tls: Option<PeerTls>,
    cookie: SecretString,
    outputs: Mutex<Option<Outputs>>,
    pub partitions: watch::Sender<PartitionSet>,
    handoff_timeout: Duration,
    /// Cancelled when this process is dead to the others.
    pub died: CancellationToken,
    /// Cancelled when everything was handed over.
    pub left: CancellationToken,
}

/// Makes the directory one of a cluster, if the configuration says so, and begins to join.
///
/// # Errors
/// When it cannot begin, or when a node of the cluster speaks another version than this program.
pub async fn join(
    config: &Config,
    (db, incarnation): (&Db, Incarnation),
    directory: Directory,
    background: &TaskTracker,
) -> anyhow::Result<(Arc<Directory>, Option<Arc<Clustering>>)> {
    if !config.cluster.enabled {
        return Ok((Arc::new(directory), None));
    }
    if let Some((node, oldest, newest)) = storage::cluster::stranger(db, PROTOCOL).await? {
        anyhow::bail!(
            "cluster: {node} speaks versions {oldest} to {newest} of the protocol between nodes, this program {} to {}; \
             upgrade by way of a version that speaks both",
            PROTOCOL.0,
            PROTOCOL.1
        );
    }
    let (gate, roster) = (Arc::new(SendGate::shut()), Arc::new(Roster::default()));
    let directory = directory.in_cluster(Arc::clone(&gate), Arc::clone(&roster));
    let clustering = Clustering::join(config, incarnation, (gate, roster), background).await?;
    Ok((Arc::new(directory), Some(Arc::new(clustering))))
}

impl Clustering {
    /// Opens the port that others dial and begins to join. From then on this process may own something.
    ///
    /// # Errors
    /// When the port is taken or the system gives no thread.
    async fn join(
        config: &Config,
        incarnation: Incarnation,
        (gate, roster): (Arc<SendGate>, Arc<Roster>),
        background: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let (tls, cookie) =
            (tls(config)?, config.cluster.cookie.clone().context("cluster.cookie is missing")?);
        let listen = config.cluster.listen.context("cluster.listen: a cluster needs an explicit address")?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cluster.listen: cannot listen on {listen}; is another node running?")
        })?;
        let address = config.cluster.advertise.clone().unwrap_or_else(|| listen.to_string());
        let newcomer = Newcomer {
            me: incarnation,
            node: NodeId(config.node.id.clone()),
            address,
            roles: config.node.roles.iter().map(|role| role_of(*role)).collect(),
            weight: WEIGHT,
            protocol: PROTOCOL,
            lease_us: 0,
            predecessor: None,
        };
        let options =
            MemberOptions { url: config.storage.url.clone(), newcomer, timings: timings(config), gate };
        let (member, outputs) = Member::start(options).context("no thread for the lease")?;
        let gateway = Gateway::new(GatewayOptions {
            tls: tls.clone(),
            cookie: cookie.clone(),
            me: incarnation,
            member: member.clone(),
            roster,
            virtual_nodes: u32::try_from(config.cluster.virtual_nodes).unwrap_or(u32::MAX),
        })?;
        background.spawn(links::watch(gateway.clone(), member.clone(), background.clone()));

        Ok(Self {
            member,
            gateway,
            incarnation,
            listener: listener.into_std()?,
            tls,
            cookie,
            outputs: Mutex::new(Some(outputs)),
            partitions: watch::Sender::new(PartitionSet::NONE),
            handoff_timeout: config.cluster.handoff_timeout,
            died: CancellationToken::new(),
            left: CancellationToken::new(),
        })
    }

    /// Where the other nodes dial.
    ///
    /// # Errors
    /// When the listener is gone.
    pub fn peer_listener(&self) -> std::io::Result<PeerListener> {
        Ok(PeerListener {
            listener: self.listener.try_clone().and_then(TcpListener::from_std)?,
            tls: self.tls.as_ref().map(|tls| Arc::clone(&tls.server)),
            cookie: self.cookie.clone(),
        })
    }

    /// The actor that does what the cluster decided.
    pub fn ownership(&self, services: &Arc<Services>) -> Option<Ownership> {
        Some(Ownership {
            services: Arc::clone(services),
            roster: Arc::clone(services.directory.roster()?),
            member: self.member.clone(),
            gateway: self.gateway.clone(),
            incarnation: self.incarnation,
            outputs: Mutex::new(
                self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(),
            ),
            partitions: self.partitions.clone(),
            handoff_timeout: self.handoff_timeout,
            died: self.died.clone(),
            left: self.left.clone(),
            has_left: false.into(),
        })
    }

    /// Hands everything over to the others, within `limit`. With nobody left to take it the node just leaves.
    pub async fn leave(&self, limit: Duration) {
        self.member.tell(Input::Drain).await;
        tokio::select! {
            () = self.left.cancelled() => {}
            () = self.died.cancelled() => {}
            () = tokio::time::sleep(limit) => tracing::warn!("not everything could be handed over in time"),
        }
    }
}

/// Limits whose share follows how many nodes live; a node that is alone has all of it.
pub fn limiter(
    clustering: Option<&Clustering>,
    redis: Option<Redis>,
    background: &TaskTracker,
) -> Arc<Limiter> {
    let Some(clustering) = clustering else { return Arc::new(Limiter::new(redis, 1)) };
    let limiter = Arc::new(Limiter::new(redis, Limiter::NODES_UNKNOWN));
    let (mut seen, shared) = (clustering.member.seen(), Arc::clone(&limiter));
    background.spawn(async move {
        loop {
            let n_nodes = seen.borrow_and_update().members.len();
            if n_nodes > 0 {
                shared.set_nodes(u32::try_from(n_nodes).unwrap_or(u32::MAX));
            }
            if seen.changed().await.is_err() {
                return;
            }
        }
    });
    limiter
}

/// The certificates; both or none, as the configuration made sure.
fn tls(config: &Config) -> anyhow::Result<Option<PeerTls>> {
    let section = &config.cluster;
    let (Some(certificate), Some(key), Some(authority)) =
        (&section.tls_cert, &section.tls_key, &section.tls_ca)
    else {
        return Ok(None);
    };
    PeerTls::load(certificate, key, authority).map(Some).context("the cluster's certificates cannot be used")
}

const fn role_of(role: config::Role) -> Role {
    match role {
        config::Role::Channels => Role::Channels,
        config::Role::Platforms => Role::Platforms,
        config::Role::Hub => Role::Hub,
    }
}

fn timings(config: &Config) -> Timings {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let section = &config.cluster;
    Timings {
        lease_us: micros(section.lease_ttl),
        renew_us: micros(section.lease_renew),
        gate_us: micros(section.gate),
        virtual_nodes: u32::try_from(section.virtual_nodes).unwrap_or(u32::MAX),
        ..Timings::default()
    }
}
