//! The queue in a running node: events whose caller does not wait, dead letters, replay, by API and command line.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::node::{Launch, Node, PROGRAM, eventually};

const EVENTS: &str = "/api/v1/router/events";

/// A router event of `key` that nobody waits for: status and answer.
async fn event_later(node: &Node, key: &str, text: &str, id: Option<&str>) -> (u16, Value) {
    let (platform, channel_id) = key.split_once(':').expect("a channel key");
    let mut body = json!({
        "platform": platform, "channel_id": channel_id, "user_id": "7", "username": "ann",
        "message": text, "message_type": "chatMessage", "metadata": { "level": "moderator" },
    });
    if let Some(id) = id {
        body["message_id"] = json!(id);
    }
    node.post_with(EVENTS, ("Prefer", "respond-async"), body).await
}

async fn queue_command(node: &Node, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("queue").args(words).args(["--url", &node.url]).arg("--key-file");
    command.arg(node.launch.data_dir().join("service.key")).output().await.expect("the program runs")
}

/// The JSON that the command prints.
async fn queue_json(node: &Node, words: &[&str]) -> Value {
    let output = queue_command(node, &[words, &["--json"]].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn all_done(node: &Node) {
    eventually("the queue is empty", || async {
        queue_json(node, &["status"]).await["depths"].as_array().expect("a list").is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_answers_in_its_channel() {
    let mut node = Launch::new("").console().start().await;
    let (status, first) = event_later(&node, "console:local", "!ping", Some("m1")).await;
    assert_eq!((status, &first["data"]["duplicate"]), (202, &json!(false)), "{first}");
    assert!(node.line().await.expect("a reply").contains("Pong"), "said where the channel is");
    let (status, again) = event_later(&node, "console:local", "!ping", Some("m1")).await;
    assert_eq!((status, &again["data"]["duplicate"]), (202, &json!(true)));
    assert_eq!(again["data"]["session_id"], first["data"]["session_id"]);
    let (status, unknown) = event_later(&node, "twitch:nobody", "!ping", None).await;
    assert_eq!((status, &unknown["error"]["code"]), (404, &json!("unknown_channel")));
    assert!(node.say("!botuptime").await.contains("running"), "the repeat said nothing in between");
    let n_redelivered = node.metric("waddlebot_queue_processing_duration_seconds_count").await;
    assert!((n_redelivered - 1.0).abs() < 0.5, "handled {n_redelivered} times");
}

#[tokio::test]
async fn a_batch_that_nobody_waits_for_is_stored_with_each_events_own_end() {
    let mut node = Launch::new("").console().start().await;
    let event = |text: &str, channel: &str| {
        json!({ "platform": "console", "channel_id": channel, "user_id": "7", "username": "ann",
            "message": text, "message_type": "chatMessage", "metadata": { "level": "moderator" } })
    };
    let body = json!({ "events": [event("!deaths +", "local"), event("!ping", "nowhere"), event("!ping", "local")] });
    let (status, answer) = node
        .post_with("/api/v1/router/events/batch", ("Prefer", "handling=lenient, Respond-Async"), body)
        .await;
    assert_eq!(status, 202, "{answer}");
    let results = answer["data"]["results"].as_array().expect("a list");
    assert_eq!((&results[0]["status"], &results[2]["status"]), (&json!("queued"), &json!("queued")));
    assert_eq!(results[1]["error"]["code"], "unknown_channel");
    for wanted in ["deaths: 1", "Pong"] {
        let said = node.line().await.expect("a reply");
        assert!(said.contains(wanted), "in the order of the batch: {said}");
    }
}

#[tokio::test]
async fn a_redelivered_event_has_one_effect_also_after_kill_nine() {
    let mut node = Launch::new("").console().start().await;
    event_later(&node, "console:local", "!deaths +", Some("d1")).await;
    node.line().await.expect("a reply");
    all_done(&node).await;
    // The channel's memory of message ids is gone with its process; what is left is the op id in SQL.
    let mut node = node.kill_and_restart().await;
    let replayed = queue_json(&node, &["replay", "router_events", "--from", "1"]).await;
    assert_eq!(replayed["replayed"], 1);
    all_done(&node).await;
    // The repeat says nothing: its first reply has left.
    assert!(node.say("!ping").await.starts_with("Pong"));
    assert!(node.say("!deaths").await.contains("deaths: 1"), "counted once");
    let (_, audit) = node.get("/api/v1/audit").await;
    let actions: Vec<_> =
        audit["data"]["items"].as_array().expect("rows").iter().map(|row| &row["action"]).collect();
    assert!(actions.contains(&&json!("queue.replay")), "{actions:?}");
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_dropped_by_api_and_command_line() {
    let node = Launch::new("").console().start().await;
    let (status, _) = node.post("/api/v1/channels", json!({ "key": "twitch:ann" })).await;
    assert_eq!(status, 201);
    for id in ["a", "b", "c"] {
        assert_eq!(event_later(&node, "twitch:ann", "!ping", Some(id)).await.0, 202);
    }
    // No platform serves that channel here, so no attempt succeeds.
    eventually("three dead letters", || async {
        node.get("/api/v1/queue/dead").await.1["data"]["items"]
            .as_array()
            .is_some_and(|items| items.len() == 3)
    })
    .await;
    let (_, page) = node.get("/api/v1/queue/dead?limit=2").await;
    let cursor = page["data"]["next_cursor"].as_str().expect("a further page");
    let (_, rest) = node.get(&format!("/api/v1/queue/dead?limit=2&cursor={cursor}")).await;
    assert_eq!(rest["data"]["items"].as_array().expect("rows").len(), 1);
    let letter = &page["data"]["items"][0];
    assert_eq!((&letter["attempts"], &letter["topic"]), (&json!(3), &json!("router_events")));
    assert!(letter["reason"].as_str().expect("a reason").contains("no platform"), "{letter}");
    let id = letter["id"].as_i64().expect("an id").to_string();

    let text = String::from_utf8(queue_command(&node, &["dead", "list"]).await.stdout).expect("text");
    assert!(text.contains("no platform") && text.lines().count() == 4, "{text}");
    assert!(queue_command(&node, &["dead", "drop", &id]).await.status.success());
    assert_eq!(queue_command(&node, &["dead", "drop", &id]).await.status.code(), Some(1), "it is gone");
    assert_eq!(node.delete(&format!("/api/v1/queue/dead/{id}")).await.0, 404);
    let status = queue_json(&node, &["status"]).await;
    assert_eq!(
        (&status["depths"][0]["state"], &status["depths"][0]["messages"]),
        (&json!("dead"), &json!(2))
    );
    assert_eq!(queue_json(&node, &["dead", "retry", "--all"]).await, json!({ "retried": 2 }));
    eventually("both died again", || async {
        let depths = queue_json(&node, &["status"]).await;
        depths["depths"][0]["messages"] == json!(2) && depths["depths"][0]["state"] == json!("dead")
    })
    .await;
    assert!(
        node.metric("waddlebot_redelivered_total").await > 7.5,
        "three deliveries, five attempts and more"
    );
    assert_eq!(event_later(&node, "twitch:ann", "!ping", Some("a")).await.1["data"]["duplicate"], true);
}
