//! Recorded lines through today's configuration: what differs is shown, nothing is sent, nothing is written.

use std::collections::BTreeMap;
use std::time::Instant;

use fake_twitch::{Chatter, FakeTwitch};
use serde_json::{Value, json};
use storage::testing::row_counts;
use storage::{Db, EventStore};

use super::faults::start;
use super::{FLUSHED_AFTER, Place, waddlebot};
use crate::node::{Node, PATIENCE, eventually};

const RECORDING: &str = "/api/v1/channels/twitch:ann/recording";

fn moderator() -> Chatter {
    Chatter::with_badges("mo", "moderator/1")
}

/// Says a line and waits for an answer that contains `wanted`.
async fn ask(fake: &FakeTwitch, chatter: &Chatter, line: &str, wanted: &str) {
    fake.take_received();
    fake.say("ann", chatter, line);
    let answer = fake.wait_reply(|line| line.text.contains(wanted), Instant::now() + PATIENCE).await;
    assert!(answer.is_some(), "{line}: {:?}", fake.received());
}

async fn replayed(node: &Node) -> Vec<Value> {
    let from = waddlebot::messages::Clock::System.now() - chrono::TimeDelta::minutes(10);
    let (status, answer) =
        node.post("/api/v1/channels/twitch:ann/replay", json!({ "from": from, "dry_run": true })).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["lines"].as_array().expect("lines").clone()
}

fn line_of<'l>(lines: &'l [Value], text: &str) -> &'l Value {
    lines.iter().find(|line| line["text"] == text).unwrap_or_else(|| panic!("{text} is not in {lines:?}"))
}

async fn a_changed_command_is_a_difference(place: Place) {
    let (fake, node) = start(|launch| place.apply(launch)).await;
    let bob = Chatter::viewer("bob");
    ask(&fake, &moderator(), "!addcom -cd=0 !hi Hello $(user)", "added").await;
    ask(&fake, &bob, "!hi before", "Hello bob").await;
    let (status, recorded) = node.post(RECORDING, json!({ "for": "1h" })).await;
    assert_eq!(status, 200, "{recorded}");
    assert!(recorded["data"]["warning"].as_str().is_some_and(|text| text.contains("what viewers write")));
    ask(&fake, &bob, "!hi", "Hello bob").await;
    ask(&fake, &bob, "!ping", "Pong").await;
    ask(&fake, &bob, "!uses", "1 uses").await;
    ask(&fake, &bob, "!cold", "Brr").await;
    fake.say("ann", &bob, "plain words");
    fake.say("ann", &bob, "!cold again");
    // What still stands in the socket when a node is told to stop is lost, as with any live source.
    eventually("all lines came", || async { replayed(&node).await.len() == 5 }).await;
    // A recording outlives the process.
    let node = node.restart().await;
    assert!(fake.wait_joined(1, Instant::now() + PATIENCE).await, "{}", node.log());
    ask(&fake, &bob, "!hi after", "Hello bob").await;
    let (status, ended) = node.delete(RECORDING).await;
    assert_eq!((status, &ended["data"]["until"]), (200, &Value::Null), "{ended}");
    ask(&fake, &moderator(), "!editcom !hi Bye $(user)", "changed").await;
    ask(&fake, &moderator(), "!command options ping -ul=mod", "").await;

    let store = place.store(&node).await;
    let db = Db::open(&place.options(&node)).await.expect("the database opens");
    eventually("the lines are stored", || async { replayed(&node).await.len() == 6 }).await;
    let (rows, n_events) = settled(&db, &store).await;
    let n_sent = fake.received().len();

    let lines = replayed(&node).await;
    let hi = line_of(&lines, "!hi");
    assert_eq!((&hi["then"], &hi["now"]), (&json!("said: Hello bob"), &json!("said: Bye bob")));
    assert_eq!(hi["differs"], true);
    let ping = line_of(&lines, "!ping");
    assert!(ping["now"].as_str().is_some_and(|now| now.starts_with("refused (forbidden)")), "{ping}");
    assert_eq!(ping["differs"], true);
    for same in ["!uses", "!cold", "!cold again"] {
        assert_eq!(line_of(&lines, same)["differs"], false, "{lines:?}");
    }
    let cold = line_of(&lines, "!cold again");
    assert!(cold["now"].as_str().is_some_and(|now| now.starts_with("refused (cooldown)")), "{cold}");
    assert_eq!(line_of(&lines, "!hi after")["differs"], true, "recorded after the restart too");

    on_the_command_line(&node).await;
    assert_eq!(
        settled(&db, &store).await,
        (rows, n_events),
        "a replay writes nothing, not even into the log"
    );
    assert_eq!(fake.received().len(), n_sent, "a replay sends nothing");
}

/// Rows of the database and of the log once nothing more is written.
async fn settled(db: &Db, store: &EventStore) -> (BTreeMap<String, i64>, u64) {
    let deadline = Instant::now() + PATIENCE;
    let mut before = (BTreeMap::new(), 0);
    loop {
        let now = (row_counts(db).await, store.count().await.expect("counts"));
        if now == before {
            return now;
        }
        assert!(Instant::now() < deadline, "something is written again and again: {now:?}");
        before = now;
        tokio::time::sleep(FLUSHED_AFTER).await;
    }
}

async fn on_the_command_line(node: &Node) {
    let replay = ["channels", "replay", "twitch:ann", "--from", "10m"];
    let (status, said) = waddlebot(node, &[&replay[..], &["--dry-run"]].concat()).await;
    assert!(status && said.contains("then  said: Hello bob\n  now   said: Bye bob"), "{said}");
    assert!(said.contains("3 of 6 recorded command lines would end differently"), "{said}");
    let (status, said) = waddlebot(node, &replay).await;
    assert!(!status && said.contains("--from 10m --dry-run"), "what to type is said: {said}");
    let (_, audit) = node.get("/api/v1/audit?channel=twitch:ann").await;
    let audit = audit["data"]["items"].to_string();
    assert!(audit.contains("channel.record\"") && audit.contains("channel.record_end"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_shows_a_changed_command_and_sends_and_writes_nothing_on_sqlite() {
    a_changed_command_is_a_difference(Place::Lite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_shows_a_changed_command_and_sends_and_writes_nothing_on_postgres() {
    a_changed_command_is_a_difference(Place::postgres().await).await;
}

#[tokio::test]
async fn a_recording_is_bounded_and_a_replay_is_only_a_dry_run() {
    let (_fake, node) = start(|launch| launch).await;
    for (wrong, status) in [("25h", 400), ("0s", 400), ("soon", 400)] {
        assert_eq!(node.post(RECORDING, json!({ "for": wrong })).await.0, status, "{wrong}");
    }
    assert_eq!(node.delete(RECORDING).await.0, 404, "nothing runs");
    let from = "2026-01-01T00:00:00Z";
    let (status, refused) = node.post("/api/v1/channels/twitch:ann/replay", json!({ "from": from })).await;
    assert_eq!(status, 400);
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("dry_run")), "{refused}");
}
