//! State that several channels and processes write at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use storage::commands::{self, CommandScope, CommandSpec};
use storage::{Change, ChangeKind, ChangeScope, Db, StorageOptions, changes};

use crate::node::{Launch, Node, PATIENCE, eventually};

const CHANNELS: [&str; 3] = ["twitch:ann", "discord:ann", "kick:ann"];
const EACH: usize = 40;

/// Three channels of one community and callers over HTTP raise one counter at the same time; some calls come twice.
async fn a_counter_is_exact(launch: Launch) {
    let node = launch.start().await;
    for (n, key) in CHANNELS.iter().enumerate() {
        let community_of = (n > 0).then_some(CHANNELS[0]);
        let (status, answer) =
            node.post("/api/v1/channels", json!({ "key": key, "community_of": community_of })).await;
        assert_eq!(status, 201, "{answer}");
    }
    let mut callers = Vec::new();
    for key in CHANNELS {
        for n in 0..EACH {
            callers.push(raise(&node, key, n));
            if n % 4 == 0 {
                callers.push(raise(&node, key, n));
            }
        }
    }
    join_all(callers).await;
    let (_, answer) = node.event(CHANNELS[1], "reader", "!deaths", "everyone").await;
    assert_eq!(answer["data"]["response"], format!("deaths: {}", CHANNELS.len() * EACH));
}

async fn raise(node: &Node, key: &str, n: usize) {
    let (platform, channel_id) = key.split_once(':').expect("a key");
    let event = json!({
        "platform": platform, "channel_id": channel_id, "user_id": "1", "username": "mod", "message": "!deaths +",
        "message_type": "chatMessage", "message_id": format!("{key}-{n}"), "metadata": { "level": "moderator" },
    });
    let started = Instant::now();
    loop {
        let (status, answer) = node.post("/api/v1/router/events", event.clone()).await;
        let said = answer["data"]["response"].as_str().unwrap_or_default();
        // A repeat may come while the first is under way, and a burst may find the module busy: both are said.
        if said.starts_with("deaths: ") || answer["data"]["processed"] == false {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{status}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_communitys_counter_is_exact_from_three_channels_at_once_on_sqlite() {
    a_counter_is_exact(Launch::new("[limits]\ncommand_rate = 0\n")).await;
}

#[tokio::test]
async fn a_communitys_counter_is_exact_from_three_channels_at_once_on_postgresql() {
    let database = storage::testing::empty_postgres().await;
    let launch = Launch::new("[limits]\ncommand_rate = 0\n").env("WADDLEBOT_STORAGE__URL", &database.url);
    a_counter_is_exact(launch).await;
}

async fn answers(node: &Node, command: &str, text: &str) {
    eventually(command, || async {
        let (_, answer) = node.event("console:local", "reader", command, "everyone").await;
        answer["data"]["response"].as_str() == Some(text)
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_committed_late_reaches_every_process() {
    let database = storage::testing::empty_postgres().await;
    let launch = || Launch::new("").env("WADDLEBOT_STORAGE__URL", &database.url).console();
    let mut one = launch().start().await;
    let other = launch().start().await;
    // The other one has read its commands, so it must be told of new ones.
    let (_, pong) = other.event("console:local", "reader", "!ping", "everyone").await;
    assert!(pong["data"]["response"].as_str().is_some_and(|text| text.starts_with("Pong")), "{pong}");
    let db = Db::open(&StorageOptions::new(database.url.clone())).await.expect("the database");
    let now = db.time().await.expect("a time");

    // Written first, committed last.
    let mut late = db.begin().await.expect("begins");
    let spec = CommandSpec { cooldown_secs: 0, ..CommandSpec::custom("late", "I am late") };
    commands::add(&mut late, CommandScope::Global, &spec, now).await.expect("is added");
    let change = Change::new(ChangeScope::Global, ChangeKind::Commands);
    changes::append_all(&mut late, &[change], now).await.expect("is written");

    assert!(one.say("!addcom !early I am early").await.contains("added"));
    answers(&other, "!early", "I am early").await;
    late.commit().await.expect("is committed");
    answers(&other, "!late", "I am late").await;
    answers(&one, "!late", "I am late").await;
}
