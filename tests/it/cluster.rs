//! Three nodes, one PostgreSQL, one Twitch: each channel is served by one node, whatever happens to the others.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use storage::testing::TestDatabase;
use tempfile::TempDir;

use crate::node::{Launch, Node, PATIENCE, eventually};

mod admin;
mod budgets;
pub mod door;
mod live;
mod load;
mod reminders;
mod rolling;
mod suspects;
mod versions;

use door::Door;
use load::note_said;

const N_CHANNELS: usize = 60;

fn login(number: usize) -> String {
    format!("channel{number:03}")
}

/// A port that nobody has, below those that the kernel gives to outgoing connections: such a one might be taken again
/// before the node listens. Each process of the tests begins at its own place.
fn free_port() -> u16 {
    static N_ASKED: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::from_fn(|| {
        let number =
            std::process::id().wrapping_mul(37).wrapping_add(N_ASKED.fetch_add(1, Ordering::Relaxed));
        u16::try_from(12_000 + number % 20_000).ok()
    });
    ports.take(1_000).find(is_free).expect("a free port")
}

struct Cluster {
    fake: FakeTwitch,
    /// Goes with the cluster.
    database: TestDatabase,
    certificates: Certificates,
    /// Between the nodes and the database.
    door: Door,
}

/// An authority, and a certificate of it that every node shows.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority_key = KeyPair::generate().expect("a key");
        let mut of_authority = CertificateParams::default();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = of_authority.self_signed(&authority_key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let issuer = Issuer::new(of_authority, authority_key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("is written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("is private");
        };
        write("ca.pem", authority.pem());
        write("node.pem", certificate.pem());
        write("node.key", key.serialize_pem());
        Self { folder }
    }

    fn settings(&self) -> String {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        format!(
            "tls_cert = \"{}\"\ntls_key = \"{}\"\ntls_ca = \"{}\"\n",
            path("node.pem"),
            path("node.key"),
            path("ca.pem")
        )
    }
}

impl Cluster {
    async fn new() -> Self {
        let limits =
            FakeConfig { joins_per_10s: 2000, auths_per_10s: 200, ..FakeConfig::default().without_limits() };
        Self::with(limits).await
    }

    /// A cluster in front of a Twitch with those limits.
    async fn with(config: FakeConfig) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let fake = FakeTwitch::start(config).await.expect("a fake Twitch");
        let database = storage::testing::empty_postgres().await;
        let door = Door::new(&database.url).await;
        Self { fake, database, certificates: Certificates::new(), door }
    }

    fn launch(&self, id: &str) -> Launch {
        self.launch_with(id, N_CHANNELS)
    }

    fn launch_with(&self, id: &str, n_channels: usize) -> Launch {
        let channels: Vec<_> = (0..n_channels).map(|n| format!("\"{}\"", login(n))).collect();
        let config = format!(
            "[platforms.twitch]\nchannels = [{channels}]\nirc_url = \"{irc}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
             bot_login = \"waddlebot\"\nbot_token = \"token\"\njoins_per_10s = 2000\nauth_per_10s = 200\n\
             connections_per_second = 50\nmessages_per_30s = 7000\nmessages_per_30s_moderator = 7000\n\
             channel_interval_ms = 0\n[limits]\ncommand_rate = 0\n\
             [cluster]\nenabled = true\nlisten = \"127.0.0.1:{port}\"\ncookie = \"0123456789abcdef0123456789abcdef\"\n{tls}\
             [[commands]]\nname = \"!slow\"\nresponse = \"slowly\"\ncooldown_secs = 45\n",
            channels = channels.join(", "),
            irc = self.fake.irc_url(),
            http = self.fake.http_url(),
            port = free_port(),
            tls = self.certificates.settings(),
        );
        Launch::new(&config)
            .env("WADDLEBOT_STORAGE__URL", &self.door.url)
            .env("WADDLEBOT_NODE__ID", id)
            // A node that starts itself again is found where it was.
            .env("WADDLEBOT_HUB__LISTEN", &format!("127.0.0.1:{}", free_port()))
    }

    /// Waits until each channel is joined, once.
    async fn all_joined(&self, nodes: &[&Node]) -> Duration {
        self.joined_once(N_CHANNELS, nodes).await
    }

    /// Waits until so many channels are joined, each by one connection.
    async fn joined_once(&self, n_channels: usize, nodes: &[&Node]) -> Duration {
        let started = Instant::now();
        let joined = |fake: &FakeTwitch| {
            let per_connection: usize = fake.channels_per_connection().values().sum();
            fake.n_joined() == n_channels && per_connection == n_channels
        };
        let logs = || nodes.iter().map(|node| node.log()).collect::<Vec<_>>().join("\n----\n");
        assert!(
            self.fake.wait_until(joined, started + PATIENCE).await,
            "{} channels joined {} times; {}",
            self.fake.n_joined(),
            self.fake.channels_per_connection().values().sum::<usize>(),
            logs()
        );
        started.elapsed()
    }

    /// Asks in each channel and returns how often each answered, once all have.
    async fn answers(&self) -> BTreeMap<String, usize> {
        self.fake.take_received();
        for n in 0..N_CHANNELS {
            self.fake.say(&login(n), &Chatter::viewer("ann"), "!ping");
        }
        let mut answers = BTreeMap::new();
        eventually("every channel answers", || {
            for line in self.fake.take_received() {
                *answers.entry(line.channel_login).or_default() += 1;
            }
            std::future::ready(answers.len() == N_CHANNELS)
        })
        .await;
        answers
    }

    /// What is answered first in a channel.
    async fn first_answer(&self, login: &str, text: &str) -> String {
        self.fake.take_received();
        self.fake.say(login, &Chatter::viewer("ann"), text);
        let mut answers = Vec::new();
        eventually("it answers", || {
            answers.extend(self.fake.take_received());
            std::future::ready(!answers.is_empty())
        })
        .await;
        answers.swap_remove(0).text
    }

    /// Three nodes that share all channels.
    async fn three(&self) -> [Node; 3] {
        let [a, b, c] = ["a", "b", "c"].map(|id| self.launch(id));
        let (a, b, c) = tokio::join!(a.start(), b.start(), c.start());
        for id in ["a", "b", "c"] {
            has_its_share(&a, id).await;
        }
        self.all_joined(&[&a, &b, &c]).await;
        [a, b, c]
    }

    /// Waits until nothing waits any more, noting what is said meanwhile.
    async fn is_whole_after(&self, said: &mut BTreeMap<String, BTreeMap<usize, usize>>) {
        let mut n_before = usize::MAX;
        let n_said = |said: &BTreeMap<String, BTreeMap<usize, usize>>| said.values().map(BTreeMap::len).sum();
        while n_before != n_said(said) {
            n_before = n_said(said);
            tokio::time::sleep(Duration::from_secs(1)).await;
            note_said(&self.fake, said);
        }
    }

    /// Every channel answers, once.
    async fn is_whole(&self) {
        let answers = self.answers().await;
        assert!(answers.values().all(|n| *n == 1), "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_the_channels_and_take_over_those_of_a_killed_one() {
    let cluster = Cluster::new().await;
    let [a, b, c] = cluster.three().await;
    cluster.is_whole().await;
    let killed = Instant::now();
    let launch = b.kill().await;
    taken_over(&a, 2).await;
    cluster.all_joined(&[&a, &c]).await;
    println!("channels of a killed node are joined by others after {:?}", killed.elapsed());
    cluster.is_whole().await;
    let b = launch.start().await;
    has_its_share(&a, "b").await;
    cluster.all_joined(&[&a, &b, &c]).await;
    cluster.is_whole().await;
}

/// Waits until so many nodes own every channel: the fake may see the sockets of a killed one later than the test goes on.
async fn taken_over(asked: &Node, n_nodes: usize) {
    eventually("the others own its channels", async || {
        let (_, answer) = asked.get("/api/v1/cluster").await;
        let n_now = answer["data"]["nodes"].as_array().map(Vec::len);
        n_now == Some(n_nodes) && answer["data"]["channels_unowned"] == 0
    })
    .await;
}

/// Waits until the node owns some channels and nothing moves any more.
async fn has_its_share(asked: &Node, id: &str) {
    let mut before = Value::Null;
    // Who comes later than the first view waits 30 s for its share.
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let (_, answer) = asked.get("/api/v1/cluster").await;
        let data = &answer["data"];
        let nodes = data["nodes"].as_array().cloned().unwrap_or_default();
        let shares: Value = nodes.iter().map(|node| json!([node["id"], node["channels"]])).collect();
        let owns = nodes.iter().any(|node| node["id"] == id && node["channels"].as_i64() > Some(5));
        if owns && data["channels_unowned"] == 0 && shares == before {
            return;
        }
        assert!(Instant::now() < deadline, "{id} never has its share: {answer}");
        before = shares;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_node_is_asked_the_owner_answers() {
    let cluster = Cluster::new().await;
    let nodes = cluster.three().await;
    for node in &nodes {
        for n in 0..N_CHANNELS {
            let key = format!("twitch:{}", login(n));
            let (status, answer) = node.event(&key, "ann", "!ping", "everyone").await;
            assert_eq!(status, 200, "{answer}");
            assert!(
                answer["data"]["response"].as_str().is_some_and(|text| text.starts_with("Pong")),
                "{answer}"
            );
        }
        let (status, answer) = node.get("/api/v1/channels/twitch:channel000").await;
        assert_eq!((status, &answer["data"]["key"]), (200, &json!("twitch:channel000")), "{answer}");
        let (_, answer) = node.get("/api/v1/cluster").await;
        let of_nodes = answer["data"]["nodes"].as_array().expect("nodes");
        let owned: i64 = of_nodes.iter().filter_map(|node| node["channels"].as_i64()).sum();
        assert_eq!((of_nodes.len(), owned), (3, 60), "{answer}");
        assert!(of_nodes.iter().all(|node| node["channels"].as_i64() > Some(5)), "{answer}");
    }
    let events: Vec<_> = (0..N_CHANNELS)
        .map(|n| {
            json!({ "platform": "twitch", "channel_id": login(n), "user_id": "1", "username": "ann",
                "message": "!ping", "message_type": "chatMessage" })
        })
        .collect();
    let (status, answer) = nodes[0].post("/api/v1/router/events/batch", json!({ "events": events })).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["data"]["results"].as_array().expect("results");
    assert!(
        results.len() == N_CHANNELS && results.iter().all(|result| result["success"] == true),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_events_reach_their_channel_on_whichever_node_it_is() {
    let cluster = Cluster::new().await;
    let [a, _b, _c] = cluster.three().await;
    cluster.fake.take_received();
    for n in 0..N_CHANNELS {
        let event = json!({ "platform": "twitch", "channel_id": login(n), "user_id": "1", "username": "ann",
            "message": "!ping", "message_type": "chatMessage", "message_id": format!("stored-{n}") });
        let (status, answer) = a.post_with("/api/v1/router/events", ("Prefer", "respond-async"), event).await;
        assert_eq!(status, 202, "{answer}");
    }
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    eventually("every channel answers", || {
        for line in cluster.fake.take_received() {
            *answers.entry(line.channel_login).or_default() += 1;
        }
        std::future::ready(answers.len() == N_CHANNELS)
    })
    .await;
    assert!(answers.values().all(|n| *n == 1), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_is_replaced_and_silent_when_it_wakes() {
    let cluster = Cluster::new().await;
    let [a, b, c] = cluster.three().await;
    let n_owned = |answer: &Value| {
        let nodes = answer["data"]["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["id"] == "b").and_then(|node| node["channels"].as_i64()).unwrap_or(0)
    };
    let n_stopped = usize::try_from(n_owned(&a.get("/api/v1/cluster").await.1)).expect("a number");
    let (_, all) = a.get("/api/v1/channels?limit=100").await;
    let of_b = all["data"]["items"].as_array().and_then(|all| all.iter().find(|one| one["node"] == "b"));
    let key = of_b.and_then(|one| one["key"].as_str()).unwrap_or_else(|| panic!("{all}"));
    let stopped = Instant::now();
    b.signal(19).await;
    let asked = async {
        // Handed to the stopped node, which has 8 s to answer while it lives.
        let (status, answer) = a.get(&format!("/api/v1/channels/{key}")).await;
        assert!(
            status == 503 && stopped.elapsed() < Duration::from_secs(4),
            "{:?}: {answer}",
            stopped.elapsed()
        );
    };
    tokio::join!(taken_over(&a, 2), asked);
    println!("channels of a stopped node are owned by others after {:?}", stopped.elapsed());
    // The stopped node's connections stand, so its channels are joined twice, and what is said now waits there too.
    let joined =
        |fake: &FakeTwitch| fake.channels_per_connection().values().sum::<usize>() == N_CHANNELS + n_stopped;
    assert!(cluster.fake.wait_until(joined, Instant::now() + PATIENCE).await, "{}", a.log());
    cluster.is_whole().await;
    b.signal(18).await;
    cluster.all_joined(&[&a, &b, &c]).await;
    let late: Vec<_> = cluster.fake.take_received();
    assert!(late.is_empty(), "the woken node answered: {late:?}");
    has_its_share(&a, "b").await;
    cluster.all_joined(&[&a, &b, &c]).await;
    cluster.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_stop_hands_everything_over_first() {
    let cluster = Cluster::new().await;
    let [a, mut b, c] = cluster.three().await;
    let told = Instant::now();
    b.signal(15).await;
    assert!(b.ended().await.success(), "{}", b.log());
    let ended = told.elapsed();
    cluster.all_joined(&[&a, &c]).await;
    println!("ended after {ended:?}, its channels are joined by others after {:?}", told.elapsed());
    assert!(ended < Duration::from_secs(20));
    cluster.is_whole().await;
}

/// Incarnations by node, and how many channels changed their owner, as all nodes counted.
async fn who_and_how_often(nodes: &[Node; 3]) -> (Value, f64) {
    let (_, answer) = nodes[0].get("/api/v1/cluster").await;
    let of_nodes = answer["data"]["nodes"].as_array().expect("nodes");
    let who =
        of_nodes.iter().map(|node| json!([node["id"], node["incarnation"], node["channels"]])).collect();
    let mut moves = 0.0;
    for node in nodes {
        moves += node.metric("waddlebot_ownership_moves_total").await;
    }
    (who, moves)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_everybody_is_silent_and_nothing_moves() {
    let cluster = Cluster::new().await;
    let nodes = cluster.three().await;
    cluster.is_whole().await;
    let before = who_and_how_often(&nodes).await;
    cluster.door.shut();
    // The gate time, and what a write may take that was past the gate.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.fake.take_received();
    for n in 0..N_CHANNELS {
        cluster.fake.say(&login(n), &Chatter::viewer("bob"), "!ping");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let said = cluster.fake.take_received();
    assert!(said.is_empty(), "said while nobody can prove who owns what: {said:?}");
    cluster.door.open();
    let opened = Instant::now();
    eventually("every channel answers what waited, or anew", || {
        std::future::ready(!cluster.fake.take_received().is_empty())
    })
    .await;
    println!("back {:?} after the database was", opened.elapsed());
    eventually("nothing waits any more", || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.fake.take_received().is_empty()
    })
    .await;
    cluster.is_whole().await;
    assert_eq!(who_and_how_often(&nodes).await, before, "nobody was buried and nothing moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_id_the_second_waits() {
    let cluster = Cluster::new().await;
    let first = cluster.launch("a").start().await;
    cluster.all_joined(&[&first]).await;
    let second = cluster.launch("a").start().await;
    let incarnations = async |node: &Node| {
        let (_, answer) = node.get("/api/v1/cluster").await;
        let nodes = answer["data"]["nodes"].as_array().expect("nodes").clone();
        nodes.iter().map(|node| node["incarnation"].clone()).collect::<Vec<_>>()
    };
    let before = incarnations(&first).await;
    // More than a lease: the first one's never lapses.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(incarnations(&second).await, before);
    cluster.is_whole().await;
    let killed = Instant::now();
    first.kill().await;
    eventually("the second takes the id over", async || {
        let now = incarnations(&second).await;
        now.len() == 1 && now != before
    })
    .await;
    cluster.all_joined(&[&second]).await;
    println!("the second has all channels {:?} after the first was killed", killed.elapsed());
    cluster.is_whole().await;
}
