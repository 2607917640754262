//! Reminders as chats meet them, on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Level;
use futures_util::FutureExt;
use serde_json::Value;
use storage::reminders::{self, NewReminder, PER_CREATOR_MAX, Reminder, Status};
use storage::{Effect, OpId, Scope};

use crate::actors::modules::testing::World;
use crate::messages::{ChatEvent, EventKind, Source};

async fn numbered(world: &World, number: i64) -> Option<Reminder> {
    reminders::by_number(&world.services.db, world.slot.community_id, number).await.unwrap()
}

/// What the scheduler sends for that due time.
fn due(world: &World, reminder: &Reminder, due_at: DateTime<Utc>) -> ChatEvent {
    let due_at = due_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut event = world.event(Level::Owner, "", "", &format!("reminder:{}:{due_at}", reminder.id));
    event.kind = EventKind::ReminderDue;
    event.source = Source::Scheduler;
    event.metadata.insert("reminder_id".to_owned(), Value::String(reminder.id.to_string()));
    event.metadata.insert("due_at".to_owned(), Value::String(due_at));
    event
}

async fn said(world: &mut World, event: &ChatEvent) -> Vec<String> {
    let replies = world.event_to("reminders", event).await.unwrap();
    replies.into_iter().map(|reply| reply.text).collect()
}

#[tokio::test]
async fn a_reminder_is_set_listed_and_said_once() {
    for mut world in World::on_both().await {
        assert_eq!(world.viewer("!remindme 10m /ban the oven").await, "Reminder 1: I tell you in 10 min.");
        assert_eq!(world.viewer("!reminders").await, "Reminders 1 in 10 min: “/ban the oven”");
        let set = numbered(&world, 1).await.unwrap();
        assert_eq!(set.due_at - world.clock.now(), TimeDelta::minutes(10));
        world.clock.advance(TimeDelta::minutes(11));
        let event = due(&world, &set, set.due_at);
        assert_eq!(said(&mut world, &event).await, ["@Ann reminder: /ban the oven"]);
        assert!(said(&mut world, &event).await.is_empty(), "the same time speaks once");
        let mut other_id = event.clone();
        other_id.message_id = Some("another".to_owned());
        assert!(said(&mut world, &other_id).await.is_empty(), "another message cannot claim it again");
        assert_eq!(numbered(&world, 1).await.unwrap().status, Status::Sent);
        assert_eq!(
            world.viewer("!reminders").await,
            "You have no reminders; !remindme <when> <text> sets one."
        );
    }
}

#[tokio::test]
async fn somebody_else_is_reminded_by_name_at_a_time_somewhere() {
    for mut world in World::on_both().await {
        let answer = world.moderator("!remind @Bob 2030-01-02T18:00[Europe/Berlin] the raid begins").await;
        assert_eq!(answer, "Reminder 1: I tell Bob in 1 d 5 h.");
        assert_eq!(
            world.moderator("!remind me 1h30m stretch").await,
            "Reminder 2: I tell you in 1 h 30 min."
        );
        let set = numbered(&world, 1).await.unwrap();
        assert_eq!((set.due_at, set.user_id), ("2030-01-02T17:00:00Z".parse().unwrap(), None));
        world.clock.advance(TimeDelta::days(2));
        let set = numbered(&world, 1).await.unwrap();
        let late = due(&world, &set, set.due_at);
        assert!(said(&mut world, &late).await.is_empty(), "19 hours late it is missed, not said");
        let missed = numbered(&world, 1).await.unwrap();
        assert_eq!((missed.status, missed.n_missed, missed.n_sent), (Status::Missed, 1, 0));
    }
}

#[tokio::test]
async fn one_that_comes_again_is_said_at_each_of_its_times_and_ends() {
    for mut world in World::on_both().await {
        let (db, scope) = (&world.services.db, Scope::Community(world.slot.community_id));
        let due_at = world.clock.now() + TimeDelta::hours(1);
        let new = NewReminder {
            community_id: world.slot.community_id,
            channel_id: world.slot.id,
            created_by: "service".into(),
            creator_name: String::new(),
            person_id: None,
            user_id: None,
            username: "Ann".into(),
            body: "drink".into(),
            rule: Some("DTSTART;TZID=UTC:20300101T130000\nRRULE:FREQ=DAILY;COUNT=2".into()),
            due_at,
        };
        let op = OpId::new(&scope, "test", "1", "test", 0).unwrap();
        let now = world.clock.now();
        storage::unit_of_work(db, scope, &op, now, move |tx| {
            async move { Ok(Effect::new(reminders::add(tx, &new, now).await.is_ok())) }.boxed()
        })
        .await
        .unwrap();
        world.clock.advance(TimeDelta::hours(1));
        let first = numbered(&world, 1).await.unwrap();
        let event = due(&world, &first, first.due_at);
        assert_eq!(said(&mut world, &event).await, ["@Ann reminder: drink"]);
        let second = numbered(&world, 1).await.unwrap();
        assert_eq!((second.status, second.due_at - due_at), (Status::Pending, TimeDelta::days(1)));
        assert!(said(&mut world, &event).await.is_empty(), "the first time is over");
        world.clock.advance(TimeDelta::days(1));
        let event = due(&world, &second, second.due_at);
        assert_eq!(said(&mut world, &event).await, ["@Ann reminder: drink"]);
        let over = numbered(&world, 1).await.unwrap();
        assert_eq!((over.status, over.n_sent), (Status::Sent, 2));
    }
}

#[tokio::test]
async fn who_set_it_and_moderators_take_it_back() {
    for mut world in World::on_both().await {
        world.viewer("!remindme 10m one").await;
        world.viewer("!remindme 20m two").await;
        let other = world.say(Level::Everyone, "Eve", "!reminders remove 1").await;
        assert_eq!(other, ["Reminder 1 can be removed by who set it and by moderators."]);
        let set = numbered(&world, 1).await.unwrap();
        assert_eq!(world.viewer("!reminders remove 1").await, "Reminder 1 removed.");
        assert_eq!(world.viewer("!reminders remove 1").await, "There is no reminder 1.");
        assert_eq!(world.moderator("!reminders remove #2").await, "Reminder 2 removed.");
        let event = due(&world, &set, set.due_at);
        assert!(said(&mut world, &event).await.is_empty(), "what was taken back is not said");
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_with_what_to_type() {
    for mut world in World::on_both().await {
        for (line, want) in [
            ("!remindme", "Type !remindme <when> <text>"),
            ("!remindme 10m", "Type !remindme <when> <text>"),
            ("!remindme soon the oven", "`soon` is not a time; write for example 10m"),
            ("!remindme 10 the oven", "needs a unit"),
            ("!remindme 2029-12-31 the oven", "is over already"),
            ("!remindme 20y the oven", "not a"),
            ("!remindme 2030-05-01[Mars/Olympus] x", "There is no time zone `Mars/Olympus`"),
            ("!reminders remove all", "Type !reminders, or"),
            ("!reminders what", "Type !reminders, or"),
        ] {
            let answer = world.viewer(line).await;
            assert!(answer.contains(want), "{line}: {answer}");
        }
        let refused = world.moderator("!remind @ann").await;
        assert!(refused.contains("Type !remind <who> <when> <text>"), "{refused}");
        let long = format!("!remindme 10m {}", "x".repeat(1_001));
        assert_eq!(world.viewer(&long).await, "A reminder has at most 1000 characters.");
        assert_eq!(numbered(&world, 1).await, None);
    }
}

#[tokio::test]
async fn a_viewer_has_at_most_so_many() {
    for mut world in World::on_both().await {
        for _ in 0..PER_CREATOR_MAX {
            world.viewer("!remindme 1d x").await;
        }
        let refused = world.viewer("!remindme 1d x").await;
        assert!(refused.starts_with("You have 25 reminders already"), "{refused}");
        let list = world.viewer("!reminders").await;
        assert!(list.contains(" more") && list.chars().count() < 450, "{list}");
        let other = world.say(Level::Everyone, "Eve", "!remindme 1d x").await;
        assert_eq!(other, ["Reminder 26: I tell you in 1 d."]);
    }
}
