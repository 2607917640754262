//! R8 with several nodes: a line that fells its node, said again wherever the channel goes, does not fell them all.

use std::time::{Duration, Instant};

use fake_twitch::Chatter;
use serde_json::json;

use super::{Cluster, login};
use crate::node::Node;

/// How often the line is said.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// A fall, a takeover, an OPEN of six seconds, another fall and another takeover fit twice.
const LIMIT: Duration = Duration::from_mins(1);

/// What becomes of a node that fell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    StaysAway,
    StartsAgain,
}

/// Says the line again and again until some node refuses to run its module; returns how many processes fell, and the
/// nodes that live.
async fn say_until_disabled(
    cluster: &Cluster,
    line: &str,
    afterwards: Afterwards,
    nodes: impl Into<Vec<Node>>,
) -> (usize, Vec<Node>) {
    let saying = async {
        loop {
            cluster.fake.say(&login(0), &Chatter::viewer("ann"), line);
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    let (mut nodes, mut n_fallen, deadline) = (nodes.into(), 0, Instant::now() + LIMIT);
    let watching = async {
        while !nodes.iter().any(|node: &Node| node.log().contains("is_disabled=true")) {
            assert!(Instant::now() < deadline, "{n_fallen} fell, nobody disables the module");
            if let Some(at) = nodes.iter_mut().position(Node::has_ended) {
                n_fallen += 1;
                println!("fallen: {n_fallen}");
                let fallen = nodes.remove(at);
                assert!(
                    fallen.log().contains("aborting") || fallen.log().contains("overflowed its stack"),
                    "{}",
                    fallen.log()
                );
                if afterwards == Afterwards::StartsAgain {
                    nodes.push(fallen.launch.start().await);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It is said some more: nobody falls.
        tokio::time::sleep(10 * AGAIN_AFTER).await;
    };
    tokio::select! {
        () = saying => unreachable!("it is said for ever"),
        () = watching => {}
    }
    (n_fallen, nodes)
}

/// The breaker of the module in the channel where it was said, as the API shows it.
async fn breaker(node: &Node, module: &str) -> String {
    let (_, answer) = node.get(&format!("/api/v1/channels/twitch:{}", login(0))).await;
    let modules = answer["data"]["report"]["modules"].as_array().cloned().unwrap_or_default();
    let row = modules.iter().find(|row| row["module"] == module);
    row.and_then(|row| row["breaker"].as_str()).unwrap_or_else(|| panic!("no breaker: {answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_spins_on_a_line_fells_two_nodes_and_the_third_serves() {
    let cluster = Cluster::new().await;
    let nodes = cluster.three().await;
    let (n_fallen, nodes) = say_until_disabled(&cluster, "!spin", Afterwards::StaysAway, nodes).await;
    assert_eq!((n_fallen, nodes.len()), (2, 1));
    let node = &nodes[0];
    assert_eq!(breaker(node, "fault_spin").await, "DISABLED");
    cluster.all_joined(&[node]).await;
    cluster.is_whole().await;
    let (_, why) = node.get(&format!("/api/v1/channels/twitch:{}/events", login(0))).await;
    assert!(why.to_string().contains("two processes fell"), "{why}");
    let enable = format!("/api/v1/channels/twitch:{}/modules/fault_spin/enable", login(0));
    let (status, answer) = node.post(&enable, json!({})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(breaker(node, "fault_spin").await, "CLOSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_overflows_its_stack_fells_three_nodes_at_most() {
    let cluster = Cluster::new().await;
    let nodes = cluster.three().await;
    let (n_fallen, nodes) = say_until_disabled(&cluster, "!overflow", Afterwards::StartsAgain, nodes).await;
    assert!((1..=3).contains(&n_fallen), "{n_fallen} fell");
    cluster.all_joined(&nodes.iter().collect::<Vec<_>>()).await;
    assert_eq!(breaker(&nodes[0], "fault_overflow").await, "DISABLED");
    cluster.is_whole().await;
}
