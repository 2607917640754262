//! What a channel actor remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use domain::Outcome;
use domain::cooldown::SaidOnce;
use domain::recent_ids::{IDS_MAX, IDS_TTL, RecentIds};
use foldhash::fast::RandomState;
use ractor::ActorRef;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::{ModuleSpec, Services};
use super::gate::Gate;
use super::route::Work;
use super::seat::Seat;
use crate::cluster::ChannelSlot;
use crate::messages::{ChannelMsg, CommandTable, Completion, Delivery, Line, ReplySink};

/// Events kept for [`ChannelMsg::Describe`].
const LAST_EVENTS_MAX: usize = 20;

/// Whether the gate may use its table.
#[derive(Debug)]
pub enum Table {
    /// Never read. Commands wait.
    Absent,
    /// Being read; holds the former table, if there was one. Commands wait.
    Loading {
        former: Option<Arc<CommandTable>>,
        again: bool,
    },
    Ready(Arc<CommandTable>),
}

/// The channel's memory: everything here is gone when the channel is passivated, but for what `flush` writes.
#[derive(Debug)]
pub struct State {
    pub services: Arc<Services>,
    pub slot: Arc<ChannelSlot>,
    pub myself: ActorRef<ChannelMsg>,
    pub table: Table,
    /// What is left of this turn's events: a panic of ours must not lose them unsaid.
    pub turn: VecDeque<Delivery>,
    /// Events that wait for the table.
    pub waiting: VecDeque<Delivery>,
    pub seen: RecentIds,
    pub gate: Gate,
    pub said: SaidOnce,
    /// Boxed: a table of one would make room for four.
    pub seats: HashMap<&'static str, Box<Seat>, RandomState>,
    /// Cooldowns that began until then are written, if they are long.
    pub cooldowns_kept: Instant,
    /// Uses of aliases since the last flush.
    pub alias_uses: HashMap<String, i64>,
    /// Lines for the modules that asked for all of them, sent once a turn.
    pub lines: Vec<Line>,
    pub lines_sink: Option<Arc<dyn ReplySink>>,
    pub next_ticket: u64,
    pub used_at: Instant,
    pub draining: bool,
    pub last_events: VecDeque<(Instant, String, Outcome)>,
    pub rng: SmallRng,
}

impl State {
    pub fn new(services: Arc<Services>, slot: Arc<ChannelSlot>, myself: ActorRef<ChannelMsg>) -> Self {
        let seed = u64::try_from(slot.id.0.0 & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            gate: Gate::new(&services.limits, services.registry.clone()),
            services,
            slot,
            myself,
            table: Table::Absent,
            turn: VecDeque::new(),
            waiting: VecDeque::new(),
            seen: RecentIds::new(IDS_MAX, IDS_TTL),
            said: SaidOnce::default(),
            seats: HashMap::default(),
            cooldowns_kept: Instant::now(),
            alias_uses: HashMap::new(),
            lines: Vec::new(),
            lines_sink: None,
            next_ticket: 0,
            used_at: Instant::now(),
            draining: false,
            last_events: VecDeque::new(),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// The place of a module in this channel, made at its first use.
    pub fn seat(&mut self, spec: &ModuleSpec) -> &mut Seat {
        let Self { services, seats, .. } = self;
        seats.entry(spec.name).or_insert_with(|| Box::new(Seat::new(*spec, &services.breakers)))
    }

    /// A number in [0, 1) for back-offs.
    pub fn jitter(&mut self) -> f64 {
        self.rng.random()
    }

    /// Remembers how something ended, for people who ask.
    pub fn note(&mut self, what: String, outcome: Outcome) {
        if self.last_events.len() == LAST_EVENTS_MAX {
            self.last_events.pop_back();
        }
        self.last_events.push_front((Instant::now(), what, outcome));
    }

    /// Whether nothing waits or runs, and the channel is drained or has been idle long enough.
    pub fn may_stop(&self, now: Instant) -> bool {
        let idle_limit = self.services.idle_limit();
        let idle = now.saturating_duration_since(self.used_at) >= idle_limit;
        (self.draining || idle)
            && self.waiting.is_empty()
            && self.slot.lane.is_empty()
            && self.seats.values().all(|seat| seat.is_quiet())
    }

    /// The periodic look: what was lost is ended, idle modules are let go, long cooldowns written.
    pub fn sweep(&mut self) {
        let now = Instant::now();
        let lost: Vec<_> = self
            .seats
            .values()
            .filter(|seat| seat.lost_since(now, super::CALL_LOST_AFTER))
            .map(|seat| seat.spec.name)
            .collect();
        for module in lost {
            tracing::error!(channel.key = %self.slot.key(), module.name = module, "a call never ended; module replaced");
            self.stop_module(module);
            let generation = self.seats.get(module).map_or(0, |seat| seat.generation);
            self.module_down(module, generation, "lost");
        }
        let idle_limit = self.services.idle_limit();
        let idle: Vec<_> = self
            .seats
            .values()
            .filter(|seat| seat.is_quiet() && now.saturating_duration_since(seat.used_at) >= idle_limit)
            .map(|seat| seat.spec.name)
            .collect();
        for module in idle {
            self.stop_module(module);
        }
        self.gate.prune(now);
        self.keep_cooldowns(now);
    }
}

impl Drop for State {
    /// After a crash too, whoever waits for an end is told one, and the modules go with their channel.
    fn drop(&mut self) {
        self.stop_modules();
        for (module, seat) in std::mem::take(&mut self.seats) {
            let Seat { in_flight, waiting, .. } = *seat;
            let calls = in_flight.map(|call| call.end).into_iter();
            for end in calls.chain(waiting.into_iter().map(Work::endings)) {
                if let Some(command) = &end.command {
                    self.log_ended(&end.event, end.received, (command, Some(module)), Outcome::Failed);
                }
                end.done(module, Outcome::Failed);
            }
        }
        for delivery in self.waiting.drain(..).chain(self.turn.drain(..)) {
            // Nothing of it was begun: whoever can brings it again.
            delivery.sink.done(&Completion { outcome: Outcome::Moved, command: None, module: None });
        }
    }
}
