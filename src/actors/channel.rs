//! The channel actor: one per channel, on one node.
//!
//! Receives: [`ChannelMsg`] in its mailbox, events in its lane. Sends: calls to its module actors, refusals to sinks.
//! Owns: the gate's memory and one [`Seat`](seat::Seat) with a breaker per module.
//! Dies: when idle, when drained, or by a panic of its own; the lane outlives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Services;
use crate::cluster::ChannelSlot;
use crate::messages::{ChannelMsg, ModuleAction};
use state::State;

pub mod events;
pub mod flush;
pub mod gate;
pub mod intake;
pub mod lines;
pub mod load;
pub mod report;
pub mod roles;
pub mod route;
pub mod seat;
pub mod state;
#[cfg(test)]
mod tests;

/// Lines taken from the lane in one turn; control waits for one turn at most.
const LINES_PER_TURN_MAX: usize = 64;
/// Ends a call that neither reported nor died, counted from its start.
const CALL_LOST_AFTER: Duration = Duration::from_secs(20);

/// The actor's unchanging part.
#[derive(Debug)]
pub struct ChannelActor {
    pub services: Arc<Services>,
    pub slot: Arc<ChannelSlot>,
}

impl Actor for ChannelActor {
    type Msg = ChannelMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ChannelMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        self.slot.set_actor(Some(myself.clone()));
        if !self.slot.lane.is_empty() {
            myself.cast(ChannelMsg::Wake)?;
        }
        Ok(State::new(Arc::clone(&self.services), Arc::clone(&self.slot), myself))
    }

    async fn handle(
        &self,
        myself: ActorRef<ChannelMsg>,
        message: ChannelMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChannelMsg::Wake => state.take_turn(),
            ChannelMsg::Finished(report) => state.call_ended(report),
            ChannelMsg::ModuleUp { module, generation, actor } => state.module_up(module, generation, actor),
            ChannelMsg::ModuleDown { module, generation, reason } => {
                state.module_down(module, generation, &reason);
            }
            ChannelMsg::ModuleRetry { module } => state.module_retry(module),
            ChannelMsg::Loaded(loaded) => state.loaded(loaded),
            ChannelMsg::Reload => state.reload(),
            ChannelMsg::Sweep => state.sweep(),
            ChannelMsg::Describe(reply) => drop(reply.send(state.report())),
            ChannelMsg::Operate { module, action, reply } => drop(reply.send(state.operate(&module, action))),
            ChannelMsg::Drain => state.draining = true,
        }
        if state.may_stop(Instant::now()) {
            // Boxed: it happens once, and its size would be moved about with every message.
            Box::pin(state.flush()).await;
            state.stop_modules();
            myself.stop(None);
        }
        Ok(())
    }

    /// Modules are children of the modules' supervisor: their end reaches us as [`ChannelMsg::ModuleDown`].
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<ChannelMsg>,
        _event: ractor::SupervisionEvent,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

impl State {
    /// Works off one batch of the lane, and asks for the next turn when some are left.
    fn take_turn(&mut self) {
        let slot = Arc::clone(&self.slot);
        let (batch, left) = slot.lane.take(LINES_PER_TURN_MAX);
        self.turn = batch;
        while let Some(delivery) = self.turn.pop_front() {
            self.intake(delivery);
        }
        self.send_lines();
        if left && let Err(error) = self.myself.cast(ChannelMsg::Wake) {
            tracing::error!(channel.key = %slot.key(), %error, "channel cannot wake itself");
        }
    }

    /// What an operator asked for. The text says what is wrong with it.
    fn operate(&mut self, module: &str, action: ModuleAction) -> Result<(), String> {
        let Some(spec) = self.services.registry.module(module).copied() else {
            let known: Vec<_> = self.services.registry.modules().iter().map(|spec| spec.name).collect();
            return Err(format!("there is no module `{module}`; known are {}", known.join(", ")));
        };
        // Whether it is switched on is a row that the table holds; here the breaker and the actor follow.
        if action != ModuleAction::Disable {
            self.seat(&spec).enable();
        }
        if action != ModuleAction::Enable {
            self.stop_module(spec.name);
        }
        tracing::info!(channel.key = %self.slot.key(), module.name = module, ?action, "operator changed a module");
        self.pump(spec.name);
        Ok(())
    }
}
