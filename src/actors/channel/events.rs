//! What a channel tells the event log: how commands ended, repeats, and all lines while it is recorded.

use std::time::Instant;

use domain::command_line::CommandLine;
use domain::{Outcome, Refusal};

use super::gate;
use super::state::{State, Table};
use crate::messages::{ChatEvent, EventRecord, RecordedLine, What, record};

impl State {
    /// The one end of a command, with the module that ran it, if one did.
    pub(super) fn log_ended(
        &self,
        event: &ChatEvent,
        received: Instant,
        (command, module): (&str, Option<&'static str>),
        outcome: Outcome,
    ) {
        let level = match &self.table {
            Table::Ready(table) => gate::effective_level(table, &event.user),
            _ => event.user.level,
        };
        let what = What::Ended {
            command: record::name(command),
            module: module.map(Into::into),
            level,
            outcome: bounded(outcome),
            duration_us: u64::try_from(received.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        self.services.directory.recorder().note(EventRecord::of(event, what));
    }

    /// The same message again: worth a note when it was a command.
    pub(super) fn log_repeat(&self, event: &ChatEvent) {
        if event.kind.may_command() && CommandLine::parse(&event.text).is_some() {
            let what = What::Duplicate { source: event.source.as_str().into() };
            self.services.directory.recorder().note(EventRecord::of(event, what));
        }
    }

    /// A line with its text, while the channel is recorded.
    pub(super) fn log_line(&self, event: &ChatEvent) {
        if !self.slot.is_recorded() || !event.kind.may_command() {
            return;
        }
        let line = Box::new(RecordedLine {
            user: event.user.clone(),
            text: record::line_text(&event.text).into(),
            received_at: event.received_at,
        });
        let is_command = CommandLine::parse(&event.text).is_some();
        let what = if is_command { What::CommandLine(line) } else { What::Line(line) };
        self.services.directory.recorder().note(EventRecord::of(event, what));
    }
}

/// What somebody typed is cut; the other texts of an outcome are ours and short.
fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused { refusal: Refusal::Unknown { command } } => {
            let command = record::name(&command).into();
            Outcome::Refused { refusal: Refusal::Unknown { command } }
        }
        other => other,
    }
}
