//! What actors may ask supervision for: a module, a channel's start, background work.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use domain::ChannelId;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio_util::task::TaskTracker;

use super::supervisor::{Child, ChildId, Restart, SupervisorMsg};
use crate::actors::Services;
use crate::actors::channel::ChannelActor;
use crate::actors::module_actor::ModuleActor;
use crate::cluster::ChannelSlot;
use crate::messages::{ChannelMsg, ModuleRequest, Spawner};

/// Asks the supervisors of channels and modules on behalf of actors.
#[derive(Default)]
pub struct NodeSpawner {
    /// Set once, right after the services are made: they hold this spawner themselves.
    services: OnceLock<Arc<Services>>,
    /// The running supervisors; replaced when they are restarted.
    pub channels: ArcSwapOption<ActorRef<SupervisorMsg>>,
    pub modules: ArcSwapOption<ActorRef<SupervisorMsg>>,
    pub platforms: ArcSwapOption<ActorRef<SupervisorMsg>>,
    pub root: ArcSwapOption<ActorRef<SupervisorMsg>>,
    /// Work that a soft stop waits for.
    pub tasks: TaskTracker,
}

impl fmt::Debug for NodeSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSpawner").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl NodeSpawner {
    /// Gives the spawner the services that its children get. Before that, it starts nothing.
    pub fn serve(&self, services: Arc<Services>) {
        drop(self.services.set(services));
    }

    /// For a module: a channel that drains may need one more.
    fn slot(&self, channel_id: ChannelId) -> Option<(Arc<Services>, Arc<ChannelSlot>)> {
        let services = self.services.get()?;
        Some((Arc::clone(services), services.directory.get_even_ending(channel_id)?))
    }

    /// The child that runs a channel; `None` when the channel was removed meanwhile.
    fn channel(&self, channel_id: ChannelId) -> Option<Arc<dyn Child>> {
        let services = Arc::clone(self.services.get()?);
        let slot = services.directory.get(channel_id)?;
        Some(Arc::new(ChannelChild { services, slot }))
    }
}

impl Spawner for NodeSpawner {
    fn start_module(&self, request: ModuleRequest) {
        let Some((services, slot)) = self.slot(request.channel_id) else {
            let ModuleRequest { module, generation, channel, .. } = request;
            let reason = "the channel was removed".to_owned();
            // The channel is draining; it may have ended meanwhile.
            drop(channel.cast(ChannelMsg::ModuleDown { module, generation, reason }));
            return;
        };
        let child = Arc::new(ModuleChild { services, slot, request });
        let asked =
            self.modules.load().as_ref().map(|modules| modules.cast(SupervisorMsg::Start(child.clone())));
        if !matches!(asked, Some(Ok(()))) {
            child.ended(Some("the modules' supervisor is not running"));
        }
    }

    fn activate_channel(&self, channel_id: ChannelId) {
        let Some(child) = self.channel(channel_id) else { return };
        // A supervisor that is just being restarted looks at every lane itself.
        if let Some(channels) = self.channels.load().as_ref() {
            drop(channels.cast(SupervisorMsg::Start(child)));
        }
    }

    fn detach(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        tracing::trace!(name, "background work");
        self.tasks.spawn(work);
    }
}

/// A channel under supervision: started when its lane is filled, parked after 5 crashes in 60 s.
#[derive(Debug)]
struct ChannelChild {
    services: Arc<Services>,
    slot: Arc<ChannelSlot>,
}

impl Child for ChannelChild {
    fn id(&self) -> ChildId {
        ChildId::Channel(self.slot.id)
    }

    fn restart(&self) -> Restart {
        Restart::OnDemand(domain::restart::RestartPolicy::channel())
    }

    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let actor = ChannelActor { services: Arc::clone(&self.services), slot: Arc::clone(&self.slot) };
        Box::pin(async move { Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell()) })
    }

    fn ended(&self, crash: Option<&str>) {
        self.slot.set_actor(None);
        if let Some(reason) = crash {
            tracing::error!(channel.key = %self.slot.key(), reason, "channel crashed");
        }
    }

    fn wanted(&self) -> bool {
        !self.slot.lane.is_empty() && self.services.directory.get(self.slot.id).is_some()
    }

    fn drain(&self, actor: &ActorCell) {
        if ActorRef::<ChannelMsg>::from(actor.clone()).cast(ChannelMsg::Drain).is_err() {
            tracing::debug!(channel.key = %self.slot.key(), "channel had ended already");
        }
    }
}

/// A module under supervision: its channel's breaker decides whether it is started again.
#[derive(Debug)]
struct ModuleChild {
    services: Arc<Services>,
    slot: Arc<ChannelSlot>,
    request: ModuleRequest,
}

impl Child for ModuleChild {
    fn id(&self) -> ChildId {
        ChildId::Module(self.slot.id, self.request.module, self.request.generation)
    }

    fn restart(&self) -> Restart {
        Restart::Temporary
    }

    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let (services, slot, request) =
            (Arc::clone(&self.services), Arc::clone(&self.slot), self.request.clone());
        Box::pin(async move {
            let Some(spec) = services.registry.module(request.module).copied() else {
                return Err(SpawnErr::StartupFailed(format!("there is no module {}", request.module).into()));
            };
            let actor = ModuleActor { services, slot, spec, request };
            Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell())
        })
    }

    fn ended(&self, crash: Option<&str>) {
        let ModuleRequest { module, generation, .. } = self.request;
        let reason = crash.unwrap_or("stopped").to_owned();
        // A channel that ended before its module does not want to know.
        drop(self.request.channel.cast(ChannelMsg::ModuleDown { module, generation, reason }));
    }
}
