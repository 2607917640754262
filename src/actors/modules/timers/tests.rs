//! Timers as moderators set them and the scheduler fires them.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Level;
use serde_json::Value;
use storage::timers::Timer;

use crate::actors::modules::testing::World;
use crate::http::tests::server::{Server, answer};
use crate::messages::{ChatEvent, EventKind, Source};

async fn timer(world: &World, name: &str) -> Timer {
    let timers = storage::timers::list(&world.services.db, world.slot.id).await.unwrap();
    timers.into_iter().find(|timer| timer.spec.name == name).unwrap()
}

/// What the scheduler sends for that due time.
fn due(world: &World, timer: &Timer, due_at: DateTime<Utc>) -> ChatEvent {
    let due_at = due_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut event = world.event(Level::Owner, "", "", &format!("timer:{}:{due_at}", timer.id));
    event.kind = EventKind::TimerDue;
    event.source = Source::Scheduler;
    event.metadata.insert("timer_id".to_owned(), Value::String(timer.id.to_string()));
    event.metadata.insert("due_at".to_owned(), Value::String(due_at));
    event
}

async fn fired(world: &mut World, event: &ChatEvent) -> Vec<String> {
    let replies = world.event_to("timers", event).await.unwrap();
    replies.into_iter().map(|reply| reply.text).collect()
}

#[tokio::test]
async fn a_due_timer_speaks_once_and_begins_a_new_interval() {
    let mut world = World::new().await;
    assert_eq!(
        world.moderator("!timer add water 15 5 Drink, $(channel)!").await,
        "Timer water added: every 15 min, after 5 lines, while the stream is live."
    );
    let set = timer(&world, "water").await;
    assert_eq!((set.next_due_at - world.clock.now(), set.spec.only_live), (TimeDelta::minutes(15), true));
    world.clock.advance(TimeDelta::minutes(16));
    let event = due(&world, &set, set.next_due_at);
    assert_eq!(fired(&mut world, &event).await, ["Drink, waddle!"]);
    assert_eq!(timer(&world, "water").await.next_due_at - world.clock.now(), TimeDelta::minutes(15));
    assert!(fired(&mut world, &event).await.is_empty(), "the same due time speaks once");
    let mut other_id = event.clone();
    other_id.message_id = Some("another".to_owned());
    assert!(fired(&mut world, &other_id).await.is_empty(), "another message cannot claim it again");
}

#[tokio::test]
async fn a_timer_runs_a_custom_command() {
    let mut world = World::new().await;
    world.moderator("!addcom social Follow $(user), $(count) asked").await;
    world.moderator("!social").await;
    world.moderator("!timer add s 1 0 !social -always").await;
    world.clock.advance(TimeDelta::minutes(2));
    let set = timer(&world, "s").await;
    let event = due(&world, &set, set.next_due_at);
    assert_eq!(fired(&mut world, &event).await, ["Follow waddle, 2 asked"]);
    world.moderator("!command disable social").await;
    world.clock.advance(TimeDelta::minutes(5));
    let set = timer(&world, "s").await;
    let event = due(&world, &set, set.next_due_at);
    assert!(fired(&mut world, &event).await.is_empty());
    let next = timer(&world, "s").await.next_due_at;
    assert_eq!(next - world.clock.now(), TimeDelta::minutes(1), "a silent timer goes on to its next time");
}

#[tokio::test]
async fn a_timer_says_a_page() {
    let server = Server::start(|_, _| answer(200, "", b"sunny")).await;
    let mut world = World::allowing(server.address).await;
    let refused = world.moderator("!timer add w 1 0 -always $(urlfetch http://10.0.0.1/)").await;
    assert!(refused.contains("the address is not on the public internet"), "{refused}");
    let url = server.url("/$(user)");
    world.moderator(&format!("!timer add w 1 0 -always It is $(urlfetch {url})")).await;
    world.clock.advance(TimeDelta::minutes(2));
    let set = timer(&world, "w").await;
    let event = due(&world, &set, set.next_due_at);
    assert_eq!(fired(&mut world, &event).await, ["It is sunny"]);
    assert!(server.last_head().starts_with("get /waddle http/1.1"), "{}", server.last_head());
}

#[tokio::test]
async fn a_timer_is_switched_listed_and_removed() {
    let mut world = World::new().await;
    assert!(world.moderator("!timer list").await.starts_with("There are no timers yet"));
    world.moderator("!timer add a 1h 0 x").await;
    assert_eq!(
        world.moderator("!timer add -always b 5 0 y").await,
        "Timer b added: every 5 min, after 0 lines, live or not."
    );
    assert!(!timer(&world, "b").await.spec.only_live);
    assert_eq!(world.moderator("!timer disable A").await, "Timer a is off.");
    let off = timer(&world, "a").await;
    let event = due(&world, &off, off.next_due_at);
    assert!(fired(&mut world, &event).await.is_empty(), "a timer that is off is silent");
    assert_eq!(world.moderator("!timers").await, "Timers: a (every 60 min, off), b (every 5 min)");
    world.clock.advance(TimeDelta::hours(5));
    assert_eq!(world.moderator("!timer enable a").await, "Timer a is on.");
    assert_eq!(timer(&world, "a").await.next_due_at - world.clock.now(), TimeDelta::hours(1));
    assert_eq!(world.moderator("!timer remove a").await, "Timer a removed.");
    assert!(fired(&mut world, &event).await.is_empty(), "a timer that is gone is silent");
}

#[tokio::test]
async fn a_mistake_is_answered_with_what_to_type() {
    let mut world = World::new().await;
    world.moderator("!timer add a 5 0 x").await;
    world.moderator("!addcom hi Hello").await;
    world.moderator("!alias add hey hi").await;
    for (line, want) in [
        ("!timer add", "Type !timer add <name>"),
        ("!timer dance", "Type !timer add <name>"),
        ("!timer remove", "Type !timer add <name>"),
        ("!timer add a 5 0 again", "There is a timer a already"),
        ("!timer add b 5 0 $(usr)", "there is no variable `usr`"),
        ("!timer add b 5 0 !uptime", "A timer runs custom commands only, and !uptime is none"),
        ("!timer add b 5 0 !hey", "A timer runs custom commands only"),
        ("!timer add b 5 0 !ho", "There is no command !ho; did you mean !hi?"),
        ("!timer add b 5 0 !", "a command needs a name"),
        ("!timer remove b", "There is no timer b"),
        ("!timer enable b", "There is no timer b"),
        ("!timer disable b", "There is no timer b"),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
}

#[tokio::test]
async fn a_channel_has_at_most_fifty_timers() {
    let mut world = World::new().await;
    for n in 0..50 {
        world.moderator(&format!("!timer add t{n} 5 0 x")).await;
    }
    assert_eq!(
        world.moderator("!timer add more 5 0 x").await,
        "A channel has at most 50 timers; remove one first."
    );
}

#[tokio::test]
async fn an_event_without_its_timer_is_passed_over() {
    let mut world = World::new().await;
    let mut event = world.event(Level::Owner, "", "", "m");
    event.kind = EventKind::TimerDue;
    for (id, due_at) in [("nonsense", "2030-01-01T00:00:00Z"), ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "soon")] {
        event.metadata.insert("timer_id".to_owned(), Value::String(id.to_owned()));
        event.metadata.insert("due_at".to_owned(), Value::String(due_at.to_owned()));
        assert!(fired(&mut world, &event).await.is_empty());
    }
}
