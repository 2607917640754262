//! One module's place in a channel: its breaker, its actor when one runs, and the calls that wait for it.
//!
//! The seat outlives the module actor. At most one call is in flight; the others wait here, in order, so a crash
//! takes only the call that caused it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::breaker::{Breaker, BreakerConfig, BreakerState};
use ractor::ActorRef;
use storage::suspects::Suspected;

use super::gate::Reservation;
use super::route::Work;
use crate::actors::ModuleSpec;
use crate::messages::{ChatEvent, CommandCall, Completion, EventCall, Line, ModuleMsg, ReplySink};
use crate::telemetry::breakers::{Breakers, Shown};

/// Calls that may wait behind one that takes long; one more is refused as busy.
pub const WAITING_CALLS_MAX: usize = 32;

/// From here on a call in flight takes long.
const BUSY_AFTER: Duration = Duration::from_millis(250);

/// The call that the module actor works on, with what ends it when the actor cannot.
#[derive(Debug)]
pub struct InFlight {
    pub ticket: u64,
    pub since: Instant,
    pub end: CallEndings,
}

/// Where the end of a call is told, and what a failure gives back.
#[derive(Debug)]
pub struct CallEndings {
    /// The command's name; `None` for an event.
    pub command: Option<Arc<str>>,
    pub event: Arc<ChatEvent>,
    pub reservation: Option<Reservation>,
    pub sink: Arc<dyn ReplySink>,
    pub received: Instant,
}

impl CallEndings {
    pub fn of_command(call: &CommandCall, reservation: Reservation) -> Self {
        Self {
            command: Some(Arc::clone(&call.name)),
            event: Arc::clone(&call.event),
            reservation: Some(reservation),
            sink: Arc::clone(&call.sink),
            received: call.received,
        }
    }

    pub fn of_event(call: &EventCall) -> Self {
        Self {
            command: None,
            event: Arc::clone(&call.event),
            reservation: None,
            sink: Arc::clone(&call.sink),
            received: call.received,
        }
    }

    /// Tells the sink that no further reply comes. Events were told when they were handed on.
    pub fn done(&self, module: &'static str, outcome: domain::Outcome) {
        if self.command.is_some() {
            self.sink.done(&Completion { outcome, command: self.command.clone(), module: Some(module) });
        }
    }
}

/// The module actor of this seat.
#[derive(Debug)]
pub enum Occupant {
    Nobody,
    /// Asked for; the answer is `ModuleUp` or `ModuleDown`.
    Starting,
    Here(ActorRef<ModuleMsg>),
    /// Crashed; may be started again from then on.
    BackingOff {
        until: Instant,
    },
}

#[derive(Debug)]
pub struct Seat {
    pub spec: ModuleSpec,
    pub breaker: Breaker,
    /// What the metrics show of the breaker.
    pub shown: Shown,
    pub occupant: Occupant,
    /// Counts starts; a late word of an earlier actor is told by it.
    pub generation: u64,
    pub in_flight: Option<InFlight>,
    /// What the actor gets as soon as it runs.
    pub handed: Option<ModuleMsg>,
    pub waiting: VecDeque<Work>,
    /// Shared with the batch of lines that the module has; alone here when it has none.
    pub hearing: Arc<()>,
    /// Lines that the module asked for and has not been given yet; bounded.
    pub unheard: Vec<Line>,
    pub restarts: u64,
    pub failures: u64,
    pub used_at: Instant,
    /// Falls of processes that the breaker knows of.
    pub n_falls: i64,
}

impl Seat {
    /// An empty seat.
    pub fn new(spec: ModuleSpec, breakers: &Arc<Breakers>) -> Self {
        let now = Instant::now();
        let breaker = Breaker::new(BreakerConfig::module());
        let shown = breakers.show(spec.name, breaker.state());
        Self {
            spec,
            breaker,
            shown,
            occupant: Occupant::Nobody,
            generation: 0,
            in_flight: None,
            handed: None,
            waiting: VecDeque::new(),
            hearing: Arc::default(),
            unheard: Vec::new(),
            restarts: 0,
            failures: 0,
            used_at: now,
            n_falls: 0,
        }
    }

    /// Processes fell while this module ran in this channel. Opens the breaker for each fall that is new here, disables
    /// it after the second; `true` when something changed.
    pub fn suspect(&mut self, suspected: &Suspected, jitter: f64) -> bool {
        if suspected.n_falls <= std::mem::replace(&mut self.n_falls, suspected.n_falls) {
            return false;
        }
        if suspected.is_disabled {
            self.breaker.disable();
        } else {
            self.breaker = Breaker::opened(BreakerConfig::module(), Instant::now(), jitter);
        }
        self.shown.set(self.breaker.state());
        true
    }

    /// Nothing in flight and nothing waiting.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_none() && self.waiting.is_empty()
    }

    /// Whether a further call is refused: many wait behind one that takes long. A burst in front of a quick module is
    /// bounded by the channel's permits alone.
    pub fn is_busy(&self, now: Instant) -> bool {
        let slow = |call: &InFlight| now.saturating_duration_since(call.since) >= BUSY_AFTER;
        self.waiting.len() >= WAITING_CALLS_MAX && self.in_flight.as_ref().is_some_and(slow)
    }

    /// Whether a call has been in flight so long that its end must have been lost.
    pub fn lost_since(&self, now: Instant, limit: Duration) -> bool {
        self.in_flight.as_ref().is_some_and(|call| now.saturating_duration_since(call.since) >= limit)
    }

    /// An operator closes the breaker.
    pub fn enable(&mut self) {
        self.breaker.enable();
        self.shown.set(self.breaker.state());
        if matches!(self.occupant, Occupant::BackingOff { .. }) {
            self.occupant = Occupant::Nobody;
        }
    }

    /// Seconds until an open breaker lets a probe through.
    pub fn retry_in(&self, now: Instant) -> Option<Duration> {
        match self.breaker.state() {
            BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }
}
