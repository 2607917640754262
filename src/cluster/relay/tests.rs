use chrono::{DateTime, Utc};
use domain::{CommunityId, CorrelationId, Platform};
use ulid::Ulid;

use super::*;
use crate::cluster::SlotSpec;
use crate::messages::{ByteBudget, Chatter, EventKind, Lane, OutboundReply, Source};

/// Counts the ends it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Outcome>>);

impl ReplySink for Told {
    fn deliver(&self, _reply: OutboundReply) {}

    fn done(&self, completion: &Completion) {
        self.0.lock().unwrap().push(completion.outcome.clone());
    }
}

fn slot(is_heard: bool) -> Arc<ChannelSlot> {
    let spec = SlotSpec {
        id: ChannelId(Ulid::nil()),
        community_id: CommunityId(Ulid::nil()),
        platform: Platform::Twitch,
        login: "ann".to_owned(),
        platform_id: None,
        ownership: None,
    };
    let slot = ChannelSlot::new(spec, Lane::new(8, Arc::new(ByteBudget::new(1 << 20))));
    slot.set_heard(is_heard);
    Arc::new(slot)
}

fn delivery(slot: &ChannelSlot, sink: &Arc<Told>, id: usize) -> Delivery {
    let event = ChatEvent {
        channel_id: slot.id,
        platform: slot.platform,
        kind: EventKind::ChatMessage,
        source: Source::TwitchIrc,
        message_id: Some(id.to_string()),
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

fn taken(slot: &ChannelSlot, n_events: usize, is_heard: bool) -> [Taken; 1] {
    [Taken { channel_id: slot.id, n_events, is_heard }]
}

#[test]
fn a_channel_is_left_when_the_new_owner_hears_it_and_has_everything() {
    let (relay, slot, sink) = (Relay::default(), slot(true), Arc::new(Told::default()));
    relay.begin(&slot, None);
    for id in 0..3 {
        assert!(matches!(relay.keep(&slot, delivery(&slot, &sink, id)), Offer::Queued { wake: false }));
    }
    relay.released(&[slot.id]);
    relay.handed(&taken(&slot, 2, true));
    assert!(!relay.part(), "one event is here yet");
    relay.handed(&taken(&slot, 5, false));
    assert!(!relay.part(), "the new owner lost its connection meanwhile");
    relay.handed(&taken(&slot, 0, true));
    assert!(relay.part() && relay.is_idle());
    assert_eq!(*sink.0.lock().unwrap(), vec![Outcome::Moved; 3]);
}

#[test]
fn what_is_kept_is_bounded_and_comes_back_with_the_channel() {
    let (relay, slot, sink) = (Relay::default(), slot(true), Arc::new(Told::default()));
    relay.begin(&slot, None);
    for id in 0..EVENTS_MAX {
        relay.keep(&slot, delivery(&slot, &sink, id));
    }
    let shed = relay.keep(&slot, delivery(&slot, &sink, EVENTS_MAX));
    assert!(matches!(shed, Offer::Shed { reason: "handoff_full", .. }), "{shed:?}");
    let back = relay.come_back(slot.id);
    assert!(back.len() == EVENTS_MAX && back[7].event.message_id.as_deref() == Some("7"));
    assert!(relay.is_idle() && sink.0.lock().unwrap().is_empty());
}

#[test]
fn a_channel_that_nobody_heard_here_is_left_at_once() {
    let (relay, slot) = (Relay::default(), slot(false));
    relay.begin(&slot, None);
    assert!(relay.is_idle() && !slot.is_leaving());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_announced_waits_until_it_is_heard_there_but_not_for_ever() {
    let (relay, heard, unheard) = (Relay::default(), slot(true), slot(false));
    relay.announce(&unheard).await;
    {
        let waiting = relay.announce(&heard);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        relay.handed(&taken(&heard, 0, false));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "not heard there yet");
        relay.handed(&taken(&heard, 0, true));
        assert!(futures_util::poll!(&mut waiting).is_ready());
    }
    let started = tokio::time::Instant::now();
    relay.announce(&heard).await;
    assert_eq!(started.elapsed().as_secs(), ANNOUNCED_MAX.as_secs());
    assert!(relay.announced().is_empty());
}
