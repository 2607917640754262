//! From the gate to the module actor: ask the breaker, start the actor, hand over one call at a time, end it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domain::breaker::{Admission, AfterCrash, BreakerState, CallResult};
use domain::{Outcome, Refusal};
use ractor::ActorRef;

use super::gate::Reservation;
use super::seat::{CallEndings, InFlight, Occupant};
use super::state::State;
use crate::messages::{
    CallEnd, CallReport, CommandCall, EventCall, ModuleMsg, ModuleRequest, OutboundReply, Reply, Source,
};
use crate::telemetry::metric_names::SERVICE;

/// Counts the starts of module actors in this process, so that the supervisor never takes a new one for an old one,
/// whatever became of the channel in between.
static STARTS: AtomicU64 = AtomicU64::new(1);

/// A call that waits for its module.
#[derive(Debug)]
pub enum Work {
    Command(Box<CommandCall>, Reservation),
    Event(Box<EventCall>),
}

impl Work {
    fn split(self) -> (ModuleMsg, CallEndings, u64) {
        match self {
            Self::Command(call, reservation) => {
                let (end, ticket) = (CallEndings::of_command(&call, reservation), call.ticket);
                (ModuleMsg::Command(call), end, ticket)
            }
            Self::Event(call) => {
                let (end, ticket) = (CallEndings::of_event(&call), call.ticket);
                (ModuleMsg::Event(call), end, ticket)
            }
        }
    }

    pub(super) fn endings(self) -> CallEndings {
        self.split().1
    }
}

impl State {
    /// Puts a call at the end of its module's queue and hands over what can be handed over.
    pub fn enqueue(&mut self, module: &'static str, work: Work) {
        let Some(spec) = self.services.registry.module(module).copied() else { return };
        let seat = self.seat(&spec);
        let now = Instant::now();
        seat.used_at = now;
        if seat.is_busy(now) {
            self.end_refused(module, &work.endings(), Refusal::Busy { module: module.to_owned() });
            return;
        }
        seat.waiting.push_back(work);
        self.pump(module);
    }

    /// Hands calls to the module while one is waiting and none is in flight.
    pub fn pump(&mut self, module: &'static str) {
        let now = Instant::now();
        while let Some(seat) = self.seats.get_mut(module) {
            if seat.in_flight.is_some() || seat.waiting.is_empty() {
                return;
            }
            match &seat.occupant {
                Occupant::Starting => return,
                Occupant::BackingOff { until } if now < *until => return,
                _ => {}
            }
            let Some(work) = seat.waiting.pop_front() else { return };
            let half_open = seat.breaker.poll(now);
            let admission = seat.breaker.admit(now);
            if let Some(state) = half_open {
                self.breaker_changed(module, state);
            }
            match admission {
                Admission::Rejected { retry_at } => {
                    let wall =
                        retry_at.map(|at| self.services.clock.now() + at.saturating_duration_since(now));
                    let refusal = Refusal::Unavailable { module: module.to_owned(), retry_at: wall };
                    self.end_refused(module, &work.endings(), refusal);
                }
                Admission::Call | Admission::Probe => self.hand_over(module, work, now),
            }
        }
    }

    fn hand_over(&mut self, module: &'static str, work: Work, now: Instant) {
        let Some(seat) = self.seats.get_mut(module) else { return };
        let actor = match &seat.occupant {
            Occupant::Here(actor) => Some(actor.clone()),
            _ => None,
        };
        let Some(actor) = actor else {
            // The breaker admitted this call; it keeps its admission while the actor starts.
            let (message, end, ticket) = work.split();
            seat.in_flight = Some(InFlight { ticket, since: now, end });
            seat.handed = Some(message);
            self.start_module(module);
            return;
        };
        let (message, end, ticket) = work.split();
        seat.in_flight = Some(InFlight { ticket, since: now, end });
        let generation = seat.generation;
        if actor.cast(message).is_err() {
            self.module_down(module, generation, "ended before its call");
        }
    }

    pub(super) fn start_module(&mut self, module: &'static str) {
        let (channel_id, channel) = (self.slot.id, self.myself.clone());
        let Some(seat) = self.seats.get_mut(module) else { return };
        seat.generation = STARTS.fetch_add(1, Ordering::Relaxed);
        seat.occupant = Occupant::Starting;
        let request = ModuleRequest { channel_id, module, generation: seat.generation, channel };
        self.services.spawner.start_module(request);
    }

    /// The module actor runs: it gets the call that waited for it.
    pub fn module_up(&mut self, module: &'static str, generation: u64, actor: ActorRef<ModuleMsg>) {
        let Some(seat) = self.seats.get_mut(module).filter(|seat| seat.generation == generation) else {
            actor.stop(Some("superseded".to_owned()));
            return;
        };
        if let Some(message) = seat.handed.take()
            && actor.cast(message).is_err()
        {
            self.module_down(module, generation, "ended before its first call");
            return;
        }
        seat.occupant = Occupant::Here(actor);
        self.pump(module);
    }

    /// The back-off is over: what waits is handed over.
    pub fn module_retry(&mut self, module: &'static str) {
        if let Some(seat) = self.seats.get_mut(module)
            && matches!(seat.occupant, Occupant::BackingOff { until } if Instant::now() >= until)
        {
            seat.occupant = Occupant::Nobody;
        }
        self.pump(module);
    }

    /// The module actor ended. If nobody asked for it, that is a crash.
    pub fn module_down(&mut self, module: &'static str, generation: u64, reason: &str) {
        let Some(seat) = self.seats.get_mut(module).filter(|seat| seat.generation == generation) else {
            return;
        };
        seat.handed = None;
        // Let go by us, so its end is no crash; a call that it never began is ended all the same.
        let let_go = matches!(seat.occupant, Occupant::Nobody | Occupant::BackingOff { .. });
        if !let_go {
            seat.occupant = Occupant::Nobody;
        }
        if let Some(call) = seat.in_flight.take() {
            self.end_failed(module, &call.end, Outcome::Failed);
            if let_go {
                self.record(module, CallResult::Cancelled);
            }
        }
        if let_go {
            self.pump(module);
            return;
        }
        self.crashed(module, reason);
    }

    /// A call ended; the breaker hears of it, a failure gives back what the gate took.
    pub fn call_ended(&mut self, report: CallReport) {
        let module = report.module;
        let fresh = self.seats.get_mut(module).filter(|seat| seat.generation == report.generation);
        let call = fresh.and_then(|seat| seat.in_flight.take_if(|call| call.ticket == report.ticket));
        let Some(call) = call else { return };
        match report.end {
            CallEnd::Succeeded { answered, slow } => {
                let outcome = if answered { Outcome::Answered } else { Outcome::Silent };
                self.close(module, &call.end, outcome);
                self.record(module, CallResult::Success { slow });
            }
            CallEnd::Failed { attempts } => {
                self.close_failed(module, &call.end, Outcome::Failed);
                for _ in 0..attempts {
                    self.record(module, CallResult::Failure);
                }
            }
            CallEnd::NoStorage => {
                self.close_failed(module, &call.end, Outcome::Failed);
                self.record(module, CallResult::Cancelled);
            }
            CallEnd::TimedOut { in_storage } => {
                self.end_failed(module, &call.end, Outcome::TimedOut);
                self.stop_module(module);
                let result = if in_storage { CallResult::Cancelled } else { CallResult::Failure };
                self.record(module, result);
            }
            CallEnd::Crashed { reason } => {
                self.end_failed(module, &call.end, Outcome::Failed);
                if let Some(seat) = self.seats.get_mut(module) {
                    seat.occupant = Occupant::Nobody;
                }
                self.crashed(module, &reason);
            }
        }
        self.pump(module);
    }

    fn record(&mut self, module: &'static str, result: CallResult) {
        let jitter = self.jitter();
        let Some(seat) = self.seats.get_mut(module) else { return };
        if matches!(result, CallResult::Failure) {
            seat.failures += 1;
        }
        if let Some(changed) = seat.breaker.record(result, Instant::now(), jitter) {
            self.breaker_changed(module, changed);
        }
    }

    fn crashed(&mut self, module: &'static str, reason: &str) {
        let (now, jitter) = (Instant::now(), self.jitter());
        let Some(seat) = self.seats.get_mut(module) else { return };
        seat.restarts += 1;
        seat.failures += 1;
        metrics::counter!("waddlebot_module_restarts_total", "module" => module, "reason" => "crash")
            .increment(1);
        tracing::warn!(channel.key = %self.slot.key(), module.name = module, reason, "module crashed");
        match seat.breaker.crashed(now, jitter) {
            AfterCrash::RestartAfter(pause) => {
                seat.occupant = Occupant::BackingOff { until: now + pause };
                let myself = self.myself.clone();
                myself.send_after(pause, move || crate::messages::ChannelMsg::ModuleRetry { module });
            }
            AfterCrash::Opened { until } => self.breaker_changed(module, BreakerState::Open { until }),
            AfterCrash::Disabled => self.breaker_changed(module, BreakerState::Disabled),
        }
        self.pump(module);
    }

    pub(super) fn breaker_changed(&mut self, module: &'static str, state: BreakerState) {
        metrics::counter!("waddlebot_circuit_breaker_transitions_total",
            "circuit_name" => module, "state" => state.as_str())
        .increment(1);
        let key = self.slot.key();
        tracing::warn!(channel.key = %key, module.name = module, breaker = state.as_str(), "breaker changed");
        if let Some(seat) = self.seats.get_mut(module) {
            seat.shown.set(state);
        }
        if matches!(state, BreakerState::Open { .. } | BreakerState::Disabled) {
            metrics::counter!("waddlebot_circuit_breaker_failures_total",
                "service" => SERVICE, "circuit_name" => module)
            .increment(1);
            self.stop_module(module);
        }
    }

    /// Lets a module actor go; its end is no crash.
    pub fn stop_module(&mut self, module: &'static str) {
        let Some(seat) = self.seats.get_mut(module) else { return };
        if let Occupant::Here(actor) = std::mem::replace(&mut seat.occupant, Occupant::Nobody) {
            actor.stop(None);
        }
    }

    pub fn stop_modules(&mut self) {
        let modules: Vec<_> = self.seats.keys().copied().collect();
        for module in modules {
            self.stop_module(module);
        }
    }

    /// A refusal of a call that had passed the gate: what it took comes back.
    fn end_refused(&mut self, module: &'static str, end: &CallEndings, refusal: Refusal) {
        let command = end.command.as_deref().unwrap_or_default();
        let what = format!("{module}/{}", refusal.status());
        let window = std::time::Duration::from_secs(30);
        if end.command.is_some()
            && let Some(text) = refusal.said_in_chat(command)
            && self.said.should_say(&end.event.user.login, &what, Instant::now(), window)
        {
            self.say(end, text);
        }
        self.close_failed(module, end, Outcome::Refused { refusal });
    }

    /// A call that nobody answered: the user is told.
    fn end_failed(&mut self, module: &'static str, end: &CallEndings, outcome: Outcome) {
        if let Some(command) = &end.command {
            let text = match outcome {
                Outcome::TimedOut => format!("!{command} took too long and was stopped."),
                _ => format!("!{command} failed; the others go on working."),
            };
            self.say(end, text);
        }
        self.close_failed(module, end, outcome);
    }

    fn close_failed(&mut self, module: &'static str, end: &CallEndings, outcome: Outcome) {
        if let (Some(command), Some(reservation)) = (&end.command, end.reservation) {
            self.gate.release(command, &end.event.user, reservation);
        }
        // Who called may call again under the same id: an effect that happened all the same happens no second time.
        if end.event.source == Source::Router
            && let Some(id) = &end.event.message_id
        {
            self.seen.remove(id);
        }
        self.close(module, end, outcome);
    }

    fn close(&mut self, module: &'static str, end: &CallEndings, outcome: Outcome) {
        if let Some(command) = &end.command {
            self.count_command(command, &outcome);
            self.note(format!("!{command} by {}", end.event.user.login), outcome.clone());
            self.log_ended(&end.event, end.received, (command, Some(module)), outcome.clone());
        }
        end.done(module, outcome);
    }

    fn say(&self, end: &CallEndings, text: String) {
        let reply = OutboundReply {
            channel_id: self.slot.id,
            reply: Reply::text(text),
            in_reply_to: end.event.message_id.clone(),
            received: end.received,
            correlation_id: end.event.correlation_id,
            permit: None,
        };
        self.services.say(&self.slot, &*end.sink, reply);
    }
}
