//! What comes out of the lane: dedup by message id, wait for the table, ask the gate, or hand to subscribers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::command_line::CommandLine;
use domain::stream_info::StreamInfo;
use domain::{Outcome, Refusal};

use super::gate::{self, Passed};
use super::lines;
use super::route::Work;
use super::state::{State, Table};
use crate::messages::{
    CommandCall, CommandTable, Completion, Delivery, EventCall, EventKind, Line, OutboundReply, Reply, Source,
};

/// Events that may wait for the channel's table.
const WAITING_MAX: usize = 64;
/// A refusal is said once per user and command in this time, unless it says how long it lasts itself.
const SAID_WINDOW: Duration = Duration::from_secs(30);

impl State {
    /// Takes one event: a command, an event of the stream, or a plain line.
    pub fn intake(&mut self, delivery: Delivery) {
        self.used_at = Instant::now();
        if self.is_repeat(&delivery) {
            let source = delivery.event.source.as_str();
            metrics::counter!("waddlebot_duplicates_suppressed_total", "source" => source).increment(1);
            self.log_repeat(&delivery.event);
            // No `done`: a repeat is not handled a second time, and the balance of lines counts it as a duplicate.
            return;
        }
        self.log_line(&delivery.event);
        self.dispatch(delivery);
    }

    /// What an event is decides who gets it; without its table it waits, and comes here again.
    pub fn dispatch(&mut self, delivery: Delivery) {
        let may_command = delivery.event.kind.may_command();
        if may_command && CommandLine::parse(&delivery.event.text).is_none() {
            self.plain_line(&delivery);
        } else if let Table::Ready(table) = &self.table {
            let table = Arc::clone(table);
            if may_command { self.command(delivery, &table) } else { self.stream_event(delivery, &table) }
        } else {
            self.wait_for_table(delivery);
        }
    }

    /// Live sources give each message one id; the same id again is the same message.
    fn is_repeat(&mut self, delivery: &Delivery) -> bool {
        let event = &delivery.event;
        // A timer's event comes again until its due time was claimed in SQL, which happens once.
        event.source != Source::Scheduler
            && event.message_id.as_ref().is_some_and(|id| !self.seen.insert(id, Instant::now()))
    }

    fn plain_line(&mut self, delivery: &Delivery) {
        let event = &delivery.event;
        self.slot.count_lines(1);
        if self.slot.wants_lines() {
            if self.lines.len() < lines::LINES_PER_BATCH_MAX {
                let (user, text) = (event.user.clone(), event.text.clone());
                self.lines.push(Line { user, text, message_id: event.message_id.clone() });
                self.lines_sink = Some(Arc::clone(&delivery.sink));
            } else {
                lines::count_lost(1);
            }
        }
        delivery.sink.done(&Completion { outcome: Outcome::Silent, command: None, module: None });
    }

    fn wait_for_table(&mut self, delivery: Delivery) {
        if self.waiting.len() >= WAITING_MAX {
            self.forget_id(&delivery);
            self.refuse(&delivery, None, Refusal::NotLoaded);
            return;
        }
        self.waiting.push_back(delivery);
        self.load_if_absent();
    }

    fn command(&mut self, delivery: Delivery, table: &Arc<CommandTable>) {
        let Some(line) = CommandLine::parse(&delivery.event.text) else { return };
        self.bind_role(&delivery.event.user, table);
        match self.gate.judge(table, &delivery.event.user, line, Instant::now()) {
            Ok(passed) => self.admit(delivery, passed, table),
            Err((name, refusal)) => self.refuse(&delivery, Some(name), refusal),
        }
    }

    fn admit(&mut self, delivery: Delivery, passed: Passed, table: &Arc<CommandTable>) {
        if let Some(alias) = passed.alias {
            *self.alias_uses.entry(alias).or_default() += 1;
        }
        let ticket = self.ticket();
        let call = CommandCall {
            ticket,
            name: passed.name,
            args: passed.args,
            level: passed.level,
            custom: passed.custom,
            event: delivery.event,
            received: delivery.received,
            sink: delivery.sink,
            permit: delivery.permit.map(Arc::new),
            table: Arc::clone(table),
        };
        self.enqueue(passed.module, Work::Command(Box::new(call), passed.reservation));
    }

    /// Events of the stream and of our own timers: the channel notes what it shows, subscribers see it.
    fn stream_event(&mut self, delivery: Delivery, table: &Arc<CommandTable>) {
        let event = &delivery.event;
        match event.kind {
            EventKind::StreamOnline => self.note_stream(event, Some(true)),
            EventKind::StreamOffline => self.note_stream(event, Some(false)),
            _ => {}
        }
        let registry = self.services.registry.clone();
        let kind = event.kind;
        let subscribed =
            registry.modules().iter().filter(|spec| spec.events.contains(&kind) && spec.is_on(table));
        let permit = delivery.permit.map(Arc::new);
        for spec in subscribed {
            let call = EventCall {
                ticket: self.ticket(),
                event: Arc::clone(&delivery.event),
                received: delivery.received,
                sink: Arc::clone(&delivery.sink),
                permit: permit.clone(),
                table: Arc::clone(table),
            };
            self.enqueue(spec.name, Work::Event(Box::new(call)));
        }
        delivery.sink.done(&Completion { outcome: Outcome::Silent, command: None, module: None });
    }

    fn note_stream(&self, event: &crate::messages::ChatEvent, live: Option<bool>) {
        let text = |key: &str| event.metadata.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let started_at = live.and_then(|live| live.then(|| event.sent_at.unwrap_or(event.received_at)));
        let (title, game) = (text("title"), text("game").or_else(|| text("game_name")));
        self.slot.set_stream(StreamInfo { live, started_at, title, game });
    }

    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Ends a command that does not run: counted, told to its sink, and said in chat when that helps.
    pub fn refuse(&mut self, delivery: &Delivery, command: Option<String>, refusal: Refusal) {
        let reply = |text: String| OutboundReply {
            channel_id: self.slot.id,
            reply: Reply::text(text),
            in_reply_to: delivery.event.message_id.clone(),
            received: delivery.received,
            correlation_id: delivery.event.correlation_id,
            permit: None,
        };
        let name = command.clone().unwrap_or_default();
        let user = gate::user_key(&delivery.event.user);
        let window = match refusal {
            Refusal::Cooldown { seconds_left } | Refusal::RateLimited { seconds_left } => {
                Duration::from_secs(seconds_left.into())
            }
            _ => SAID_WINDOW,
        };
        let what = format!("{name}/{}", refusal.status());
        if let Some(text) = refusal.said_in_chat(&name)
            && self.said.should_say(user, &what, Instant::now(), window)
        {
            self.services.say(&self.slot, &*delivery.sink, reply(text));
        }
        let outcome = Outcome::Refused { refusal };
        self.count_command(&name, &outcome);
        self.note(format!("!{name} by {}", delivery.event.user.login), outcome.clone());
        self.log_ended(&delivery.event, delivery.received, (&name, None), outcome.clone());
        delivery.sink.done(&Completion { outcome, command: command.map(Arc::from), module: None });
    }

    /// Counts a command under a label that does not grow with what people type.
    pub fn count_command(&self, name: &str, outcome: &Outcome) {
        let label = match self.services.registry.command(name) {
            Some((_, command)) => command.name,
            None if matches!(outcome, Outcome::Refused { refusal: Refusal::Unknown { .. } }) => "unknown",
            None => "custom",
        };
        self.services.meters.ended(self.slot.platform.as_str(), label, outcome.status());
    }
}
