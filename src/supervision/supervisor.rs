//! The one supervisor: starts children, restarts them within their policy, parks or escalates, drains before it stops.
//!
//! Receives: [`SupervisorMsg`] and the ends of its children. Sends: nothing but what children define for their end.
//! Owns: the list of children with their restart counts.
//! Dies: when a child's policy says escalate, or when it is drained.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ChannelId;
use domain::restart::{RestartPolicy, Restarts, Verdict};
use futures_util::future::BoxFuture;
use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::messages::PartReport;

/// Who a child is, to its supervisor and to people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChildId {
    /// A part of the node, by name.
    Part(&'static str),
    Channel(ChannelId),
    /// A module in a channel; the number tells one start from the next.
    Module(ChannelId, &'static str, u64),
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(name) => f.write_str(name),
            Self::Channel(id) => write!(f, "channel {id}"),
            Self::Module(id, module, generation) => write!(f, "module {module} #{generation} of {id}"),
        }
    }
}

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug)]
pub enum Restart {
    /// Always, within the policy.
    Permanent(RestartPolicy),
    /// After a crash within the policy, after a clean end when it is still wanted.
    OnDemand(RestartPolicy),
    /// Never by the supervisor: the one who asked for it decides (a channel's breaker).
    Temporary,
}

/// How to make, tell and end one child.
pub trait Child: fmt::Debug + Send + Sync + 'static {
    fn id(&self) -> ChildId;

    fn restart(&self) -> Restart;

    /// Starts the actor, linked to the supervisor. Must not wait for anything slow.
    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>>;

    /// Told at every end; `crash` holds the reason unless the end was clean.
    fn ended(&self, _crash: Option<&str>) {}

    /// Whether there is still work for it after a clean end.
    fn wanted(&self) -> bool {
        false
    }

    /// Asks the running actor to finish what it has and stop.
    fn drain(&self, actor: &ActorCell) {
        actor.stop(None);
    }
}

#[derive(Debug)]
pub enum SupervisorMsg {
    /// Starts a child unless it runs, waits for its restart or is parked.
    Start(Arc<dyn Child>),
    /// The pause before a restart is over.
    Due(ChildId),
    /// An operator: forget the crashes, start now.
    Unpark(ChildId, RpcReplyPort<bool>),
    /// The node is stopping: nothing is started or restarted any more.
    Freeze,
    /// Drains every child; answers with how many had to be killed, then stops.
    Drain {
        within: Duration,
        reply: RpcReplyPort<usize>,
    },
    DrainOver,
    List(RpcReplyPort<Vec<PartReport>>),
}

#[derive(Debug)]
enum Status {
    Running(ActorCell),
    /// Crashed, waits for its restart.
    Waiting,
    /// Crashed too often, left alone for a while.
    Parked,
}

#[derive(Debug)]
struct Entry {
    child: Arc<dyn Child>,
    restarts: Option<Restarts>,
    status: Status,
}

#[derive(Debug)]
struct Draining {
    reply: Option<RpcReplyPort<usize>>,
    killed: usize,
}

pub struct State {
    children: HashMap<ChildId, Entry>,
    by_actor: HashMap<ActorId, ChildId>,
    frozen: bool,
    draining: Option<Draining>,
    rng: SmallRng,
}

/// Supervises one kind of children; the name is for logs and metrics.
#[derive(Debug)]
pub struct Supervisor {
    pub name: &'static str,
}

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = State;
    /// Children to start with, in order.
    type Arguments = Vec<Arc<dyn Child>>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        first: Vec<Arc<dyn Child>>,
    ) -> Result<State, ActorProcessingErr> {
        for child in first {
            myself.cast(SupervisorMsg::Start(child))?;
        }
        let rng = SmallRng::seed_from_u64(myself.get_id().pid());
        Ok(State { children: HashMap::new(), by_actor: HashMap::new(), frozen: false, draining: None, rng })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Start(child) => {
                if let Some(entry) = state.children.get_mut(&child.id()) {
                    // A channel that was removed and added again has a new slot: that one counts from now on.
                    entry.child = child;
                } else if !state.frozen {
                    self.launch(&myself, state, child, None).await?;
                } else if state.draining.is_some() && matches!(child.restart(), Restart::OnDemand(_)) {
                    // Accepted before the stop, so it is worked off: started and drained at once.
                    self.launch(&myself, state, child, None).await?;
                    drain_running(state);
                }
            }
            SupervisorMsg::Due(id) => {
                let due =
                    state.children.get(&id).is_some_and(|entry| !matches!(entry.status, Status::Running(_)));
                if due && !state.frozen {
                    self.relaunch(&myself, state, &id).await?;
                }
            }
            SupervisorMsg::Unpark(id, reply) => {
                let parked =
                    state.children.get(&id).is_some_and(|entry| matches!(entry.status, Status::Parked));
                if parked {
                    tracing::info!(child = %id, "operator restarts a parked child");
                    self.relaunch(&myself, state, &id).await?;
                }
                drop(reply.send(parked));
            }
            SupervisorMsg::Freeze => state.frozen = true,
            SupervisorMsg::Drain { within, reply } => self.drain(&myself, state, within, reply),
            SupervisorMsg::DrainOver => kill_the_rest(state),
            SupervisorMsg::List(reply) => drop(reply.send(list(state))),
        }
        stop_when_drained(&myself, state);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => {
                self.ended(&myself, state, actor.get_id(), None).await?;
            }
            SupervisionEvent::ActorFailed(actor, error) => {
                self.ended(&myself, state, actor.get_id(), Some(&error.to_string())).await?;
            }
            _ => {}
        }
        stop_when_drained(&myself, state);
        Ok(())
    }
}

impl Supervisor {
    async fn launch(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        state: &mut State,
        child: Arc<dyn Child>,
        restarts: Option<Restarts>,
    ) -> Result<(), ActorProcessingErr> {
        let id = child.id();
        let restarts = restarts.or_else(|| match child.restart() {
            Restart::Permanent(policy) | Restart::OnDemand(policy) => Some(Restarts::new(policy)),
            Restart::Temporary => None,
        });
        match child.spawn(myself.get_cell()).await {
            Ok(actor) => {
                state.by_actor.insert(actor.get_id(), id.clone());
                let mut entry = Entry { child, restarts, status: Status::Running(actor) };
                if let Some(restarts) = &mut entry.restarts {
                    restarts.started(Instant::now());
                }
                state.children.insert(id, entry);
                Ok(())
            }
            Err(error) => {
                let entry = Entry { child, restarts, status: Status::Waiting };
                self.crashed(myself, state, entry, &error.to_string())
            }
        }
    }

    async fn relaunch(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        state: &mut State,
        id: &ChildId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(entry) = state.children.remove(id) else { return Ok(()) };
        self.launch(myself, state, entry.child, entry.restarts).await
    }

    async fn ended(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        state: &mut State,
        actor: ActorId,
        crash: Option<&str>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(id) = state.by_actor.remove(&actor) else { return Ok(()) };
        let Some(entry) = state.children.remove(&id) else { return Ok(()) };
        if let Some(reason) = crash {
            return self.crashed(myself, state, entry, reason);
        }
        entry.child.ended(None);
        let again = match entry.child.restart() {
            Restart::Permanent(_) => true,
            Restart::OnDemand(_) => entry.child.wanted(),
            Restart::Temporary => false,
        };
        let worked_off = state.draining.is_some() && matches!(entry.child.restart(), Restart::OnDemand(_));
        if again && (!state.frozen || worked_off) {
            self.launch(myself, state, entry.child, entry.restarts).await?;
            if worked_off {
                drain_running(state);
            }
        }
        Ok(())
    }

    /// A child crashed or did not start: restart, park or escalate, as its policy says.
    fn crashed(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        state: &mut State,
        mut entry: Entry,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        let id = entry.child.id();
        entry.child.ended(Some(reason));
        let Some(restarts) = &mut entry.restarts else { return Ok(()) };
        if state.frozen {
            return Ok(());
        }
        let verdict = restarts.crashed(Instant::now(), state.rng.random());
        metrics::counter!("waddlebot_supervisor_restarts_total", "supervisor" => self.name).increment(1);
        let pause = match verdict {
            Verdict::RestartAfter(pause) => {
                tracing::warn!(supervisor = self.name, child = %id, reason, pause_ms = pause.as_millis(), "child crashed");
                entry.status = Status::Waiting;
                pause
            }
            Verdict::Park(pause) => {
                tracing::error!(supervisor = self.name, child = %id, reason, pause_secs = pause.as_secs(),
                    "child crashed too often and is parked");
                entry.status = Status::Parked;
                pause
            }
            Verdict::Escalate => {
                tracing::error!(supervisor = self.name, child = %id, reason, "child crashed too often, giving up");
                return Err(format!("{id} crashed too often: {reason}").into());
            }
        };
        state.children.insert(id.clone(), entry);
        myself.send_after(pause, move || SupervisorMsg::Due(id));
        Ok(())
    }

    fn drain(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        state: &mut State,
        within: Duration,
        reply: RpcReplyPort<usize>,
    ) {
        state.children.retain(|_, entry| matches!(entry.status, Status::Running(_)));
        tracing::debug!(supervisor = self.name, children = state.children.len(), "draining");
        drain_running(state);
        state.frozen = true;
        state.draining = Some(Draining { reply: Some(reply), killed: 0 });
        myself.send_after(within, || SupervisorMsg::DrainOver);
    }
}

/// Asks every running child to finish; asking twice is harmless.
fn drain_running(state: &State) {
    for entry in state.children.values() {
        if let Status::Running(actor) = &entry.status {
            entry.child.drain(actor);
        }
    }
}

/// The time for draining is over.
fn kill_the_rest(state: &mut State) {
    let Some(draining) = &mut state.draining else { return };
    for (id, entry) in state.children.drain() {
        if let Status::Running(actor) = entry.status {
            tracing::warn!(child = %id, "did not stop in time, killed");
            draining.killed += 1;
            actor.kill();
        }
    }
}

fn stop_when_drained(myself: &ActorRef<SupervisorMsg>, state: &mut State) {
    let Some(draining) = &mut state.draining else { return };
    if state.children.is_empty() {
        if let Some(reply) = draining.reply.take() {
            drop(reply.send(draining.killed));
        }
        myself.stop(None);
    }
}

fn list(state: &State) -> Vec<PartReport> {
    let mut list: Vec<_> = state
        .children
        .values()
        .map(|entry| PartReport {
            child: entry.child.id().to_string(),
            state: match entry.status {
                Status::Running(_) => "running",
                Status::Waiting => "waiting",
                Status::Parked => "parked",
            },
            crashes: entry.restarts.as_ref().map_or(0, Restarts::crashes_total),
        })
        .collect();
    list.sort_by(|a, b| a.child.cmp(&b.child));
    list
}

#[cfg(test)]
mod tests;
