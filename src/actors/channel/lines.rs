//! Every line of the channel, for the modules that asked for it: in batches, lossy, at most one batch a module under way.

use std::sync::Arc;
use std::time::Instant;

use domain::BreakerState;

use super::seat::{Occupant, Seat};
use super::state::{State, Table};
use crate::actors::ModuleSpec;
use crate::messages::{CommandTable, ModuleMsg};

impl State {
    /// Hands the lines of this turn to the modules that asked for all lines.
    pub fn send_lines(&mut self) {
        let (Some(sink), false) = (self.lines_sink.take(), self.lines.is_empty()) else { return };
        let Table::Ready(table) = &self.table else {
            self.lines_sink = Some(sink);
            self.load_if_absent();
            return;
        };
        let table = Arc::clone(table);
        let lines = std::mem::take(&mut self.lines);
        let n_lines = lines.len() as u64;
        let registry = self.services.registry.clone();
        for spec in registry.modules().iter().filter(|spec| listens(spec, &table)) {
            let seat = self.seat(spec);
            if seat.hears_still() {
                count_lost(n_lines);
                continue;
            }
            let (lines, sink, table) = (lines.clone(), Arc::clone(&sink), Arc::clone(&table));
            let message = ModuleMsg::Lines { lines, sink, table, under_way: Arc::clone(&seat.hearing) };
            self.hand_lines(spec, message, n_lines);
        }
    }

    fn hand_lines(&mut self, spec: &ModuleSpec, message: ModuleMsg, n_lines: u64) {
        let now = Instant::now();
        let seat = self.seat(spec);
        seat.used_at = now;
        let half_open = seat.breaker.poll(now);
        let closed = matches!(seat.breaker.state(), BreakerState::Closed);
        match &seat.occupant {
            Occupant::Here(actor) if closed => {
                if actor.cast(message).is_err() {
                    count_lost(n_lines);
                }
            }
            Occupant::Nobody if closed && seat.handed.is_none() && seat.in_flight.is_none() => {
                seat.handed = Some(message);
                self.start_module(spec.name);
            }
            // Lines are no probe: a command closes the breaker again.
            _ => count_lost(n_lines),
        }
        if let Some(state) = half_open {
            self.breaker_changed(spec.name, state);
        }
    }

    /// Notes in the slot whether anybody wants every line, so that connections need not build events for nobody.
    pub fn note_listeners(&self, table: &CommandTable) {
        let wants = self.services.registry.modules().iter().any(|spec| listens(spec, table));
        self.slot.set_wants_lines(wants);
    }
}

impl Seat {
    /// Whether the last batch of lines is still with the module.
    fn hears_still(&self) -> bool {
        Arc::strong_count(&self.hearing) > 1
    }
}

fn listens(spec: &ModuleSpec, table: &CommandTable) -> bool {
    spec.lines && table.modules.get(spec.name).copied().unwrap_or(true)
}

fn count_lost(n_lines: u64) {
    metrics::counter!("waddlebot_observer_lines_dropped_total").increment(n_lines);
}
