//! Every line of the channel, for the modules that asked for it: in batches, at most one a module under way. What a slow
//! module has not taken waits in its seat, up to a bound; beyond it lines are lost and counted.

use std::sync::Arc;
use std::time::Instant;

use domain::BreakerState;

use super::seat::{Occupant, Seat};
use super::state::{State, Table};
use crate::actors::ModuleSpec;
use crate::messages::{CommandTable, ModuleMsg};

/// Lines that wait in a seat, and lines of one batch.
pub const LINES_PER_BATCH_MAX: usize = 256;

impl State {
    /// Hands the lines of this turn, and what waited, to the modules that asked for all lines.
    pub fn send_lines(&mut self) {
        let Table::Ready(table) = &self.table else {
            if !self.lines.is_empty() {
                self.load_if_absent();
            }
            return;
        };
        let table = Arc::clone(table);
        let lines = std::mem::take(&mut self.lines);
        let registry = self.services.registry.clone();
        for spec in registry.modules().iter().filter(|spec| listens(spec, &table)) {
            if lines.is_empty() && !self.seats.contains_key(spec.name) {
                continue;
            }
            let seat = self.seat(spec);
            let room = LINES_PER_BATCH_MAX.saturating_sub(seat.unheard.len());
            count_lost(lines.len().saturating_sub(room));
            seat.unheard.extend(lines.iter().take(room).cloned());
            if !seat.unheard.is_empty() && !seat.hears_still() {
                self.hand_lines(spec, &table);
            }
        }
    }

    fn hand_lines(&mut self, spec: &ModuleSpec, table: &Arc<CommandTable>) {
        let now = Instant::now();
        let Some(sink) = self.lines_sink.clone() else { return };
        let seat = self.seat(spec);
        let half_open = seat.breaker.poll(now);
        let closed = matches!(seat.breaker.state(), BreakerState::Closed);
        let idle =
            matches!(seat.occupant, Occupant::Nobody) && seat.handed.is_none() && seat.in_flight.is_none();
        let here = match &seat.occupant {
            Occupant::Here(actor) => Some(actor.clone()),
            _ => None,
        };
        // Lines are no probe: a command closes an open breaker again.
        if closed && (here.is_some() || idle) {
            seat.used_at = now;
            let lines = std::mem::take(&mut seat.unheard);
            let n_lines = lines.len();
            let under_way = Arc::clone(&seat.hearing);
            let message = ModuleMsg::Lines { lines, sink, table: Arc::clone(table), under_way };
            if let Some(actor) = here {
                if actor.cast(message).is_err() {
                    count_lost(n_lines);
                }
            } else {
                seat.handed = Some(message);
                self.start_module(spec.name);
            }
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
    spec.lines && spec.is_on(table)
}

/// Counts lines that a module asked for and did not get.
pub fn count_lost(n_lines: usize) {
    metrics::counter!("waddlebot_observer_lines_dropped_total").increment(n_lines as u64);
}
