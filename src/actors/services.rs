//! What every actor of the node is given at its start.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId, Level};
use serde_json::Map;
use storage::{Db, module_states};
use tokio::sync::Semaphore;
use ulid::Ulid;

use super::ModuleSpec;
use super::modules::Registry;
use crate::cluster::{ChannelSlot, Directory};
use crate::config::LimitsConfig;
use crate::http::UrlFetcher;
use crate::messages::spawner::SharedSpawner;
use crate::messages::streamers::StreamerLookup;
use crate::messages::{
    ChatEvent, Chatter, Clock, Ends, EventKind, EventRecord, OutboundReply, Pressure, ReplySink, Source,
    What, record,
};
use crate::telemetry::breakers::Breakers;
use crate::telemetry::command_meters::CommandMeters;
use crate::telemetry::event_log::EventLog;
use crate::telemetry::poll_slots::PollSlots;

/// The handles that actors share; made once at the start of the node.
#[derive(Debug)]
pub struct Services {
    pub node_id: String,
    /// This process, never the same again; claims in the storage carry it.
    pub incarnation: String,
    pub started_at: DateTime<Utc>,
    pub clock: Clock,
    pub db: Db,
    /// Fetches pages for modules.
    pub urls: UrlFetcher,
    /// Knows who streams what.
    pub streamers: Arc<dyn StreamerLookup>,
    pub directory: Arc<Directory>,
    pub spawner: SharedSpawner,
    pub registry: Registry,
    pub limits: LimitsConfig,
    /// What became of replies that belong to effects.
    pub ends: Arc<Ends>,
    /// What the metrics show of all breakers.
    pub breakers: Arc<Breakers>,
    pub meters: CommandMeters,
    /// What happened; for those who look back.
    pub events: Arc<EventLog>,
    /// Channels whose table is read at the same time; the others wait their turn.
    pub loads: Arc<Semaphore>,
    /// Where the watchdog sees which module is being polled.
    pub poll_slots: Arc<PollSlots>,
}

/// How many channels may read their tables at the same time: enough to keep the storage busy, few enough that each
/// answer comes soon.
pub const LOADS_MAX: usize = 16;
/// What is idle for so long goes while memory is short, whatever `limits.module_idle_secs` says.
const IDLE_UNDER_PRESSURE: Duration = Duration::from_secs(30);

impl Services {
    /// How long a module or channel may be idle: while memory is short it is let go soon, so that memory comes back.
    pub fn idle_limit(&self) -> Duration {
        idle_limit(self.limits.module_idle, self.directory.memory().pressure())
    }

    /// Hands a reply to where it goes. While the channel is recorded, what it says is kept.
    pub fn say(&self, slot: &ChannelSlot, sink: &dyn ReplySink, reply: OutboundReply) {
        if slot.is_recorded() {
            let text = record::line_text(&reply.reply.text);
            self.directory.recorder().note(EventRecord::of_reply(&reply, What::Said { text }));
        }
        sink.deliver(reply);
    }

    /// Has the lines of those channels brought here that switched on a module which hears lines. Where the storage does not
    /// tell, all lines are brought until the channel's table does.
    pub async fn bring_lines(&self, slots: &[Arc<ChannelSlot>]) {
        let hears = |spec: &&ModuleSpec| spec.lines && spec.starts_off;
        let modules: Vec<&str> = self.registry.modules().iter().filter(hears).map(|spec| spec.name).collect();
        if modules.is_empty() {
            return;
        }
        for slots in slots.chunks(module_states::ASKED_MAX) {
            let ids: Vec<ChannelId> = slots.iter().map(|slot| slot.id).collect();
            let wanting = match module_states::switched_on(&self.db, &ids, &modules).await {
                Ok(wanting) => wanting,
                Err(error) => {
                    tracing::warn!(%error, channels = ids.len(), "cannot tell who wants all lines");
                    ids
                }
            };
            for slot in slots.iter().filter(|slot| wanting.contains(&slot.id)) {
                slot.set_wants_lines(true);
            }
        }
    }

    /// An event that nobody wrote: ours, with the owner's level.
    pub fn system_event(&self, slot: &ChannelSlot) -> ChatEvent {
        ChatEvent {
            channel_id: slot.id,
            platform: slot.platform,
            kind: EventKind::ChatMessage,
            source: Source::Scheduler,
            message_id: None,
            user: Chatter { login: "waddlebot".into(), level: Level::Owner, ..Chatter::default() },
            text: String::new(),
            sent_at: None,
            received_at: self.clock.now(),
            correlation_id: CorrelationId(Ulid::new()),
            traceparent: None,
            metadata: Map::new(),
        }
    }
}

fn idle_limit(limit: Duration, pressure: Pressure) -> Duration {
    match pressure {
        Pressure::None => limit,
        Pressure::Chat | Pressure::Commands => limit.min(IDLE_UNDER_PRESSURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_memory_is_short_what_is_idle_goes_sooner_and_never_later() {
        let (ten_minutes, second) = (Duration::from_mins(10), Duration::from_secs(1));
        assert_eq!(idle_limit(ten_minutes, Pressure::None), ten_minutes);
        assert_eq!(idle_limit(ten_minutes, Pressure::Chat), IDLE_UNDER_PRESSURE);
        assert_eq!(idle_limit(ten_minutes, Pressure::Commands), IDLE_UNDER_PRESSURE);
        assert_eq!(idle_limit(second, Pressure::Commands), second);
    }
}
