//! "Why did the bot (not) answer this?", on either database, through a running node.

use std::time::Duration;

use domain::ChannelId;
use serde_json::{Value, json};
use storage::testing::TestDatabase;
use storage::{EventFilter, EventStore, StorageOptions};

use crate::node::{Launch, Node, PROGRAM, eventually};

mod faults;
mod replay;

const KEY: &str = "console:local";

/// Cooldown, silence and a count beside the built-in commands.
const COMMANDS: &str = "[limits]\ncommand_rate = 0\n\
    [[commands]]\nname = \"!cold\"\nresponse = \"Brr\"\ncooldown_secs = 600\n\
    [[commands]]\nname = \"!echo\"\nresponse = \"$(query)\"\ncooldown_secs = 0\n\
    [[commands]]\nname = \"!uses\"\nresponse = \"$(count) uses\"\ncooldown_secs = 0\n";

/// Longer than the writer's turns.
const FLUSHED_AFTER: Duration = Duration::from_secs(2);

/// A database for the node, on one or the other server; keep it as long as the node.
enum Place {
    Lite,
    Pg(Box<TestDatabase>),
}

impl Place {
    async fn postgres() -> Self {
        Self::Pg(Box::new(storage::testing::postgres().await))
    }

    fn apply(&self, launch: Launch) -> Launch {
        match self {
            Self::Lite => launch,
            Self::Pg(test) => launch.env("WADDLEBOT_STORAGE__URL", &test.url),
        }
    }

    fn options(&self, node: &Node) -> StorageOptions {
        match self {
            Self::Lite => {
                let file = node.launch.data_dir().join("waddlebot.db");
                StorageOptions::new(format!("sqlite://{}", file.display()))
            }
            Self::Pg(test) => StorageOptions::new(&test.url),
        }
    }

    /// The node's event log, looked at from outside.
    async fn store(&self, node: &Node) -> EventStore {
        let file = node.launch.data_dir().join("events.db");
        EventStore::open(&self.options(node), &file).await.expect("the event log opens")
    }
}

/// A line over HTTP under an id; the status of its end.
async fn say(node: &Node, id: &str, user: &str, text: &str) -> Value {
    let body = json!({
        "platform": "console", "channel_id": "local", "user_id": format!("id-{user}"), "username": user,
        "message": text, "message_type": "chatMessage", "message_id": id, "metadata": { "level": "everyone" },
    });
    node.post("/api/v1/router/events", body).await.1
}

async fn why(node: &Node, query: &str) -> Value {
    let (status, answer) = node.get(&format!("/api/v1/channels/{KEY}/events?{query}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

/// All sentences of an answer, a line each.
fn told(answer: &Value) -> String {
    let items = answer["items"].as_array().expect("items");
    items.iter().map(|item| item["told"].as_str().expect("a sentence")).collect::<Vec<_>>().join("\n")
}

async fn each_outcome_is_told(place: Place) {
    let node = place.apply(Launch::new(COMMANDS).console()).start().await;
    let disable = format!("/api/v1/channels/{KEY}/modules/uptime/disable");
    assert_eq!(node.post(&disable, json!({})).await.0, 200);
    say(&node, "m-before", "zoe", "!cold").await;
    // On a busy machine the store is opened a moment after the node is ready.
    eventually("the store is open", async || why(&node, "message_id=m-before").await["complete"] == true)
        .await;
    for (id, text, wanted) in [
        ("m-answered", "!ping", "was answered by the module ping"),
        ("m-silent", "!echo", "which had nothing to say"),
        ("m-level", "!addcom !x y", "needs the level moderator, ann has everyone; lower it with"),
        ("m-unknown", "!nothing", "there is no such command or alias; add it with"),
        ("m-cold", "!cold", "it was cooling down"),
        ("m-off", "!uptime", "the module uptime is switched off"),
        ("m-failed", "!error", "failed in the module fault_error"),
        ("m-late", "!sleep60", "limits.module_timeout_ms"),
        ("m-effect", "!uses", "changed something, once"),
    ] {
        say(&node, id, "ann", text).await;
        let answer = why(&node, &format!("message_id={id}")).await;
        let told = told(&answer);
        assert!(told.contains(wanted), "{text}: {told}");
        assert!(told.contains("by ann, received at"), "{text}: {told}");
        assert_eq!(answer["complete"], true, "{answer}");
    }
    let answered = told(&why(&node, "message_id=m-answered").await);
    assert!(answered.contains("the reply was written"), "{answered}");

    say(&node, "m-answered", "ann", "!ping").await;
    let repeated = told(&why(&node, "message_id=m-answered").await);
    assert!(repeated.contains("came again over router and was not run again"), "{repeated}");
    assert_eq!(repeated.matches("was answered").count(), 1, "{repeated}");

    // A plain line leaves nothing, and that is said.
    say(&node, "m-plain", "ann", "hello everybody").await;
    let answer = why(&node, "message_id=m-plain").await;
    assert_eq!(answer["items"], json!([]));
    assert!(answer["conclusion"].to_string().contains("a plain line leaves nothing"), "{answer}");

    // By user: the replies and effects of ann's commands too, nothing of zoe's.
    let all = told(&why(&node, "user=Ann&limit=100").await);
    assert!(all.contains("the reply was written") && all.contains("changed something"), "{all}");
    assert!(!all.contains("zoe"), "{all}");
    is_stored(&place.store(&node).await, &node, "m-answered").await;
    let node = node.kill_and_restart().await;
    eventually("the store is open again", || async {
        told(&why(&node, "message_id=m-level").await).contains("needs the level moderator")
    })
    .await;
    assert_eq!(told(&why(&node, "user=ann&limit=100").await), all, "a killed node keeps what was flushed");
    the_command_line_tells_the_same(&node).await;
}

/// Waits until the newest record of ann, and with it every older one, would outlive the process.
async fn is_stored(store: &EventStore, node: &Node, message_id: &str) {
    let (_, channel) = node.get(&format!("/api/v1/channels/{KEY}")).await;
    let id = channel["data"]["id"].as_str().and_then(ChannelId::parse).expect("the channel has an id");
    let of_ann = EventFilter { message_id: None, user_login: Some("ann") };
    eventually("everything is stored", || async {
        let newest = store.newest(id, of_ann, i64::MAX, 1).await.expect("the store answers");
        newest.first().is_some_and(|row| row.message_id == message_id)
    })
    .await;
}

async fn the_command_line_tells_the_same(node: &Node) {
    let (status, said) = waddlebot(node, &["channels", "why", KEY, "--message", "m-level"]).await;
    assert!(status && said.contains("ann has everyone; lower it with `!command options addcom"), "{said}");
    let (status, said) = waddlebot(node, &["channels", "why", KEY, "--message", "never"]).await;
    assert!(status && said.contains("the line was no command"), "{said}");
    assert!(said.contains("the node test started"), "what may be the reason is told: {said}");
    let (status, said) = waddlebot(node, &["channels", "why", KEY, "--user", "ann", "--json"]).await;
    assert!(status && serde_json::from_str::<Value>(&said).is_ok(), "{said}");
}

/// Runs the program against the node; whether it succeeded, and what it said.
async fn waddlebot(node: &Node, args: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(PROGRAM)
        .args(args)
        .args(["--url", &node.url, "--key-file"])
        .arg(node.launch.data_dir().join("service.key"))
        .env_clear()
        .output()
        .await
        .expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn each_outcome_is_told_by_why_on_sqlite_and_survives_kill_nine() {
    each_outcome_is_told(Place::Lite).await;
}

#[tokio::test]
async fn each_outcome_is_told_by_why_on_postgres_and_survives_kill_nine() {
    each_outcome_is_told(Place::postgres().await).await;
}

#[tokio::test]
async fn what_is_older_than_the_setting_is_removed_and_nothing_is_kept_when_it_is_off() {
    let node = Launch::new("[telemetry]\nevent_log_days = 2\n").console().start().await;
    let store = Place::Lite.store(&node).await;
    let now = waddlebot::messages::Clock::System.now();
    let rows: Vec<_> = (0..12_000)
        .map(|n| {
            let at = now - chrono::TimeDelta::days(3) + chrono::TimeDelta::milliseconds(n);
            let record = waddlebot::messages::EventRecord::about(None, waddlebot::messages::What::written());
            record.to_row(storage::event_log::event_id(at, 1))
        })
        .collect();
    let node = {
        let mut node = node;
        node.signal(15).await;
        assert!(node.ended().await.success());
        store.append(&rows).await.expect("old records");
        node.launch.start().await
    };
    eventually("old records are gone", || async { store.count().await.expect("counts") < 100 }).await;
    say(&node, "m1", "ann", "!ping").await;
    assert!(told(&why(&node, "message_id=m1").await).contains("was answered"));

    let off = Launch::new("[telemetry]\nevent_log_days = 0\n").console().start().await;
    say(&off, "m1", "ann", "!ping").await;
    let answer = why(&off, "message_id=m1").await;
    assert_eq!(answer["items"], json!([]));
    assert!(answer["conclusion"].to_string().contains("telemetry.event_log_days"), "{answer}");
    let (status, refused) =
        off.post(&format!("/api/v1/channels/{KEY}/recording"), json!({ "for": "1h" })).await;
    assert_eq!(status, 409, "{refused}");
    assert!(!off.launch.data_dir().join("events.db").exists());
}
