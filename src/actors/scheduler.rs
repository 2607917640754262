//! Fires what is due. One per node.
//!
//! Receives: its own tick. Sends: `TimerDue` events into channels' lanes. Owns: how many lines a channel had when each
//! of its timers last fired. Dies: never by itself.
//!
//! A timer fires when its interval is over, then as soon as enough lines were written, and only while the stream is
//! live unless said otherwise. The module claims the due time in SQL, so a second event for it changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::Value;
use storage::timers::Timer;

use ulid::Ulid;

use super::Services;
use crate::cluster::ChannelSlot;
use crate::messages::{
    ChatEvent, Completion, Delivery, EventClass, EventKind, Offer, OutboundReply, ReplySink,
};

const TICK: Duration = Duration::from_millis(500);
/// Due timers read at once; a tick looks at all of them, page by page.
const DUE_PER_PAGE_MAX: u32 = 500;
/// A fired timer that nobody claimed is fired again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Scheduler {
    pub services: Arc<Services>,
}

#[derive(Debug, Default)]
pub struct State {
    /// Timer id → the channel's lines when it last fired; a timer that never fired here counts from the start.
    lines_at_fire: HashMap<Ulid, u64>,
    /// Timer id → when its event was sent; until the claim moves the due time, or it is sent again.
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
        let mut after = None;
        loop {
            let due = match storage::timers::due(&self.services.db, now, after, DUE_PER_PAGE_MAX).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what is due, trying again");
                    return Ok(());
                }
            };
            for timer in &due {
                self.fire_if_wanted(state, timer);
            }
            after = due.last().map(|timer| timer.id);
            if due.len() < DUE_PER_PAGE_MAX as usize {
                return Ok(());
            }
        }
    }
}

/// The way out for what nobody asked for: its end ends no line, so it is not told where lines are counted.
#[derive(Debug)]
struct Unasked(Arc<dyn ReplySink>);

impl ReplySink for Unasked {
    fn deliver(&self, reply: OutboundReply) {
        self.0.deliver(reply);
    }

    fn done(&self, _completion: &Completion) {}

    fn is_outlet(&self) -> bool {
        self.0.is_outlet()
    }
}

impl Scheduler {
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
        let (event, sink) = (Arc::new(self.event(&slot, timer)), Arc::new(Unasked(outlet)));
        let delivery = Delivery { event, received: Instant::now(), sink, permit: None };
        // A full lane is tried again with the next look at the timer.
        if let Offer::Queued { .. } = self.services.directory.route(&slot, delivery, EventClass::Control) {
            state.lines_at_fire.insert(timer.id, slot.lines());
            state.asked.insert(timer.id, Instant::now());
        }
    }

    fn event(&self, slot: &ChannelSlot, timer: &Timer) -> ChatEvent {
        let due_at = timer.next_due_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let mut event = self.services.system_event(slot);
        event.kind = EventKind::TimerDue;
        event.message_id = Some(format!("timer:{}:{due_at}", timer.id));
        event.metadata.insert("timer_id".to_owned(), Value::String(timer.id.to_string()));
        event.metadata.insert("due_at".to_owned(), Value::String(due_at));
        event
    }
}
