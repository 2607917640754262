//! kill -9: what was acknowledged is there afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::node::{Launch, Node};

/// Adds commands until the node is killed; returns those that were acknowledged.
async fn add_until_killed(node: &mut Node, first: usize, after: Duration) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let kill_at = tokio::time::Instant::now() + after;
    for n in first.. {
        let name = format!("!cmd{n}");
        node.type_line(&format!("!addcom {name} number {n}")).await;
        let said = tokio::time::timeout_at(kill_at, node.line()).await;
        match said {
            Ok(Some(line)) if line.contains(&name) && line.contains("added") => acknowledged.push(name),
            Ok(Some(line)) => panic!("unexpected answer: {line}"),
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn what_addcom_acknowledged_survives_kill_nine() {
    let mut node = Launch::new("[limits]\ncommand_rate = 0\n").console().start().await;
    let mut acknowledged = Vec::new();
    let rounds: u64 = if std::env::var_os("WADDLEBOT_TEST_SOAK").is_some() { 100 } else { 8 };
    for round in 0..rounds {
        let first = usize::try_from(round).expect("small") * 10_000;
        acknowledged
            .extend(add_until_killed(&mut node, first, Duration::from_millis(150 + round % 7 * 40)).await);
        node = node.kill_and_restart().await;
    }
    let stored: BTreeSet<String> = stored_commands(&node).await;
    let lost: Vec<_> =
        acknowledged.iter().filter(|name| !stored.contains(name.trim_start_matches('!'))).collect();
    println!(
        "{rounds} kills, {} acknowledged, {} lost, {} stored",
        acknowledged.len(),
        lost.len(),
        stored.len()
    );
    assert!(acknowledged.len() > 50, "too few to judge: {}", acknowledged.len());
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    assert!(
        stored.len() <= acknowledged.len() + usize::try_from(rounds).expect("small"),
        "more than was asked for"
    );
    let newest = acknowledged.last().expect("some");
    assert!(node.say(newest).await.starts_with("number"), "a stored command works");
}

async fn stored_commands(node: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut after = String::new();
    loop {
        let (status, answer) =
            node.get(&format!("/api/v1/commands?channel=console:local&limit=100{after}")).await;
        assert_eq!(status, 200, "{answer}");
        let page =
            answer["data"]["commands"].as_array().or(answer["data"]["items"].as_array()).expect("a page");
        names.extend(page.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)));
        match answer["data"]["next_cursor"].as_str() {
            Some(next) => after = format!("&cursor={next}"),
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_first_start_killed_at_any_moment_leaves_a_schema_that_the_next_start_completes() {
    for after_ms in [5_u64, 15, 25, 35, 45, 60, 80, 100] {
        let launch = Launch::new("");
        launch.start_and_kill(Duration::from_millis(after_ms)).await;
        let mut node = launch.console().start().await;
        assert!(
            node.say("!addcom !hi Hello").await.contains("added"),
            "killed after {after_ms} ms: {}",
            node.log()
        );
    }
}
