//! Starts the node, keeps it running, stops it.
//!
//! Supervision knows every part; no part knows supervision. [`tree::parts`] is the list that [`Node::start`] walks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use membership::Incarnation;
use metrics_exporter_prometheus::PrometheusHandle;
use ractor::{Actor, ActorRef};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::Services;
use crate::config::Config;
use crate::messages::{Board, ByteBudget, Clock};
use crate::telemetry::metric_names;
use clustering::Clustering;
use parts::Wiring;
use spawner::NodeSpawner;
use supervisor::{Supervisor, SupervisorMsg};
use tree::Part;
use watchdog::{Pulse, Watchdog};

pub mod boot;
pub mod clustering;
pub mod data_dir;
pub mod memory;
pub mod operator;
pub mod parts;
pub mod replicas;
pub mod screen;
pub mod signals;
pub mod spawner;
pub mod stop;
pub mod supervisor;
pub mod task_actor;
pub mod tree;
pub mod upkeep;
pub mod watchdog;

/// The runtime's sign of life for the watchdog.
const PULSE_EVERY: Duration = Duration::from_millis(100);

/// The recorder moves its samples into buckets only when it is asked to; unasked it would keep them all.
const METRICS_KEPT_EVERY: Duration = Duration::from_secs(5);

/// What `run` was asked for beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Somebody types at the terminal.
    pub console: bool,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub services: Arc<Services>,
    pub address: SocketAddr,
    pub data_dir: PathBuf,
    root: ActorRef<SupervisorMsg>,
    /// Ends when the node gives itself up.
    pub ended: JoinHandle<()>,
    spawner: Arc<NodeSpawner>,
    stop_reading: CancellationToken,
    stop_hub: CancellationToken,
    /// Cancelled when an operator wants the node to stop softly.
    pub drain: CancellationToken,
    /// `None`: the node is alone.
    pub clustering: Option<Arc<Clustering>>,
    /// Held as long as the node uses its data folder.
    _lock: data_dir::Lock,
}

impl Node {
    /// Starts everything, top to bottom. Ports open only after all settings, keys and the storage were found good.
    ///
    /// # Errors
    /// A sentence that says what to change; what was started is stopped with the process.
    pub async fn start(config: Config, options: RunOptions) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let lock = data_dir::Lock::take(&config.node.data_dir)?;
        let keys = data_dir::Keys::read_or_create(&config)?;
        let recorder = metric_names::install()?;
        let background = TaskTracker::new();
        let redis = boot::redis(&config, &background).await?;
        let me = Incarnation(rand::make_rng::<SmallRng>().random());
        let db = boot::open_storage(&config, config.cluster.enabled.then_some(me)).await?;
        let poll_slots = boot::poll_slots(&config, &db, me).await?;

        let spawner = Arc::new(NodeSpawner::default());
        let sampler = memory::Sampler::open(&config.limits)?;
        let events = boot::event_log(&config);
        let notes = Arc::clone(&events.recorder);
        let directory = boot::directory(&config, sampler.memory(), notes, Arc::clone(&spawner));
        let (directory, clustering) = clustering::join(&config, (&db, me), directory, &background).await?;
        let (http, urls) = boot::http_clients(&config)?;
        let streamers = boot::streamers(&config, (&http, &db), redis.as_ref(), &background);
        let outside = (db, urls, streamers);
        let services =
            boot::services(&config, outside, (directory, events), (Arc::clone(&spawner), me), poll_slots);
        let services = Arc::new(services);
        spawner.serve(Arc::clone(&services));
        boot::prepare(&config, &services, options.console).await?;

        let (listener, address) = boot::listen(&config).await?;
        let [stop_reading, stop_hub, drain] = std::array::from_fn(|_| CancellationToken::new());
        let wiring = Arc::new(Wiring {
            vault: keys.vault,
            service_key: keys.service_key,
            http,
            limiter: clustering::limiter(clustering.as_deref(), redis.clone(), &background),
            queue: boot::queue(&services, redis.as_ref(), clustering.as_ref()),
            clustering: clustering.clone(),
            redis,
            board: Arc::new(Board::default()),
            send_budget: Arc::new(ByteBudget::new(config.limits.send_budget_bytes)),
            listener,
            console: options.console,
            stop_reading: stop_reading.clone(),
            stop_hub: stop_hub.clone(),
            drain: drain.clone(),
            services: Arc::clone(&services),
            spawner: Arc::clone(&spawner),
            metrics: recorder.clone(),
            config: Arc::clone(&config),
        });
        let wanted = tree::parts().iter().filter(|part| **part != Part::Ownership || clustering.is_some());
        let parts = wanted.map(|part| parts::child(*part, &wiring)).collect();
        let (root, ended) = Actor::spawn(None, Supervisor { name: "node" }, parts).await?;
        spawner.root.store(Some(Arc::new(root.clone())));
        Self::watch(&config, &wiring, sampler, &background)?;
        keep_metrics(recorder, &background);
        let data_dir = config.node.data_dir.clone();
        Ok(Self {
            services,
            address,
            data_dir,
            root,
            ended,
            spawner,
            stop_reading,
            stop_hub,
            drain,
            clustering,
            _lock: lock,
        })
    }

    fn watch(
        config: &Config,
        wiring: &Wiring,
        memory: memory::Sampler,
        background: &TaskTracker,
    ) -> anyhow::Result<()> {
        let pulse = Arc::new(Pulse::default());
        let watchdog = Watchdog {
            polls: Arc::clone(&wiring.services.poll_slots),
            pulse: Arc::clone(&pulse),
            abort_after: config.node.watchdog,
            member: wiring.clustering.as_ref().map(|clustering| clustering.member.clone()),
            incarnation: wiring.services.incarnation.clone(),
            memory,
        };
        watchdog.start().context("no thread for the watchdog")?;
        background.spawn(async move {
            let mut interval = tokio::time::interval(PULSE_EVERY);
            loop {
                interval.tick().await;
                pulse.beat();
            }
        });
        Ok(())
    }

    /// Cancelled when the cluster took this process for dead; never on a node that is alone.
    pub fn died(&self) -> CancellationToken {
        self.clustering.as_ref().map_or_else(CancellationToken::new, |clustering| clustering.died.clone())
    }

    /// The wall clock of the node.
    pub fn clock(&self) -> &Clock {
        &self.services.clock
    }
}

/// Works for as long as the process lives; nothing waits for it.
fn keep_metrics(recorder: PrometheusHandle, background: &TaskTracker) {
    background.spawn(async move {
        let mut interval = tokio::time::interval(METRICS_KEPT_EVERY);
        loop {
            interval.tick().await;
            recorder.run_upkeep();
        }
    });
}
