//! A node whose lists are served by a streaming replica.

use std::process::Stdio;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use storage::testing::streaming::{Streaming, eventually};
use tokio::process::Command;

use crate::node::{Launch, Node, PROGRAM};

const COMMANDS: &str = "/api/v1/commands";
const READ_AFTER: &str = "X-Read-After";

/// A call with the service key and perhaps a position.
async fn call(node: &Node, method: Method, path: &str, after: Option<&str>, body: Option<Value>) -> Response {
    let key = std::fs::read_to_string(node.launch.data_dir().join("service.key")).expect("a service key");
    let client = reqwest::Client::new();
    let mut request = client.request(method, format!("{}{path}", node.url)).header("X-Service-Key", key);
    if let Some(after) = after {
        request = request.header(READ_AFTER, after);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.expect("the hub answers")
}

/// Adds a command; the position its answer names.
async fn add(node: &Node, name: &str) -> String {
    let body = json!({ "name": name, "response": "Hello" });
    let answer = call(node, Method::POST, COMMANDS, None, Some(body)).await;
    assert_eq!(answer.status(), 201);
    let position = answer.headers().get(READ_AFTER).expect("a write says where it stands");
    position.to_str().expect("text").to_owned()
}

/// The names of the global commands, as seen after that position.
async fn names(node: &Node, after: Option<&str>) -> Vec<String> {
    let answer = call(node, Method::GET, COMMANDS, after, None).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key(READ_AFTER), "a list writes nothing");
    let page: Value = answer.json().await.expect("JSON");
    let items = page["data"]["items"].as_array().expect("a list");
    items.iter().map(|line| line["name"].as_str().expect("a name").to_owned()).collect()
}

async fn is_healthy(node: &Node) -> bool {
    node.metric("waddlebot_db_replica_healthy").await > 0.5
}

async fn doctor(servers: &Streaming) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(PROGRAM)
        .arg("doctor")
        .env_clear()
        .env("WADDLEBOT_STORAGE__URL", servers.url(0))
        .env("WADDLEBOT_STORAGE__REPLICAS", servers.url(1))
        .current_dir(folder.path())
        .stderr(Stdio::inherit())
        .output();
    let text = String::from_utf8_lossy(&output.await.expect("doctor runs").stdout).into_owned();
    let line = text.lines().find(|line| line.contains("storage replica"));
    line.unwrap_or_else(|| panic!("nothing about the replica in:\n{text}")).to_owned()
}

#[tokio::test]
async fn the_api_reads_lists_from_a_replica_and_who_wrote_sees_the_write() {
    let mut servers = Streaming::start(1).await;
    let node = Launch::new("")
        .env("WADDLEBOT_STORAGE__URL", &servers.url(0))
        .env("WADDLEBOT_STORAGE__REPLICAS", &servers.url(1))
        .env("WADDLEBOT_STORAGE__REPLICA_LAG_MAX_MS", "86400000")
        .start()
        .await;
    eventually("the replica is found well", async || is_healthy(&node).await).await;
    let first = add(&node, "first").await;
    servers.caught_up(1).await;
    let seen = doctor(&servers).await;
    assert!(seen.starts_with("ok") && seen.contains("serves lists"), "{seen}");

    servers.pause(1).await;
    let second = add(&node, "second").await;
    assert_eq!(names(&node, None).await, ["first"], "the replica is where it stopped");
    assert_eq!(names(&node, Some(&second)).await, ["first", "second"], "the caller sees what it wrote");
    eventually("the look of a later second knows the first write", async || {
        names(&node, Some(&first)).await == ["first"]
    })
    .await;
    for wrong in ["", "1", "0/x", "0/123456789", "first"] {
        let answer = call(&node, Method::GET, COMMANDS, Some(wrong), None).await;
        assert_eq!(answer.status(), 400, "{wrong:?}");
        let told: Value = answer.json().await.expect("JSON");
        assert!(told["error"]["message"].as_str().is_some_and(|text| text.contains(READ_AFTER)), "{told}");
    }

    servers.kill(1);
    assert_eq!(names(&node, None).await, ["first", "second"], "the primary answers at once");
    eventually("the replica is found silent", async || !is_healthy(&node).await).await;
    let seen = doctor(&servers).await;
    assert!(seen.starts_with("warn") && seen.contains("does not answer"), "{seen}");
    servers.revive(1).await;
    eventually("the replica is found well again", async || is_healthy(&node).await).await;
    let (_, metrics) = node.get("/metrics").await;
    let metrics = metrics.as_str().expect("text");
    for pool in ["main", "replica-1"] {
        for name in
            ["db_connections", "db_pool_wait_seconds_bucket", "db_pool_waiting", "db_pool_timeouts_total"]
        {
            let mut lines = metrics.lines().filter(|line| line.starts_with(&format!("waddlebot_{name}{{")));
            assert!(lines.any(|line| line.contains(&format!("pool=\"{pool}\""))), "{name} of {pool}");
        }
    }
    assert_eq!(node.log().matches("serves no lists").count(), 1, "said once: {}", node.log());
}

#[tokio::test]
async fn replicas_beside_sqlite_are_refused_at_the_start() {
    let launch = Launch::new("").env("WADDLEBOT_STORAGE__REPLICAS", "postgres://u:hunter2@h/d");
    let (status, text, _) = launch.run_to_end().await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("needs PostgreSQL") && !text.contains("hunter2"), "{text}");
}
