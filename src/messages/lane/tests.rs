//! What the lane takes, what it charges, and that everything comes back.

use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId, Platform};
use serde_json::{Map, Value, json};
use ulid::Ulid;

use super::*;
use crate::messages::{ChatEvent, Chatter, Completion, EventKind, OutboundReply, ReplySink, Source};

#[derive(Debug)]
struct Nowhere;

impl ReplySink for Nowhere {
    fn deliver(&self, _reply: OutboundReply) {}

    fn done(&self, _completion: &Completion) {}
}

fn delivery(text: &str, metadata: Value) -> Delivery {
    let metadata: Map<String, Value> = serde_json::from_value(metadata).unwrap();
    let event = ChatEvent {
        channel_id: ChannelId(Ulid::nil()),
        platform: Platform::Twitch,
        kind: EventKind::ChatMessage,
        source: Source::TwitchIrc,
        message_id: Some("b34ccfc7-4977-403a-8a94-33c6bac34fb8".to_owned()),
        user: Chatter { login: "ann".to_owned(), ..Chatter::default() },
        text: text.to_owned(),
        sent_at: None,
        received_at: DateTime::<Utc>::UNIX_EPOCH,
        correlation_id: CorrelationId(Ulid::nil()),
        traceparent: None,
        metadata,
    };
    Delivery { event: Arc::new(event), received: Instant::now(), sink: Arc::new(Nowhere), permit: None }
}

fn lane(bound: usize, budget_bytes: u64) -> (Lane, Arc<ByteBudget>) {
    let budget = Arc::new(ByteBudget::new(budget_bytes));
    (Lane::new(bound, Arc::clone(&budget)), budget)
}

/// What a lane charges for one event.
fn charge(text: &str, metadata: Value) -> u64 {
    let (lane, budget) = lane(8, u64::MAX / 2);
    assert!(matches!(lane.offer(delivery(text, metadata), EventClass::Command), Offer::Queued { .. }));
    let used = budget.used();
    drop(lane);
    assert_eq!(budget.used(), 0, "all of it comes back");
    used
}

#[test]
fn an_event_is_charged_with_all_that_it_owns() {
    let plain = charge("!ping", json!({}));
    assert!((400..2_000).contains(&plain), "{plain}");
    assert!(charge(&"x".repeat(500), json!({})) >= plain + 495);
    let document = json!({ "blob": "x".repeat(60_000) });
    assert!(charge("!ping", document) >= plain + 60_000, "metadata counts like text");
}

#[test]
fn metadata_is_charged_with_what_it_takes_in_memory_and_not_with_its_length_as_text() {
    let numbers = json!({ "numbers": vec![0; 30_000] });
    assert!(charge("!ping", numbers.clone()) >= 30_000 * size_of::<Value>() as u64);
    let nested = json!({ "a": { "b": [{ "c": "x".repeat(1_000) }, numbers] } });
    assert!(charge("!ping", nested) >= 1_000 + 30_000 * size_of::<Value>() as u64);
    let names: Map<String, Value> = (0..1_000).map(|n| (format!("name-{n}"), Value::Null)).collect();
    assert!(charge("!ping", Value::Object(names)) >= 1_000 * size_of::<(String, Value)>() as u64);
}

#[test]
fn an_empty_budget_sheds_chat_and_commands_and_passes_what_is_urgent() {
    let (lane, budget) = lane(8, 4_000);
    let huge = || delivery("!say", json!({ "blob": "x".repeat(5_000) }));
    for class in [EventClass::Chat, EventClass::Command] {
        let offer = lane.offer(huge(), class);
        assert!(matches!(offer, Offer::Shed { reason: "node_budget", .. }), "{offer:?}");
    }
    assert_eq!((lane.in_flight(), budget.used()), (0, 0), "what was shed holds nothing");
    for class in [EventClass::Moderation, EventClass::Control] {
        assert!(matches!(lane.offer(huge(), class), Offer::Queued { .. }));
    }
    assert_eq!(budget.used(), 0, "the urgent take nothing of a spent budget");
    assert_eq!(lane.take(8).0.len(), 2);
    assert_eq!(budget.used(), 0, "and give nothing back");
}

#[test]
fn chat_goes_first_then_commands_and_the_urgent_have_room_of_their_own() {
    let (lane, budget) = lane(8, 1 << 20);
    let offer = |class| matches!(lane.offer(delivery("x", json!({})), class), Offer::Queued { .. });
    let taken = |class| (0..1_000).take_while(|_| offer(class)).count();
    assert_eq!(taken(EventClass::Chat), 6);
    assert_eq!(taken(EventClass::Command), 2);
    assert_eq!(taken(EventClass::Control), URGENT_BEYOND_BOUND_MAX);
    let refused = lane.offer(delivery("x", json!({})), EventClass::Moderation);
    assert!(matches!(refused, Offer::Full(_)), "{refused:?}");
    let (events, left) = lane.take(usize::MAX);
    assert_eq!((events.len(), left, lane.in_flight()), (264, false, 264), "taken is not yet done");
    drop(events);
    assert_eq!((lane.in_flight(), budget.used()), (0, 0));
}
