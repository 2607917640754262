//! R8: a broken module never takes another module or channel along, and its breaker opens and closes.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::node::{Launch, Node, PATIENCE, eventually};

pub async fn add_channels(node: &Node, keys: &[&str]) {
    for key in keys {
        let (status, answer) = node.post("/api/v1/channels", json!({ "key": key })).await;
        assert!((200..300).contains(&status), "{answer}");
    }
}

/// The breaker of a module in a channel as the API shows it.
pub async fn breaker(node: &Node, key: &str, module: &str) -> String {
    let (_, answer) = node.get(&format!("/api/v1/channels/{key}")).await;
    let find = |list: &Value| {
        list.as_array()?.iter().find(|row| row["module"] == module)?["breaker"].as_str().map(str::to_owned)
    };
    find(&answer["data"]["report"]["modules"]).unwrap_or_else(|| "CLOSED".to_owned())
}

pub async fn say(node: &Node, key: &str, text: &str) -> (Duration, Value) {
    let asked = Instant::now();
    let (_, answer) = node.event(key, "ann", text, "moderator").await;
    (asked.elapsed(), answer)
}

fn p99(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[(samples.len() * 99 / 100).min(samples.len() - 1)]
}

/// The p99 of a hundred `!ping` in another channel, one after the other: the best of three such series, since what a
/// broken module does to others is in all of them and a hiccup of the machine in one.
async fn pings(node: &Node, key: &str) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let mut samples = Vec::with_capacity(100);
        for _ in 0..100 {
            let (took, answer) = say(node, key, "!ping").await;
            assert!(answer.to_string().contains("Pong"), "{answer}");
            samples.push(took);
        }
        best = best.min(p99(samples));
    }
    best
}

/// How fast an OPEN breaker answers, as the median of five.
async fn refusals(node: &Node, key: &str, fault: &str) -> Duration {
    let mut samples = Vec::with_capacity(5);
    for _ in 0..5 {
        let (took, answer) = say(node, key, fault).await;
        assert!(answer.to_string().contains("unavailable"), "{answer}");
        samples.push(took);
    }
    samples.sort_unstable();
    samples[2]
}

/// The breaker's way there and back: `fault` breaks, `cure` is the same module behaving.
async fn opens_and_closes(module: &str, fault: &str, cure: &str) {
    let node = Launch::new("[limits]\nmodule_timeout_ms = 200\ncommand_rate = 0\n").start().await;
    add_channels(&node, &["twitch:sick", "twitch:well"]).await;
    let before = pings(&node, "twitch:well").await;
    for _ in 0..8 {
        say(&node, "twitch:sick", fault).await;
        if breaker(&node, "twitch:sick", module).await == "OPEN" {
            break;
        }
    }
    assert_eq!(breaker(&node, "twitch:sick", module).await, "OPEN", "{}", node.log());
    let open_took = refusals(&node, "twitch:sick", fault).await;
    assert!(
        say(&node, "twitch:sick", "!ping").await.1.to_string().contains("Pong"),
        "the channel's others answer"
    );
    let during = pings(&node, "twitch:well").await;
    assert!(open_took < Duration::from_millis(25), "an OPEN answer took {open_took:?}");
    println!("{module}: OPEN answer {open_took:?}; other channel p99 before {before:?}, during {during:?}");
    assert!(during < before * 3 / 2 + Duration::from_millis(15), "others suffer: {before:?} → {during:?}");

    let deadline = Instant::now() + PATIENCE;
    let mut seen = vec!["OPEN".to_owned()];
    while seen.last().map(String::as_str) != Some("CLOSED") {
        assert!(Instant::now() < deadline, "never closed: {seen:?}");
        say(&node, "twitch:sick", cure).await;
        let now = breaker(&node, "twitch:sick", module).await;
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, ["OPEN", "HALF_OPEN", "CLOSED"]);
    let log = node.log();
    assert!(log.contains("breaker changed") && log.contains(module), "the log shows it");
    assert!(node.metric("waddlebot_circuit_breaker_failures_total").await >= 1.0, "metrics show it");
}

#[tokio::test]
async fn a_module_that_panics_opens_its_breaker_and_closes_it_again() {
    opens_and_closes("fault_panic", "!panic", "!panic ok").await;
}

#[tokio::test]
async fn a_module_that_sleeps_opens_its_breaker_and_closes_it_again() {
    opens_and_closes("fault_sleep", "!sleep60", "!sleep60 ok").await;
}

#[tokio::test]
async fn a_module_that_returns_errors_opens_its_breaker_and_closes_it_again() {
    opens_and_closes("fault_error", "!error", "!error ok").await;
}

#[tokio::test]
async fn a_spinning_module_ends_in_an_abort_within_three_seconds_and_starts_suspect() {
    let launch = Launch::new("");
    let mut node = launch.start().await;
    add_channels(&node, &["twitch:sick"]).await;
    let spun = Instant::now();
    let asked = node.event("twitch:sick", "ann", "!spin", "moderator");
    // The process dies under this request; its answer is no matter.
    tokio::select! {
        _ = tokio::time::timeout(Duration::from_millis(100), asked) => {}
        () = std::future::pending() => {}
    }
    let status = node.ended().await;
    println!("a spin ended in an abort after {:?}", spun.elapsed());
    assert!(
        !status.success() && spun.elapsed() < Duration::from_millis(3_300),
        "{status} {:?}",
        spun.elapsed()
    );
    assert!(node.log().contains("fault_spin"), "{}", node.log());
    let node = node.launch.start().await;
    let (_, answer) = say(&node, "twitch:sick", "!spin").await;
    assert!(answer.to_string().contains("unavailable"), "the suspect starts open: {answer}");
    assert!(say(&node, "twitch:sick", "!ping").await.1.to_string().contains("Pong"));
}

#[tokio::test]
async fn after_a_stack_that_overflowed_the_node_does_not_fall_over_the_same_line_again() {
    let mut node = Launch::new("").start().await;
    add_channels(&node, &["twitch:sick"]).await;
    let asked = node.event("twitch:sick", "ann", "!overflow", "moderator");
    // The process dies under this request; its answer is no matter.
    let _ =
        tokio::time::timeout(Duration::from_millis(100), std::panic::AssertUnwindSafe(asked).catch_unwind())
            .await;
    assert!(!node.ended().await.success());
    let node = node.launch.start().await;
    let (_, answer) = say(&node, "twitch:sick", "!overflow").await;
    assert!(answer.to_string().contains("unavailable"), "the suspect starts open: {answer}");
    assert!(say(&node, "twitch:sick", "!ping").await.1.to_string().contains("Pong"));
    assert_eq!(breaker(&node, "twitch:sick", "fault_overflow").await, "OPEN");
    let node = node.restart().await;
    assert!(!node.log().contains("is_disabled=true"), "a clean stop accuses nobody: {}", node.log());
}

#[tokio::test]
async fn a_retryable_error_is_tried_again_with_the_same_effect() {
    let node = Launch::new("").start().await;
    add_channels(&node, &["twitch:a"]).await;
    let (took, answer) = say(&node, "twitch:a", "!retry").await;
    assert_eq!(answer["data"]["success"].as_bool().or(answer["success"].as_bool()), Some(true), "{answer}");
    assert!(took > Duration::from_secs(2), "one and two seconds apart: {took:?}");
}

#[tokio::test]
async fn a_module_that_asked_for_lines_sees_them_all() {
    let node = Launch::new("").start().await;
    add_channels(&node, &["twitch:a"]).await;
    for n in 0..20 {
        say(&node, "twitch:a", &format!("line {n}")).await;
    }
    eventually("all lines are counted", || async {
        let (_, answer) = say(&node, "twitch:a", "!linecount").await;
        answer["data"]["response"].as_str().is_some_and(|text| text.contains("20"))
    })
    .await;
}
