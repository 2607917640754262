//! The cluster as operators see it: any node answers for all, channels are moved by hand, late answers find their way.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Cluster, N_CHANNELS, has_its_share, login, taken_over};
use crate::node::{Node, PROGRAM, eventually};

impl Cluster {
    /// Two nodes that share all channels and one that only answers.
    pub(super) async fn two_and_a_hub(&self) -> [Node; 3] {
        let hub = self.launch("h").env("WADDLEBOT_NODE__ROLES", "hub");
        let a = self.launch("a").env("WADDLEBOT_TELEMETRY__LOG", "info,waddlebot=debug");
        let (a, b, h) = tokio::join!(a.start(), self.launch("b").start(), hub.start());
        for id in ["a", "b"] {
            has_its_share(&h, id).await;
        }
        self.all_joined(&[&a, &b, &h]).await;
        [a, b, h]
    }
}

/// Keys and nodes of all channels, page by page.
pub(super) async fn pages(asked: &Node, limit: usize) -> Vec<(String, String)> {
    let mut channels = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, answer) = asked.get(&format!("/api/v1/channels?limit={limit}{cursor}")).await;
        assert_eq!((status, &answer["data"]["partial"]), (200, &json!(false)), "{answer}");
        let text = |line: &Value, name: &str| line[name].as_str().expect("a text").to_owned();
        let items = answer["data"]["items"].as_array().expect("items").clone();
        channels.extend(items.iter().map(|line| (text(line, "key"), text(line, "node"))));
        match answer["data"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return channels,
        }
    }
}

async fn node_of(asked: &Node, key: &str) -> Option<String> {
    let (_, answer) = asked.get(&format!("/api/v1/channels/{key}")).await;
    answer["data"]["node"].as_str().map(str::to_owned)
}

/// The command line's exit, and what it wrote.
async fn command_line(node: &Node, words: &[&str]) -> (bool, String) {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(words).args(["--url", &node.url, "--key-file"]);
    command.arg(node.launch.data_dir().join("service.key"));
    let output = command.output().await.expect("the program runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Runs a command whose reader goes away at once, as `| head -0` does.
async fn stops_reading(node: &Node, words: &[&str]) {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(words).args(["--url", &node.url, "--key-file"]);
    command.arg(node.launch.data_dir().join("service.key"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_owns_nothing_answers_for_the_whole_cluster() {
    let cluster = Cluster::new().await;
    let [mut a, b, h] = cluster.two_and_a_hub().await;
    cluster.is_whole().await;
    let channels = pages(&h, 7).await;
    let keys: Vec<_> = (0..N_CHANNELS).map(|n| format!("twitch:{}", login(n))).collect();
    assert_eq!(channels.iter().map(|(key, _)| key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    let nodes: BTreeSet<_> = channels.iter().map(|(_, node)| node.as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["a", "b"]));
    assert_eq!(pages(&a, 100).await, channels);

    let (_, answer) = h.get("/api/v1/modules").await;
    let ping = answer["data"]["modules"].as_array().expect("modules").iter().find(|m| m["name"] == "ping");
    assert_eq!(ping.expect("ping")["breakers"]["CLOSED"], json!(N_CHANNELS), "{answer}");
    let (_, answer) = h.get("/api/v1/cluster").await;
    let of_nodes = answer["data"]["nodes"].as_array().expect("nodes");
    assert_eq!(of_nodes.len(), 3, "{answer}");
    assert!(of_nodes.iter().all(|node| node["says"]["version"] == env!("CARGO_PKG_VERSION")), "{answer}");
    let (status, answer) =
        h.post(&format!("/api/v1/channels/{}/modules/ping/restart", keys[0]), json!({})).await;
    assert_eq!((status, &answer["data"]["module"]), (200, &json!("ping")), "{answer}");
    let (status, answer) = h.get(&format!("/api/v1/modules?channel={}", keys[0])).await;
    assert_eq!(status, 200, "{answer}");
    let (done, table) = command_line(&h, &["cluster", "status"]).await;
    assert!(done && table.contains("lease") && table.contains("channels platforms hub"), "{table}");
    println!("{table}");
    stops_reading(&h, &["modules"]).await;

    let (status, answer) = h.post("/api/v1/cluster/nodes/a/drain", json!({})).await;
    assert_eq!((status, &answer["data"]["id"]), (202, &json!("a")), "{answer}");
    assert!(a.ended().await.success(), "{}", a.log());
    cluster.all_joined(&[&b, &h]).await;
    let (status, answer) = h.post("/api/v1/cluster/nodes/nobody/drain", json!({})).await;
    assert_eq!(status, 404, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_named_and_its_channels_are_refused_for_a_moment() {
    let cluster = Cluster::new().await;
    let [_a, b, h] = cluster.two_and_a_hub().await;
    let of_b = pages(&h, 100).await.into_iter().find(|(_, node)| node == "b").expect("b has channels").0;
    b.signal(19).await;
    let stopped = Instant::now();
    let path = format!("/api/v1/channels/{of_b}");
    let ((status, list), (refused, answer)) = tokio::join!(h.get("/api/v1/channels?limit=100"), h.get(&path));
    assert_eq!((status, &list["data"]["partial"]), (200, &json!(true)), "{list}");
    assert_eq!(list["data"]["missing"], json!(["b"]));
    let items = list["data"]["items"].as_array().expect("items");
    assert!(!items.is_empty() && items.iter().all(|line| line["node"] == "a"), "{list}");
    let error = &answer["error"];
    assert_eq!((refused, &error["code"]), (503, &json!("owner_silent")), "{answer}");
    assert!(error["details"]["owner"].is_string() && error["details"]["epoch"].is_i64(), "{answer}");
    println!("a silent node is named and its channel refused within {:?}", stopped.elapsed());
    eventually("the other has all channels", async || {
        let (_, list) = h.get("/api/v1/channels?limit=100").await;
        let items = list["data"]["items"].as_array().map_or(0, Vec::len);
        (list["data"]["partial"] == false) && items == N_CHANNELS
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_moved_by_hand_stays_there_and_goes_on_elsewhere_without_its_node() {
    let cluster = Cluster::new().await;
    let nodes = cluster.three().await;
    let key = format!("twitch:{}", login(7));
    let asked = &nodes[0];
    let from = node_of(asked, &key).await.expect("somebody serves it");
    assert_eq!(cluster.first_answer(&login(7), "!slow").await, "slowly");
    // Another one than the asked node, which is asked to the end.
    let (to, other) = if from == "b" { ("c", 2) } else { ("b", 1) };
    let (done, said) = command_line(asked, &["cluster", "move", &key, "--to", to]).await;
    assert!(done && said.contains(&format!("is served by {to} and tied to it")), "{said}");
    println!("{said}");
    for node in &nodes {
        let left = node.metric("waddlebot_lease_remaining_seconds").await;
        assert!(left > 0.0 && left <= 2.0, "{left}");
    }
    let mut n_handed_over = 0.0;
    for node in &nodes {
        n_handed_over += node.metric("waddlebot_handoff_seconds_count").await;
    }
    assert!(n_handed_over >= 1.0, "somebody handed it over");
    let refused = cluster.first_answer(&login(7), "!slow").await;
    assert!(refused.contains("s left"), "a cooldown goes with its channel: {refused}");
    cluster.is_whole().await;
    for node in &nodes {
        eventually("every node hears of it", async || node_of(node, &key).await.as_deref() == Some(to)).await;
    }
    let (_, pins) = asked.get("/api/v1/cluster/pins").await;
    let pin = &pins["data"]["items"][0];
    assert_eq!((&pin["key"], &pin["node"], &pin["owner"]), (&json!(key), &json!(to), &json!(to)), "{pins}");
    let (_, audit) = asked.get("/api/v1/audit").await;
    assert!(audit.to_string().contains("cluster.pin"), "{audit}");
    let (done, said) = command_line(asked, &["cluster", "move", &key, "nobody"]).await;
    assert!(!done && said.contains("no node nobody serves channels"), "{said}");

    let mut nodes = Vec::from(nodes);
    let launch = nodes.remove(other).kill().await;
    taken_over(&nodes[0], 2).await;
    cluster.all_joined(&[&nodes[0], &nodes[1]]).await;
    cluster.is_whole().await;
    let back = launch.start().await;
    let returned = Instant::now();
    eventually("it comes home", async || node_of(&nodes[0], &key).await.as_deref() == Some(to)).await;
    println!("a killed node has its tied channel again {:?} after its start", returned.elapsed());
    assert!(returned.elapsed() < Duration::from_secs(15), "its first death costs no 30 s");
    let (done, said) = command_line(&back, &["cluster", "move", &key, "--unpin"]).await;
    assert!(done && said.contains("as the ring says"), "{said}");
    cluster.all_joined(&[&nodes[0], &nodes[1], &back]).await;
    cluster.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_reaches_the_node_that_waits_for_it_from_any_node() {
    let cluster = Cluster::new().await;
    let [a, b, h] = cluster.two_and_a_hub().await;
    let channels = pages(&h, 100).await;
    let of_a = &channels.iter().find(|(_, node)| node == "a").expect("a has channels").0;
    let late = async {
        eventually("the command is under way", || std::future::ready(session_in(&a.log()).is_some())).await;
        let answer = json!({ "session_id": session_in(&a.log()), "response": "at last" });
        let (first, told) = b.post("/api/v1/router/responses", answer.clone()).await;
        let (second, _) = h.post("/api/v1/router/responses", answer).await;
        (first, told, second)
    };
    let ((_, asked), (first, told, second)) =
        tokio::join!(h.event(of_a, "ann", "!sleep60", "everyone"), late);
    assert_eq!((first, second), (200, 404), "{told} {asked}");
}

/// The session of the event that a node took, from its log.
fn session_in(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("an event came in"))?;
    let (_, rest) = line.split_once("event.correlation_id=")?;
    rest.split_whitespace().next().map(str::to_owned)
}
