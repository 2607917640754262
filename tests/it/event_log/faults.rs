//! The event log under a flood, on a full disk and over a gap of a connection: it tells, and nobody waits for it.

use std::time::Instant;

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};
use serde_json::Value;

use super::{COMMANDS, told};
use crate::node::{Launch, Node, PATIENCE, eventually};

const CHANNEL: &str = "twitch:ann";

/// A node in one channel of a fake without limits.
pub(super) async fn start(launch: impl FnOnce(Launch) -> Launch) -> (FakeTwitch, Node) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let quick = FakeConfig { joins_per_10s: 2_000, auths_per_10s: 200, ..FakeConfig::default() };
    let fake = FakeTwitch::start(quick.without_limits()).await.expect("the fake starts");
    let config = format!(
        "[platforms.twitch]\nchannels = [\"ann\"]\nirc_url = \"{}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
         bot_login = \"waddlebot\"\nbot_token = \"token\"\njoins_per_10s = 2000\nauth_per_10s = 200\n\
         connections_per_second = 50\nmessages_per_30s = 0\nmessages_per_30s_moderator = 0\n\
         channel_interval_ms = 0\n{COMMANDS}",
        fake.irc_url(),
        http = fake.http_url(),
    );
    let node = launch(Launch::new(&config)).start().await;
    assert!(fake.wait_joined(1, Instant::now() + PATIENCE).await, "{}", node.log());
    (fake, node)
}

async fn events(node: &Node, query: &str) -> Value {
    let (status, answer) = node.get(&format!("/api/v1/channels/{CHANNEL}/events?{query}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

/// Every record of a kind, over all pages, the newest page first.
async fn all_of_kind(node: &Node, kind: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = events(node, &format!("limit=100{cursor}")).await;
        let items = page["items"].as_array().expect("items").clone();
        found.extend(items.into_iter().filter(|item| item["kind"] == kind));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn shed_count(records: &[Value]) -> u64 {
    records.iter().map(|record| record["detail"]["count"].as_u64().expect("a count")).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_one_shed_record_a_second_with_the_exact_total() {
    let (fake, node) = start(|launch| launch.env("WADDLEBOT_LIMITS__CHANNEL_MAILBOX", "16")).await;
    let began = Instant::now();
    for n in 0..3_000 {
        fake.say("ann", &Chatter::viewer("bob"), &format!("!echo {n}"));
    }
    node.lines_balance(3_000.0).await;
    let secs = began.elapsed().as_secs();
    let dropped = node.metric("waddlebot_messages_dropped_total").await;
    assert!(dropped > 0.0, "that was no flood");
    let shed = || async { all_of_kind(&node, "shed").await };
    eventually("the bursts are noted", || async { shed_count(&shed().await) as f64 >= dropped }).await;
    let records = shed().await;
    println!("{dropped} lines shed within {secs} s are told in {} records", records.len());
    assert!((shed_count(&records) as f64 - dropped).abs() < 0.5, "{records:?}");
    assert!(records.len() as u64 <= secs + 2, "{records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_told_when_it_left_and_a_gap_of_the_connection_from_when_to_when() {
    let (fake, node) = start(|launch| launch).await;
    let id = fake.say("ann", &Chatter::viewer("bob"), "!ping");
    let of_message = format!("message_id={id}");
    eventually("the reply is noted", || async {
        let told = told(&events(&node, &of_message).await);
        told.contains("was answered by the module ping") && told.contains("the reply was written")
    })
    .await;
    fake.cut_all();
    assert!(fake.wait_until(|fake| fake.n_joined() == 0, Instant::now() + PATIENCE).await);
    let missed = fake.say("ann", &Chatter::viewer("bob"), "!ping");
    assert!(fake.wait_joined(1, Instant::now() + PATIENCE).await, "{}", node.log());
    eventually("the gap is told to who asks for the missed line", || async {
        let answer = events(&node, &format!("message_id={missed}")).await;
        assert_eq!(answer["items"], serde_json::json!([]));
        answer["context"].to_string().contains("the channel was not read from")
    })
    .await;
}

/// A small file system for the data folder; the database stands elsewhere.
const SMALL_DISK: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs -o size=8m small data && exec \"$0\" \"$@\"",
];

#[tokio::test]
async fn a_full_disk_of_the_event_log_touches_no_command() {
    let launch = Launch::new(COMMANDS).console();
    let database = format!("sqlite://{}", launch.folder().join("elsewhere.db").display());
    std::fs::create_dir_all(launch.data_dir()).expect("a data folder");
    let mut node = launch.env("WADDLEBOT_STORAGE__URL", &database).under(SMALL_DISK).start().await;
    assert!(node.say("!ping").await.contains("Pong"));
    let folder = format!("/proc/{}/root{}", node.pid(), node.launch.data_dir().display());
    fill(&format!("{folder}/filler"));
    let (mut n_said, deadline) = (0, Instant::now() + PATIENCE);
    while !node.log().contains("the event log cannot be written") {
        assert!(Instant::now() < deadline, "after {n_said} commands: {}", node.log());
        assert!(node.say(&format!("!echo number {n_said}")).await.contains(&n_said.to_string()));
        n_said += 1;
    }
    assert!(node.say("!addcom !hi Hello").await.contains("added"), "effects go on");
    assert!(node.say("!hi").await.contains("Hello"));
    std::fs::remove_file(format!("{folder}/filler")).expect("space comes back");
    // What was kept in memory meanwhile is written: an end and a reply of each command.
    let is_written = || async {
        let log = std::fs::read_to_string(format!("{folder}/waddlebot.log")).unwrap_or_default();
        let bytes = std::fs::metadata(format!("{folder}/events.db-wal")).map_or(0, |file| file.len());
        log.contains("the event log is written again") && bytes > 2 * n_said * 200
    };
    eventually("the log catches up", is_written).await;
    println!("{n_said} commands were answered until the log's disk was seen to be full");
}

/// Writes until the file system is full.
fn fill(path: &str) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("the small disk is reachable");
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file.flush());
}
