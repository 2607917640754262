//! A rolling restart at load: each command is answered, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig};

use super::{Cluster, N_CHANNELS, has_its_share, login};
use crate::node::{Node, PATIENCE, eventually};

/// Counts in every channel all the time while `deed` is done; returns how often it counted in each.
async fn while_everybody_counts<T>(cluster: &Cluster, deed: impl Future<Output = T>) -> (usize, T) {
    let mut n_each = 0;
    let mut deed = std::pin::pin!(deed);
    loop {
        n_each += 1;
        for n in 0..N_CHANNELS {
            cluster.fake.say(&login(n), &Chatter::viewer("ann"), &format!("!ledger {n_each}"));
        }
        tokio::select! {
            done = &mut deed => return (n_each, done),
            () = tokio::time::sleep(Duration::from_millis(400)) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_at_load_loses_and_doubles_no_command() {
    let cluster = Cluster::new().await;
    let mut nodes: Vec<Node> = cluster.three().await.into();
    cluster.fake.take_received();
    let (n_each, ()) = while_everybody_counts(&cluster, async {
        for id in ["a", "b", "c"] {
            let next = nodes.remove(0).restart().await;
            has_its_share(&next, id).await;
            nodes.push(next);
        }
        cluster.all_joined(&nodes.iter().collect::<Vec<_>>()).await;
    })
    .await;
    let mut wrong: BTreeMap<(String, usize), i32> =
        (0..N_CHANNELS).flat_map(|n| (1..=n_each).map(move |token| ((login(n), token), -1))).collect();
    cluster
        .fake
        .wait_until(|fake| fake.counters().sends >= (N_CHANNELS * n_each) as u64, Instant::now() + PATIENCE)
        .await;
    for line in cluster.fake.take_received() {
        let token = line.text.rsplit(' ').next().and_then(|token| token.parse().ok());
        let logs = || nodes.iter().map(Node::log).collect::<String>();
        let failed = || logs().lines().filter(|line| line.contains("crash")).collect::<Vec<_>>().join("\n");
        let token = token.unwrap_or_else(|| panic!("{}: {}\n{}", line.channel_login, line.text, failed()));
        *wrong.entry((line.channel_login, token)).or_default() += 1;
    }
    wrong.retain(|_, times| *times != 0);
    println!("{n_each} commands in each of {N_CHANNELS} channels while three nodes were restarted");
    let logs = nodes.iter().map(Node::log).collect::<Vec<_>>().join("\n----\n");
    assert!(wrong.is_empty(), "not each once: {wrong:?}\n{logs}");
}

/// All channels of a node are on one connection, which is asked to leave a hundred of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_leaves_every_channel_that_it_gives_away() {
    const N_MANY: usize = 400;
    let cluster = Cluster::new().await;
    let [a, b] = ["a", "b"].map(|id| {
        let launch = cluster.launch_with(id, N_MANY);
        launch.env("WADDLEBOT_PLATFORMS__TWITCH__CHANNELS_PER_CONNECTION", "400")
    });
    let (a, b) = tokio::join!(a.start(), b.start());
    has_its_share(&a, "b").await;
    cluster.joined_once(N_MANY, &[&a, &b]).await;
    let b = b.restart().await;
    has_its_share(&a, "b").await;
    cluster.joined_once(N_MANY, &[&a, &b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_move_are_answered_at_once_while_their_next_owner_waits_for_joins() {
    let rationed =
        FakeConfig { joins_per_10s: 60, auths_per_10s: 200, ..FakeConfig::default().without_limits() };
    let cluster = Cluster::with(rationed).await;
    let [a, b] =
        ["a", "b"].map(|id| cluster.launch(id).env("WADDLEBOT_PLATFORMS__TWITCH__JOINS_PER_10S", "60"));
    let (a, mut b) = tokio::join!(a.start(), b.start());
    has_its_share(&a, "b").await;
    cluster.all_joined(&[&a, &b]).await;
    cluster.is_whole().await;
    // The JOINs of this window are used up.
    let (mut said_at, told) = (Vec::new(), Instant::now());
    b.signal(15).await;
    {
        let ended = b.ended();
        tokio::pin!(ended);
        loop {
            said_at.push(Instant::now());
            for n in 0..N_CHANNELS {
                cluster.fake.say(
                    &login(n),
                    &Chatter::viewer("ann"),
                    &format!("!ledger {}", said_at.len() - 1),
                );
            }
            tokio::select! {
                status = &mut ended => break assert!(status.success()),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
    println!("ended after {:?}", told.elapsed());
    let mut received = Vec::new();
    let n_all = N_CHANNELS * said_at.len();
    eventually("every command is answered", || {
        received.extend(cluster.fake.take_received());
        std::future::ready(received.len() >= n_all)
    })
    .await;
    let waited = received.iter().map(|line| {
        let token: usize =
            line.text.rsplit(' ').next().and_then(|token| token.parse().ok()).expect("a token");
        line.at - said_at[token]
    });
    let longest = waited.max();
    println!("{} of {n_all} commands answered, the slowest after {longest:?}", received.len());
    assert_eq!(received.len(), n_all, "{}", a.log());
    assert!(longest < Some(Duration::from_secs(2)), "{longest:?}");
}
