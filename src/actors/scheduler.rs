//! Fires what is due. One per node.
//!
//! Receives: its own tick. Sends: `TimerDue` and `ReminderDue` events into channels' lanes. Owns: how many lines a channel
//! had when each of its timers last fired, and what it asked for lately. Dies: never by itself.
//!
//! A timer fires when its interval is over, then as soon as enough lines were written, and only while the stream is
//! live unless said otherwise; a reminder at its time. The module claims the due time in SQL, so a second event for it
//! changes nothing, whichever node it comes from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::Value;
use storage::StorageError;
use storage::reminders::{self, Due, MISSED_AFTER};
use storage::timers::{self, Timer};
use ulid::Ulid;

use super::Services;
use crate::cluster::ChannelSlot;
use crate::messages::{
    ChatEvent, Completion, Delivery, EventClass, EventKind, Offer, OutboundReply, ReplySink,
};

const TICK: Duration = Duration::from_millis(500);
/// Due rows read at once; a tick looks at all of them, page by page.
const DUE_PER_PAGE_MAX: u32 = 500;
/// What was fired and nobody claimed is fired again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Scheduler {
    pub services: Arc<Services>,
}

#[derive(Debug, Default)]
pub struct State {
    /// Timer id → the channel's lines when it last fired; a timer that never fired here counts from the start.
    lines_at_fire: HashMap<Ulid, u64>,
    /// Id of a timer or reminder → when its event was sent; until the claim moves the due time, or it is sent again.
    asked: HashMap<Ulid, Instant>,
}

#[derive(Debug)]
pub struct Tick;

impl Actor for Scheduler {
    type Msg = Tick;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || Tick);
        Ok(State::default())
    }

    async fn handle(
        &self,
        _: ActorRef<Tick>,
        Tick: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.services.clock.now();
        state.asked.retain(|_, at| at.elapsed() < ASK_AGAIN_AFTER);
        for looked in [self.timers(state, now).await, self.reminders(state, now).await] {
            if let Err(error) = looked {
                tracing::warn!(%error, "cannot read what is due, trying again");
            }
        }
        Ok(())
    }
}

/// The way out for what nobody asked for: its end ends no line, so it is not told where lines are counted. `None`: what is
/// missed has nothing to say.
#[derive(Debug)]
struct Unasked(Option<Arc<dyn ReplySink>>);

impl ReplySink for Unasked {
    fn deliver(&self, reply: OutboundReply) {
        if let Some(outlet) = &self.0 {
            outlet.deliver(reply);
        }
    }

    fn done(&self, _completion: &Completion) {}

    fn is_outlet(&self) -> bool {
        self.0.as_ref().is_some_and(|outlet| outlet.is_outlet())
    }
}

impl Scheduler {
    async fn timers(&self, state: &mut State, now: DateTime<Utc>) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let due = timers::due(&self.services.db, now, after, DUE_PER_PAGE_MAX).await?;
            for timer in &due {
                self.fire_if_wanted(state, timer);
            }
            after = due.last().map(|timer| timer.id);
            if due.len() < DUE_PER_PAGE_MAX as usize {
                return Ok(());
            }
        }
    }

    async fn reminders(&self, state: &mut State, now: DateTime<Utc>) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let due = reminders::due(&self.services.db, now, after, DUE_PER_PAGE_MAX).await?;
            for reminder in &due {
                self.remind(state, reminder, now);
            }
            after = due.last().copied();
            if due.len() < DUE_PER_PAGE_MAX as usize {
                return Ok(());
            }
        }
    }

    fn fire_if_wanted(&self, state: &mut State, timer: &Timer) {
        let Some(slot) = self.services.directory.get(timer.channel_id) else { return };
        let seen =
            slot.lines().saturating_sub(state.lines_at_fire.get(&timer.id).copied().unwrap_or_default());
        let live = slot.stream().and_then(|info| info.live);
        let enough = seen >= u64::try_from(timer.spec.min_lines).unwrap_or_default();
        if state.asked.contains_key(&timer.id) || !enough || (timer.spec.only_live && live != Some(true)) {
            return;
        }
        let Some(outlet) = slot.outlet() else { return };
        let event = self.event(&slot, EventKind::TimerDue, "timer", (timer.id, timer.next_due_at));
        if self.fire(&slot, event, Some(outlet)) {
            state.lines_at_fire.insert(timer.id, slot.lines());
            state.asked.insert(timer.id, Instant::now());
        }
    }

    /// A reminder waits for a way out, until it counts as missed.
    fn remind(&self, state: &mut State, reminder: &Due, now: DateTime<Utc>) {
        let Some(slot) = self.services.directory.get(reminder.channel_id) else { return };
        let outlet = slot.outlet();
        let is_missed = now - reminder.due_at > MISSED_AFTER;
        if state.asked.contains_key(&reminder.id) || (outlet.is_none() && !is_missed) {
            return;
        }
        let event = self.event(&slot, EventKind::ReminderDue, "reminder", (reminder.id, reminder.due_at));
        if self.fire(&slot, event, outlet) {
            state.asked.insert(reminder.id, Instant::now());
        }
    }

    /// Puts the event into its channel's lane. False: the lane is full; the next look tries again.
    fn fire(&self, slot: &ChannelSlot, event: ChatEvent, outlet: Option<Arc<dyn ReplySink>>) -> bool {
        let (event, sink) = (Arc::new(event), Arc::new(Unasked(outlet)));
        let delivery = Delivery { event, received: Instant::now(), sink, permit: None };
        matches!(self.services.directory.route(slot, delivery, EventClass::Control), Offer::Queued { .. })
    }

    /// Says that the time of what has that id has come; `name` is what the module calls it.
    fn event(
        &self,
        slot: &ChannelSlot,
        kind: EventKind,
        name: &str,
        (id, due_at): (Ulid, DateTime<Utc>),
    ) -> ChatEvent {
        let due_at = due_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let mut event = self.services.system_event(slot);
        event.kind = kind;
        event.message_id = Some(format!("{name}:{id}:{due_at}"));
        event.metadata.insert(format!("{name}_id"), Value::String(id.to_string()));
        event.metadata.insert("due_at".to_owned(), Value::String(due_at));
        event
    }
}
