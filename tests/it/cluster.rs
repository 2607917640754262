//! Three nodes, one PostgreSQL, one Twitch: each channel is served by one node, whatever happens to the others.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};
use storage::testing::TestDatabase;

use crate::node::{Launch, Node, PATIENCE, eventually};

const N_CHANNELS: usize = 60;

fn login(number: usize) -> String {
    format!("channel{number:03}")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a free port").port()
}

struct Cluster {
    fake: FakeTwitch,
    database: TestDatabase,
}

impl Cluster {
    async fn new() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let config =
            FakeConfig { joins_per_10s: 2000, auths_per_10s: 200, ..FakeConfig::default().without_limits() };
        let fake = FakeTwitch::start(config).await.expect("a fake Twitch");
        Self { fake, database: storage::testing::empty_postgres().await }
    }

    fn launch(&self, id: &str) -> Launch {
        let channels: Vec<_> = (0..N_CHANNELS).map(|n| format!("\"{}\"", login(n))).collect();
        let config = format!(
            "[platforms.twitch]\nchannels = [{channels}]\nirc_url = \"{irc}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
             bot_login = \"waddlebot\"\nbot_token = \"token\"\njoins_per_10s = 2000\nauth_per_10s = 200\n\
             connections_per_second = 50\nmessages_per_30s = 7000\nmessages_per_30s_moderator = 7000\n\
             channel_interval_ms = 0\n[limits]\ncommand_rate = 0\n\
             [cluster]\nenabled = true\nlisten = \"127.0.0.1:{port}\"\ncookie = \"0123456789abcdef0123456789abcdef\"\n",
            channels = channels.join(", "),
            irc = self.fake.irc_url(),
            http = self.fake.http_url(),
            port = free_port(),
        );
        Launch::new(&config).env("WADDLEBOT_STORAGE__URL", &self.database.url).env("WADDLEBOT_NODE__ID", id)
    }

    /// Waits until each channel is joined, once.
    async fn all_joined(&self, nodes: &[&Node]) -> Duration {
        let started = Instant::now();
        let joined = |fake: &FakeTwitch| {
            let per_connection: usize = fake.channels_per_connection().values().sum();
            fake.n_joined() == N_CHANNELS && per_connection == N_CHANNELS
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_the_channels_and_take_over_those_of_a_killed_one() {
    let cluster = Cluster::new().await;
    let [a, b, c] = ["a", "b", "c"].map(|id| cluster.launch(id));
    let (a, b, c) = tokio::join!(a.start(), b.start(), c.start());
    let shared = cluster.all_joined(&[&a, &b, &c]).await;
    assert!(cluster.answers().await.values().all(|n| *n == 1));
    let killed = Instant::now();
    let launch = b.kill().await;
    cluster.all_joined(&[&a, &c]).await;
    println!(
        "three nodes serve {N_CHANNELS} channels after {shared:?}; those of a killed one are joined after {:?}",
        killed.elapsed()
    );
    assert!(cluster.answers().await.values().all(|n| *n == 1));
    let b = launch.start().await;
    cluster.all_joined(&[&a, &b, &c]).await;
    assert!(cluster.answers().await.values().all(|n| *n == 1));
}
