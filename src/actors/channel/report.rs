//! What a channel says of itself.

use std::time::Instant;

use super::seat::{Occupant, Seat};
use super::state::{State, Table};
use crate::messages::{ChannelReport, ModuleReport};

impl State {
    /// A snapshot for the runtime API.
    pub fn report(&self) -> ChannelReport {
        let now = Instant::now();
        let enabled = |seat: &Seat| match &self.table {
            Table::Ready(table) => seat.spec.is_on(table),
            _ => !seat.spec.starts_off,
        };
        let mut modules: Vec<_> =
            self.seats.values().map(|seat| module_report(seat, enabled(seat), now)).collect();
        modules.sort_by_key(|module| module.module);
        let last_events = self
            .last_events
            .iter()
            .map(|(at, what, outcome)| {
                format!(
                    "{} s ago: {what}: {}",
                    now.saturating_duration_since(*at).as_secs(),
                    outcome.status()
                )
            })
            .collect();
        ChannelReport {
            channel_id: self.slot.id,
            mailbox: self.slot.lane.in_flight(),
            mailbox_max: self.services.limits.channel_mailbox,
            modules,
            last_events,
        }
    }
}

fn module_report(seat: &Seat, enabled: bool, now: Instant) -> ModuleReport {
    ModuleReport {
        module: seat.spec.name,
        enabled,
        running: matches!(seat.occupant, Occupant::Here(_)),
        breaker: seat.breaker.state().as_str(),
        retry_in_secs: seat.retry_in(now).map(|left| left.as_secs() + 1),
        restarts: seat.restarts,
        failures: seat.failures,
        waiting: seat.waiting.len() + usize::from(seat.in_flight.is_some()),
    }
}
