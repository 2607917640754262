//! A channel's life on a real node: repeats, waiting calls, sleep, the balance of its commands.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Launch, Node, eventually};

async fn one_channel(config: &str) -> Node {
    let node = Launch::new(config).start().await;
    let (status, answer) = node.post("/api/v1/channels", json!({ "key": "twitch:a" })).await;
    assert!((200..300).contains(&status), "{answer}");
    node
}

fn event(text: &str, message_id: &str) -> serde_json::Value {
    json!({
        "platform": "twitch", "channel_id": "a", "user_id": "1", "username": "ann", "message": text,
        "message_type": "chatMessage", "message_id": message_id, "metadata": { "level": "moderator" },
    })
}

#[tokio::test]
async fn the_same_message_twice_acts_once() {
    let node = one_channel("").await;
    let (_, first) = node.post("/api/v1/router/events", event("!deaths +", "m1")).await;
    assert!(first.to_string().contains('1'), "{first}");
    let (_, again) = node.post("/api/v1/router/events", event("!deaths +", "m1")).await;
    assert_eq!(again["data"], first["data"], "whoever lost the answer gets it by asking again");
    let (_, now) = node.post("/api/v1/router/events", event("!deaths", "m2")).await;
    assert!(
        now["data"]["response"].as_str().is_some_and(|text| text.contains('1') && !text.contains('2')),
        "{now}"
    );
    assert!(node.metric("waddlebot_duplicates_suppressed_total").await >= 1.0);
}

#[tokio::test]
async fn an_idle_channel_goes_to_sleep_and_wakes_with_its_commands() {
    let node = one_channel("[limits]\nmodule_idle_secs = 1\n").await;
    node.post("/api/v1/router/events", event("!addcom !hi Hello $(user)", "m1")).await;
    let awake = || async { node.metric("waddlebot_active_channels").await };
    eventually("the channel is awake", || async { awake().await >= 1.0 }).await;
    eventually("the channel sleeps", || async { awake().await < 1.0 }).await;
    let (_, answer) = node.post("/api/v1/router/events", event("!hi", "m2")).await;
    assert!(answer.to_string().contains("Hello ann"), "{answer}");
}

#[tokio::test]
async fn calls_wait_in_order_behind_a_slow_one_and_the_33rd_is_busy() {
    let node = one_channel("[limits]\nmodule_timeout_ms = 1500\ncommand_rate = 0\n").await;
    let asked = Instant::now();
    let calls = (0..40).map(|n| node.post("/api/v1/router/events", event("!sleep60 ok", &format!("w{n}"))));
    let slow = node.post("/api/v1/router/events", event("!sleep60", "slow"));
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        futures_util::future::join_all(calls).await
    };
    let ((_, first), answers) = tokio::join!(slow, later);
    assert!(first.to_string().contains("timeout") || first.to_string().contains("too long"), "{first}");
    let busy = answers.iter().filter(|(_, answer)| answer["data"]["status"] == "busy").count();
    let done = answers.iter().filter(|(_, answer)| answer.to_string().contains("Good morning")).count();
    println!("{done} waited and were answered, {busy} were refused as busy, {:?}", asked.elapsed());
    assert_eq!((done, busy), (32, 8), "{answers:?}");
}

#[tokio::test]
async fn every_command_ends_in_exactly_one_outcome() {
    let node = one_channel("[limits]\ncommand_rate = 0\n").await;
    let texts = [
        "!ping",
        "!nope",
        "!panic",
        "!error",
        "!deaths +",
        "!addcom",
        "!addcom !hi Hello",
        "!hi",
        "!linecount",
    ];
    for (n, text) in texts.iter().enumerate() {
        node.post("/api/v1/router/events", event(text, &format!("o{n}"))).await;
    }
    let ended = node.metric("waddlebot_commands_total").await;
    assert!((ended - texts.len() as f64).abs() < 0.5, "{} commands, {ended} outcomes", texts.len());
}

#[tokio::test]
async fn ids_go_along_with_a_request_into_its_answer() {
    let node = one_channel("").await;
    let answer = node.raw_get("/healthz", "X-Correlation-ID", "abc-123").await;
    assert_eq!(answer.headers()["x-correlation-id"], "abc-123");
    assert!(answer.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn the_metrics_of_the_contract_are_there() {
    let node = one_channel("").await;
    for (n, text) in ["!ping", "!deaths +", "!error"].iter().enumerate() {
        node.post("/api/v1/router/events", event(text, &format!("x{n}"))).await;
    }
    eventually("the samples of the first second", || async {
        node.metric("waddlebot_channels_owned").await >= 1.0
    })
    .await;
    let (_, text) = node.get("/metrics").await;
    let text = text.as_str().expect("text").to_owned();
    for name in [
        "service_info",
        "commands_total",
        "command_duration_seconds",
        "active_channels",
        "db_queries_total",
        "db_query_duration_seconds",
        "db_connections",
        "http_requests_total",
        "http_request_duration_seconds",
        "module_executions_total",
        "circuit_breaker_state",
        "circuit_breakers",
        "channels_owned",
        "mailbox_depth",
    ] {
        assert!(text.contains(&format!("waddlebot_{name}")), "no waddlebot_{name} in:\n{text}");
    }
}
