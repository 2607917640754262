//! What the directory does with events while memory is short.

use std::sync::Mutex;
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::{CommunityId, CorrelationId, Outcome};
use futures_util::future::BoxFuture;
use ulid::Ulid;

use super::*;
use crate::messages::{
    ChatEvent, Chatter, Completion, EventKind, ModuleRequest, OutboundReply, ReplySink, Source, Spawner,
};

#[derive(Debug)]
struct Nobody;

impl Spawner for Nobody {
    fn start_module(&self, _request: ModuleRequest) {}

    fn activate_channel(&self, _channel_id: ChannelId) {}

    fn detach(&self, _name: &'static str, _work: BoxFuture<'static, ()>) {}
}

/// Notes the ends it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Outcome>>);

impl ReplySink for Told {
    fn deliver(&self, _reply: OutboundReply) {}

    fn done(&self, completion: &Completion) {
        self.0.lock().unwrap().push(completion.outcome.clone());
    }
}

fn delivery(slot: &ChannelSlot, sink: &Arc<Told>) -> Delivery {
    let event = ChatEvent {
        channel_id: slot.id,
        platform: slot.platform,
        kind: EventKind::ChatMessage,
        source: Source::TwitchIrc,
        message_id: None,
        user: Chatter::default(),
        text: "!ping".to_owned(),
        sent_at: None,
        received_at: DateTime::<Utc>::UNIX_EPOCH,
        correlation_id: CorrelationId(Ulid::nil()),
        traceparent: None,
        metadata: serde_json::Map::new(),
    };
    let sink: Arc<dyn ReplySink> = Arc::clone(sink) as _;
    Delivery { event: Arc::new(event), received: Instant::now(), sink, permit: None }
}

const CLASSES: [EventClass; 4] =
    [EventClass::Chat, EventClass::Command, EventClass::Moderation, EventClass::Control];

/// Which classes are taken at this share of the ceiling, after each of `percents` was noted.
fn taken_at(percents: &[u64]) -> Vec<EventClass> {
    let memory = Arc::new(Memory::with_ceiling(Some(100 << 20)));
    let budget = Arc::new(ByteBudget::new(1 << 20));
    let directory = Directory::new(8, Arc::clone(&budget), Arc::new(Nobody)).with_memory(Arc::clone(&memory));
    let slot = directory
        .add(vec![SlotSpec {
            id: ChannelId(Ulid::nil()),
            community_id: CommunityId(Ulid::nil()),
            platform: Platform::Twitch,
            login: "ann".to_owned(),
            platform_id: None,
            ownership: None,
        }])
        .remove(0);
    for percent in percents {
        memory.note(percent << 20);
    }
    let sink = Arc::new(Told::default());
    let mut taken = Vec::new();
    for class in CLASSES {
        match directory.route(&slot, delivery(&slot, &sink), class) {
            Offer::Queued { .. } => taken.push(class),
            Offer::Shed { reason, .. } => assert_eq!(reason, "memory"),
            Offer::Full(_) => panic!("there is room"),
        }
    }
    let shed = CLASSES.len() - taken.len();
    assert_eq!(*sink.0.lock().unwrap(), vec![Outcome::Shed; shed], "each shed event is told so, once");
    assert_eq!(slot.lane.in_flight(), taken.len(), "what was shed holds no place");
    slot.lane.take(CLASSES.len());
    assert_eq!(budget.used(), 0);
    taken
}

#[test]
fn short_memory_sheds_chat_then_commands_and_never_moderation_or_control() {
    assert_eq!(taken_at(&[84]), CLASSES);
    assert_eq!(taken_at(&[85]), CLASSES[1..]);
    assert_eq!(taken_at(&[99]), CLASSES[2..]);
    assert_eq!(taken_at(&[99, 500]), CLASSES[2..], "not even far above the ceiling");
    assert_eq!(taken_at(&[99, 50]), CLASSES, "and with memory back all is taken");
}
