//! Who follows a community hears of all its channels, on whichever nodes they are, and is told when something may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Cluster;
use crate::node::{Node, PATIENCE, PROGRAM, eventually};

const N_SHARED: usize = 8;

fn shared(n: usize) -> String {
    format!("twitch:shared{n}")
}

/// A stream at a node, and what it said so far.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(node: &Node, name: &str) -> Self {
        let path = format!("/api/v1/communities/{name}/live");
        let response = node.follow(&path).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event: its kind, its data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let of = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let Some(data) = of("data: ") {
                    let kind = of("event: ").unwrap_or("message").to_owned();
                    return (kind, serde_json::from_str(data).expect("JSON"));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("a sign of life");
            let chunk = chunk.expect("the stream goes on").expect("the stream has no end");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Commands that ended, until each channel of the community had one: node and number by channel.
    async fn pings(&mut self) -> BTreeMap<String, (String, u64)> {
        let mut ended = BTreeMap::new();
        while ended.len() < N_SHARED {
            let (kind, data) = self.next().await;
            if kind == "message" && data["kind"] == "ended" {
                let text = |name: &str| data[name].as_str().expect("a text").to_owned();
                ended.insert(text("channel"), (text("node"), data["seq"].as_u64().expect("a number")));
            }
        }
        ended
    }

    /// The nodes of the next events of a kind.
    async fn nodes_of(&mut self, wanted: &str, n: usize) -> BTreeSet<String> {
        let mut nodes = BTreeSet::new();
        while nodes.len() < n {
            let (kind, data) = self.next().await;
            if kind == wanted {
                nodes.insert(data["node"].as_str().expect("a node").to_owned());
            }
        }
        nodes
    }
}

async fn ping_all(node: &Node) {
    for n in 0..N_SHARED {
        let (status, answer) = node.event(&shared(n), "ann", "!ping", "everyone").await;
        assert_eq!(status, 200, "{answer}");
    }
}

async fn is_served(node: &Node) {
    eventually("each channel has its node", async || {
        for n in 0..N_SHARED {
            let (status, _) = node.get(&format!("/api/v1/channels/{}", shared(n))).await;
            if status != 200 {
                return false;
            }
        }
        true
    })
    .await;
}

/// One line of what `waddlebot channels watch` prints, while the channel's commands come.
async fn watched(node: &Node, key: &str) -> String {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(["channels", "watch", key, "--url", &node.url, "--key-file"]);
    command.arg(node.launch.data_dir().join("service.key")).kill_on_drop(true);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut said = BufReader::new(child.stderr.take().expect("its other output")).lines();
    assert_eq!(
        said.next_line().await.expect("text").as_deref(),
        Some(&*format!("Watching {key}. Ctrl-C ends."))
    );
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let asking = async {
        loop {
            node.event(key, "ann", "!ping", "everyone").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = asking => unreachable!("it has no end"),
        line = lines.next_line() => line.expect("text").expect("a line"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_community_hears_of_all_its_channels_and_is_told_of_gaps() {
    let cluster = Cluster::new().await;
    let [_a, b, h] = cluster.two_and_a_hub().await;
    for n in 0..N_SHARED {
        let of = (n > 0).then(|| shared(0));
        let (status, answer) =
            h.post("/api/v1/channels", json!({ "key": shared(n), "community_of": of })).await;
        assert_eq!(status, 201, "{answer}");
    }
    is_served(&h).await;
    let mut stream = Stream::open(&h, &shared(3)).await;
    assert_eq!(stream.nodes_of("here", 3).await.len(), 3);
    let (status, _) = h.event("twitch:channel000", "ann", "!ping", "everyone").await;
    assert_eq!(status, 200);
    ping_all(&h).await;
    let first = stream.pings().await;
    let nodes: BTreeSet<_> = first.values().map(|(node, _)| node.as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["a", "b"]), "eight channels fall to both: {first:?}");
    assert!(first.keys().all(|key| key.starts_with("twitch:shared")), "{first:?}");
    for node in nodes {
        let mut numbers: Vec<_> = first.values().filter(|(of, _)| of == node).map(|(_, seq)| *seq).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{node}: {numbers:?}");
    }
    let line = watched(&h, &shared(5)).await;
    assert!(line.contains(&format!("  {}  ", shared(5))), "{line}");

    b.signal(9).await;
    assert_eq!(stream.nodes_of("gap", 1).await, BTreeSet::from(["b".to_owned()]));
    is_served(&h).await;
    ping_all(&h).await;
    let later = stream.pings().await;
    assert!(later.values().all(|(node, _)| node == "a"), "{later:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_name_what_is_wrong() {
    let cluster = Cluster::new().await;
    let node = cluster.launch("a").start().await;
    let refused = async |path: &str| node.get(path).await.0;
    assert_eq!(refused("/api/v1/communities/twitch:nobody_there/live").await, 404);
    assert_eq!(refused("/api/v1/communities/01ARZ3NDEKTSV4RRFFQ69G5FAV/live").await, 404);
    assert_eq!(refused("/api/v1/communities/nonsense/live").await, 400);
    assert_eq!(refused("/api/v1/communities/twitch:channel000/live?after=x").await, 400);
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Stream::open(&node, "twitch:channel000").await);
    }
    assert_eq!(refused("/api/v1/communities/twitch:channel000/live").await, 503);
    drop(open);
    eventually("the places are free again", async || {
        node.follow("/api/v1/communities/twitch:channel000/live").await.status() == 200
    })
    .await;
}
