//! What a node of a cluster has beside one that is alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use domain::PartitionSet;
use membership::ask::{Newcomer, Role};
use membership::{Incarnation, Input, NodeId, Timings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::Services;
use crate::actors::ownership::Ownership;
use crate::cluster::member::Outputs;
use crate::cluster::{Member, MemberOptions, SendGate, links};
use crate::config::{self, Config};

/// Versions of the protocol between nodes that this program speaks, both included.
const PROTOCOL: (u16, u16) = (1, 1);
/// A node's part of the ring beside others'.
const WEIGHT: u32 = 100;

/// The node's place in its cluster.
#[derive(Debug)]
pub struct Clustering {
    pub member: Member,
    pub incarnation: Incarnation,
    outputs: Mutex<Option<Outputs>>,
    pub partitions: watch::Sender<PartitionSet>,
    handoff_timeout: Duration,
    /// Cancelled when this process is dead to the others.
    pub died: CancellationToken,
    /// Cancelled when everything was handed over.
    pub left: CancellationToken,
}

impl Clustering {
    /// Opens the port that others dial and begins to join. From then on this process may own something.
    ///
    /// # Errors
    /// When the port is taken or the system gives no thread.
    pub async fn join(
        config: &Config,
        incarnation: Incarnation,
        gate: Arc<SendGate>,
        background: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let listen = config.cluster.listen.context("cluster.listen: a cluster needs an explicit address")?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cluster.listen: cannot listen on {listen}; is another node running?")
        })?;
        background.spawn(links::hold(listener));
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
        background.spawn(links::watch(member.clone(), incarnation, background.clone()));
        Ok(Self {
            member,
            incarnation,
            outputs: Mutex::new(Some(outputs)),
            partitions: watch::Sender::new(PartitionSet::NONE),
            handoff_timeout: config.cluster.handoff_timeout,
            died: CancellationToken::new(),
            left: CancellationToken::new(),
        })
    }

    /// The actor that does what the cluster decided.
    pub fn ownership(&self, services: &Arc<Services>) -> Option<Ownership> {
        Some(Ownership {
            services: Arc::clone(services),
            roster: Arc::clone(services.directory.roster()?),
            member: self.member.clone(),
            incarnation: self.incarnation,
            outputs: Mutex::new(
                self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(),
            ),
            partitions: self.partitions.clone(),
            handoff_timeout: self.handoff_timeout,
            died: self.died.clone(),
            left: self.left.clone(),
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
