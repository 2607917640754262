//! Three nodes on one account, in front of a Twitch that enforces its limits.

use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};

use super::{Cluster, login};
use crate::node::{Launch, Node};

const N_CHANNELS: usize = 120;
const JOINS_PER_10S: u32 = 40;
/// Fewer than nodes.
const AUTHS_PER_10S: u32 = 2;
const SENDS_PER_30S: u32 = 20;

fn limited() -> FakeConfig {
    FakeConfig { joins_per_10s: JOINS_PER_10S, auths_per_10s: AUTHS_PER_10S, ..FakeConfig::default() }
}

fn launch(cluster: &Cluster, id: &str, n_channels: usize) -> Launch {
    let of_twitch = |name: &str| format!("WADDLEBOT_PLATFORMS__TWITCH__{name}");
    cluster
        .launch_with(id, n_channels)
        .env(&of_twitch("JOINS_PER_10S"), &JOINS_PER_10S.to_string())
        .env(&of_twitch("AUTH_PER_10S"), &AUTHS_PER_10S.to_string())
        .env(&of_twitch("MESSAGES_PER_30S"), &SENDS_PER_30S.to_string())
        // Four connections in all, and room for what a dead node leaves.
        .env(&of_twitch("CHANNELS_PER_CONNECTION"), "60")
}

async fn three(cluster: &Cluster, n_channels: usize) -> [Node; 3] {
    let [a, b, c] = ["a", "b", "c"].map(|id| launch(cluster, id, n_channels));
    let (a, b, c) = tokio::join!(a.start(), b.start(), c.start());
    [a, b, c]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_join_within_the_limits_of_one_account_whichever_dies() {
    let cluster = Cluster::with(limited()).await;
    let started = Instant::now();
    let [a, b, c] = three(&cluster, N_CHANNELS).await;
    let half = |fake: &FakeTwitch| fake.n_joined() >= N_CHANNELS / 2;
    assert!(cluster.fake.wait_until(half, started + Duration::from_mins(1)).await, "{}", a.log());
    let n_of_all = cluster.fake.counters().joins;
    b.kill().await;
    let all = |fake: &FakeTwitch| {
        let joined: usize = fake.channels_per_connection().values().sum();
        fake.n_joined() == N_CHANNELS && joined == N_CHANNELS
    };
    let is_joined = cluster.fake.wait_until(all, started + Duration::from_mins(2)).await;
    let (took, counters) = (started.elapsed(), cluster.fake.counters());
    println!("{took:?}, {n_of_all} JOINs at the kill: {counters:?}");
    assert!(is_joined, "{counters:?}\n{}\n----\n{}", a.log(), c.log());
    assert_eq!((counters.joins_over, counters.auths_over), (0, 0), "{counters:?}");
    // Whole windows, each of which gives as many as it may; the first begins when the nodes have found each other.
    let n_windows = u32::try_from(counters.joins).expect("a number").div_ceil(JOINS_PER_10S);
    let allowed = Duration::from_secs(10) * n_windows + Duration::from_secs(12);
    assert!(took < allowed, "{took:?} instead of {allowed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_talk_within_the_limit_of_one_account() {
    let cluster = Cluster::with(limited()).await;
    let n_channels = 30;
    let nodes = three(&cluster, n_channels).await;
    let all = |fake: &FakeTwitch| fake.n_joined() == n_channels;
    assert!(cluster.fake.wait_until(all, Instant::now() + Duration::from_mins(1)).await);
    for n in 0..n_channels {
        cluster.fake.say(&login(n), &Chatter::viewer("ann"), "!ping");
    }
    let answered = |fake: &FakeTwitch| fake.counters().sends >= n_channels as u64;
    let asked = Instant::now();
    let all_answered = cluster.fake.wait_until(answered, asked + Duration::from_secs(50)).await;
    let counters = cluster.fake.counters();
    println!("{n_channels} answers after {:?}: {counters:?}", asked.elapsed());
    assert!(all_answered, "{counters:?}\n{}", nodes[0].log());
    assert_eq!(counters.sends_over_limit, 0, "{counters:?}");
    assert!(asked.elapsed() > Duration::from_secs(30), "the limit was the account's: {:?}", asked.elapsed());
}
