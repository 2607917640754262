//! How each part of the tree is made.

use std::fmt;
use std::sync::Arc;

use domain::restart::RestartPolicy;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use ractor::{Actor, ActorCell, SpawnErr};
use secrecy::SecretString;
use storage::Vault;
use tokio_util::sync::CancellationToken;

use super::clustering::Clustering;
use super::operator::NodeOperator;
use super::replicas::Replicas;
use super::spawner::NodeSpawner;
use super::supervisor::{Child, ChildId, Restart, Supervisor};
use super::task_actor::TaskActor;
use super::tree::Part;
use super::upkeep::Upkeep;
use crate::actors::Services;
use crate::actors::bookmark_pages::BookmarkPages;
use crate::actors::changes::Changes;
use crate::actors::outbox::Outbox;
use crate::actors::queued_events::QueuedEvents;
use crate::actors::scheduler::Scheduler;
use crate::config::Config;
use crate::http::HttpClient;
use crate::hub::{self, HubDeps};
use crate::limits::Limiter;
use crate::messages::{Board, ByteBudget};
use crate::platforms::{PLATFORMS, PlatformDeps, PlatformSpec};
use crate::queue::{Policy, Queue, ReaderSpec};
use crate::redis::Redis;
use crate::telemetry::event_writer::EventWriter;

/// Everything that parts are made from.
pub struct Wiring {
    pub config: Arc<Config>,
    pub services: Arc<Services>,
    pub spawner: Arc<NodeSpawner>,
    pub board: Arc<Board>,
    pub queue: Arc<Queue>,
    /// What the replies that wait in all senders of the node may take.
    pub send_budget: Arc<ByteBudget>,
    pub vault: Vault,
    pub service_key: SecretString,
    pub http: HttpClient,
    /// `None`: everything in memory.
    pub redis: Option<Redis>,
    /// Limits of callers; outlives a restart of the hub.
    pub limiter: Arc<Limiter>,
    pub metrics: PrometheusHandle,
    /// Bound once, so that a restart of the hub keeps its port.
    pub listener: std::net::TcpListener,
    pub console: bool,
    /// `None`: the node is alone.
    pub clustering: Option<Arc<Clustering>>,
    pub stop_reading: CancellationToken,
    pub stop_hub: CancellationToken,
    /// Cancelled by an operator who wants the node to stop softly.
    pub drain: CancellationToken,
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring").finish_non_exhaustive()
    }
}

type Spawned = BoxFuture<'static, Result<ActorCell, SpawnErr>>;

/// The child that runs `part`.
pub fn child(part: Part, wiring: &Arc<Wiring>) -> Arc<dyn Child> {
    Arc::new(PartChild { part, wiring: Arc::clone(wiring) })
}

#[derive(Debug)]
struct PartChild {
    part: Part,
    wiring: Arc<Wiring>,
}

impl Child for PartChild {
    fn id(&self) -> ChildId {
        ChildId::Part(self.part.name())
    }

    fn restart(&self) -> Restart {
        Restart::Permanent(RestartPolicy::node_part())
    }

    fn spawn(&self, supervisor: ActorCell) -> Spawned {
        let wiring = Arc::clone(&self.wiring);
        match self.part {
            Part::Events => Box::pin(events(wiring, supervisor)),
            Part::Modules => Box::pin(modules(wiring, supervisor)),
            Part::Channels => Box::pin(channels(wiring, supervisor)),
            Part::Upkeep => Box::pin(async move {
                let send_budget = Arc::clone(&wiring.send_budget);
                let upkeep = Upkeep { services: Arc::clone(&wiring.services), send_budget };
                Ok(Actor::spawn_linked(None, upkeep, (), supervisor).await?.0.get_cell())
            }),
            Part::Replicas => Box::pin(async move {
                let replicas = Replicas { db: wiring.services.db.clone() };
                Ok(Actor::spawn_linked(None, replicas, (), supervisor).await?.0.get_cell())
            }),
            Part::Changes => Box::pin(async move {
                let changes = Changes { services: Arc::clone(&wiring.services) };
                Ok(Actor::spawn_linked(None, changes, (), supervisor).await?.0.get_cell())
            }),
            Part::Ownership => Box::pin(ownership(wiring, supervisor)),
            Part::Outbox => Box::pin(async move {
                let outbox = Outbox { services: Arc::clone(&wiring.services) };
                Ok(Actor::spawn_linked(None, outbox, (), supervisor).await?.0.get_cell())
            }),
            Part::Scheduler => Box::pin(async move {
                let scheduler = Scheduler { services: Arc::clone(&wiring.services) };
                Ok(Actor::spawn_linked(None, scheduler, (), supervisor).await?.0.get_cell())
            }),
            Part::Queue => Box::pin(queue(wiring, supervisor)),
            Part::Platforms => Box::pin(platforms(wiring, supervisor)),
            Part::Hub => Box::pin(hub(wiring, supervisor)),
        }
    }
}

async fn events(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (log, clock) = (Arc::clone(&wiring.services.events), wiring.services.clock.clone());
    let run = Arc::new(move |stop: CancellationToken| -> BoxFuture<'static, Result<(), String>> {
        let writer = EventWriter::new(Arc::clone(&log), clock.clone());
        Box::pin(async move {
            writer.run(stop).await;
            Ok(())
        })
    });
    let actor = TaskActor { name: "events", run, tasks: wiring.spawner.tasks.clone() };
    Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell())
}

async fn ownership(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let clustering = wiring.clustering.as_ref();
    let Some(ownership) = clustering.and_then(|clustering| clustering.ownership(&wiring.services)) else {
        return Err(SpawnErr::StartupFailed("the node is in no cluster".into()));
    };
    Ok(Actor::spawn_linked(None, ownership, (), supervisor).await?.0.get_cell())
}

async fn modules(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (actor, _) =
        Actor::spawn_linked(None, Supervisor { name: "modules" }, Vec::new(), supervisor).await?;
    wiring.spawner.modules.store(Some(Arc::new(actor.clone())));
    Ok(actor.get_cell())
}

/// After a restart the channels' actors are gone with their former supervisor: filled lanes are woken again.
async fn channels(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (actor, _) =
        Actor::spawn_linked(None, Supervisor { name: "channels" }, Vec::new(), supervisor).await?;
    let directory = &wiring.services.directory;
    let slots = directory.all();
    for slot in &slots {
        slot.set_actor(None);
    }
    wiring.spawner.channels.store(Some(Arc::new(actor.clone())));
    for slot in slots.iter().filter(|slot| !slot.lane.is_empty()) {
        directory.wake(slot);
    }
    Ok(actor.get_cell())
}

async fn queue(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let tasks = wiring.spawner.tasks.clone();
    let run = Arc::new(move |stop: CancellationToken| -> BoxFuture<'static, Result<(), String>> {
        let services = &wiring.services;
        let events = QueuedEvents {
            directory: Arc::clone(&services.directory),
            clock: services.clock.clone(),
            gateway: wiring.clustering.as_ref().map(|clustering| clustering.gateway.clone()),
        };
        let reader = ReaderSpec {
            queue: Arc::clone(&wiring.queue),
            handlers: vec![Arc::new(events), Arc::new(BookmarkPages { services: Arc::clone(services) })],
            policy: Policy::default(),
            stop_claiming: wiring.stop_reading.clone(),
        };
        Box::pin(async move {
            reader.run(stop).await;
            Ok(())
        })
    });
    let actor = TaskActor { name: "queue", run, tasks };
    Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell())
}

async fn platforms(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let services = &wiring.services;
    let deps = PlatformDeps {
        config: Arc::clone(&wiring.config),
        directory: Arc::clone(&services.directory),
        db: services.db.clone(),
        vault: wiring.vault.clone(),
        clock: services.clock.clone(),
        board: Arc::clone(&wiring.board),
        send_budget: Arc::clone(&wiring.send_budget),
        http: wiring.http.clone(),
        tasks: wiring.spawner.tasks.clone(),
        stop_reading: wiring.stop_reading.clone(),
        console: wiring.console,
    };
    let wanted = PLATFORMS.iter().filter(|spec| (spec.wanted)(&deps));
    let children: Vec<Arc<dyn Child>> = wanted
        .map(|spec| Arc::new(PlatformChild { spec: *spec, deps: deps.clone() }) as Arc<dyn Child>)
        .collect();
    let (actor, _) =
        Actor::spawn_linked(None, Supervisor { name: "platforms" }, children, supervisor).await?;
    wiring.spawner.platforms.store(Some(Arc::new(actor.clone())));
    Ok(actor.get_cell())
}

async fn hub(wiring: Arc<Wiring>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let tasks = wiring.spawner.tasks.clone();
    let run = Arc::new(move |stop: CancellationToken| -> BoxFuture<'static, Result<(), String>> {
        let wiring = Arc::clone(&wiring);
        Box::pin(async move {
            let listener = wiring.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
            let listener = listener.map_err(|error| format!("the listener is gone: {error}"))?;
            // Ends with the node's soft stop, which waits for open requests, or with its actor.
            let ending = wiring.stop_hub.child_token();
            let peers = wiring.clustering.as_ref().map(|clustering| clustering.peer_listener()).transpose();
            let peers = peers.map_err(|error| format!("the cluster's listener is gone: {error}"))?;
            let mut served = std::pin::pin!(hub::serve(hub_deps(&wiring, ending.clone()), listener, peers));
            let ended = tokio::select! {
                ended = &mut served => ended,
                () = stop.cancelled() => {
                    ending.cancel();
                    served.await
                }
            };
            ended.map_err(|error| error.to_string())
        })
    });
    let actor = TaskActor { name: "hub", run, tasks };
    Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell())
}

fn hub_deps(wiring: &Arc<Wiring>, stop: CancellationToken) -> HubDeps {
    let services = &wiring.services;
    HubDeps {
        config: Arc::clone(&wiring.config),
        db: services.db.clone(),
        directory: Arc::clone(&services.directory),
        clock: services.clock.clone(),
        events: Arc::clone(&services.events),
        urls: services.urls.clone(),
        streamers: Arc::clone(&services.streamers),
        board: Arc::clone(&wiring.board),
        queue: Arc::clone(&wiring.queue),
        redis: wiring.redis.clone(),
        gateway: wiring.clustering.as_ref().map(|clustering| clustering.gateway.clone()),
        limiter: Arc::clone(&wiring.limiter),
        metrics: wiring.metrics.clone(),
        service_key: wiring.service_key.clone(),
        modules: Arc::new(super::boot::module_infos(&services.registry)),
        operator: Arc::new(NodeOperator {
            spawner: Arc::clone(&wiring.spawner),
            directory: Arc::clone(&services.directory),
            services: Arc::clone(services),
            member: wiring.clustering.as_ref().map(|clustering| clustering.member.clone()),
            drain: wiring.drain.clone(),
        }),
        node: hub::NodeInfo {
            id: services.node_id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: services.started_at,
        },
        stop,
    }
}

/// A platform under supervision: restarted for ever.
#[derive(Debug)]
struct PlatformChild {
    spec: PlatformSpec,
    deps: PlatformDeps,
}

impl Child for PlatformChild {
    fn id(&self) -> ChildId {
        ChildId::Part(self.spec.name)
    }

    fn restart(&self) -> Restart {
        Restart::Permanent(RestartPolicy::platform())
    }

    fn spawn(&self, supervisor: ActorCell) -> Spawned {
        (self.spec.spawn)(self.deps.clone(), supervisor)
    }
}
