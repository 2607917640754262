//! A rolling restart at load: each command is answered, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_twitch::Chatter;

use super::{Cluster, N_CHANNELS, has_its_share, login};
use crate::node::{Node, PATIENCE};

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
