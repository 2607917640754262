//! What somebody sees who runs the bot for the first time, on both storages.

use std::time::Instant;

use crate::node::{Launch, Node, PATIENCE};

/// Types what the first screen suggests.
async fn first_steps(node: &mut Node) {
    assert!(node.say("!ping").await.starts_with("Pong!"));
    let added = node.say("!addcom !hi Hello $(user)").await;
    assert!(added.contains("!hi"), "{added}");
    assert_eq!(node.say("!hi").await, "Hello you");
}

async fn viewers_wait_for_the_cooldown(node: &mut Node) {
    assert_eq!(node.say("@ann !hi").await, "Hello ann");
    let again = node.say("@ann !hi").await;
    assert!(again.contains("s left"), "a cooldown says its seconds: {again}");
}

#[tokio::test]
async fn the_first_commands_work_and_survive_a_restart_on_sqlite() {
    let mut node = Launch::new("").console().start().await;
    first_steps(&mut node).await;
    let mut node = node.restart().await;
    viewers_wait_for_the_cooldown(&mut node).await;
}

#[tokio::test]
async fn the_first_commands_work_and_survive_a_restart_on_postgresql() {
    let database = storage::testing::empty_postgres().await;
    let mut node = Launch::new("").env("WADDLEBOT_STORAGE__URL", &database.url).console().start().await;
    first_steps(&mut node).await;
    let mut node = node.restart().await;
    viewers_wait_for_the_cooldown(&mut node).await;
}

#[tokio::test]
async fn the_terminal_says_what_chat_keeps_silent_about() {
    let mut node = Launch::new("").console().start().await;
    assert!(node.say("!nope").await.contains("no command !nope"));
    assert!(node.say("@ann !addcom !x y").await.contains("moderators only"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_dropped_and_the_next_line_is_answered() {
    let mut node = Launch::new("").console().start().await;
    node.type_bytes(b"!ping \xff\xfe\n").await;
    assert!(node.say("!ping").await.starts_with("Pong!"), "the bad line is not answered");
    assert!(node.log().contains("a typed line is dropped"), "{}", node.log());
    assert!(node.metric("waddlebot_messages_dropped_total").await >= 1.0);
    node.lines_balance(1.0).await;
}

/// More than a pipe holds of answers that nobody reads.
#[tokio::test]
async fn a_terminal_that_takes_nothing_holds_up_nobody() {
    let mut node = Launch::new("[limits]\ncommand_rate = 0\n").console().start().await;
    let long = "x".repeat(400);
    node.say(&format!("!addcom -cd=0 !long {long}")).await;
    let deadline = Instant::now() + PATIENCE;
    // A few at a time: what comes faster than the module answers is shed before.
    while node.metric("waddlebot_replies_dropped_total").await < 1.0 {
        assert!(Instant::now() < deadline, "the terminal takes everything; {}", node.log());
        for _ in 0..20 {
            node.type_line("!long").await;
        }
    }
    let (status, answer) = node.event("console:local", "ann", "!ping", "everyone").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["data"]["response"].as_str().is_some_and(|text| text.starts_with("Pong")), "{answer}");
    node.signal(15).await;
    assert!(node.ended().await.success(), "{}", node.log());
}

#[tokio::test]
async fn the_end_of_the_input_does_not_stop_the_node() {
    let mut node = Launch::new("").console().start().await;
    node.say("!ping").await;
    let node = node.close_input();
    let (status, _) = node.get("/healthz").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_second_signal_stops_at_once_and_the_first_one_softly() {
    let mut node = Launch::new("").start().await;
    node.signal(2).await;
    assert!(node.ended().await.success());
    let mut node =
        Launch::new("").env("WADDLEBOT_LIMITS__MODULE_TIMEOUT_MS", "20000").console().start().await;
    node.type_line("!sleep60").await;
    crate::node::eventually("the module sleeps", || async {
        node.metric("waddlebot_active_channels").await >= 1.0
    })
    .await;
    node.signal(15).await;
    // Two signals of a kind that come at once are one to the kernel.
    crate::node::eventually("the soft stop has begun", || async { node.log().contains("stopping") }).await;
    node.signal(15).await;
    assert_eq!(node.ended().await.code(), Some(1), "{}", node.log());
}
