//! Nodes killed and stopped while commands come: nothing has two effects, nothing is said twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeTwitch};

use super::{Cluster, N_CHANNELS, login};
use crate::node::{Node, PATIENCE};

/// What each channel said, from what was received.
pub(super) fn note_said(fake: &FakeTwitch, said: &mut BTreeMap<String, BTreeMap<usize, usize>>) {
    for line in fake.take_received() {
        let Some(value) = line.text.strip_prefix("deaths: ").and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        let of_channel = said.entry(line.channel_login).or_default();
        *of_channel.entry(value.parse().expect("a number")).or_default() += 1;
    }
}

/// A channel's counter; asked again while the channel is on its way to a node that came back.
async fn deaths(asked: &Node, key: &str) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, answer) = asked.event(key, "reader", "!deaths", "everyone").await;
        let text = answer["data"]["response"].as_str().and_then(|text| text.strip_prefix("deaths: "));
        if let Some(value) = text.and_then(|text| text.parse().ok()) {
            return value;
        }
        assert!(Instant::now() < deadline, "{key} never says its counter: {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_and_stopped_at_load_double_nothing() {
    let rounds = if std::env::var_os("WADDLEBOT_TEST_SOAK").is_some() { 40 } else { 4 };
    let cluster = Cluster::new().await;
    let mut nodes: Vec<Node> = cluster.three().await.into();
    let mut said = BTreeMap::new();
    let mut n_asked = 0;
    let mut ask = |n: usize| {
        for _ in 0..n {
            cluster.fake.say(
                &login(n_asked % N_CHANNELS),
                &Chatter::with_badges("mod", "moderator/1"),
                "!deaths +",
            );
            n_asked += 1;
        }
    };
    for round in 0..rounds {
        let mut victim = nodes.remove(0);
        for _ in 0..20 {
            ask(6);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if round % 2 == 0 {
            victim = victim.kill().await.start().await;
        } else {
            victim.signal(19).await;
            for _ in 0..150 {
                ask(3);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            victim.signal(18).await;
        }
        nodes.push(victim);
        note_said(&cluster.fake, &mut said);
        cluster.all_joined(&nodes.iter().collect::<Vec<_>>()).await;
        note_said(&cluster.fake, &mut said);
    }
    cluster.is_whole_after(&mut said).await;
    let (mut n_effects, mut n_said) = (0, 0);
    for n in 0..N_CHANNELS {
        let key = format!("twitch:{}", login(n));
        let value = deaths(&nodes[0], &key).await;
        let of_channel = said.remove(&login(n)).unwrap_or_default();
        let doubled: Vec<_> = of_channel.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "{key} said twice: {doubled:?}");
        assert!(of_channel.keys().all(|said| *said <= value), "{key}: {value}, said {of_channel:?}");
        (n_effects, n_said) = (n_effects + value, n_said + of_channel.len());
    }
    println!("{rounds} faults, {n_asked} commands said, {n_effects} effects, {n_said} replies, 0 doubled");
    assert!(n_said > 0 && n_effects <= n_asked && n_said <= n_effects);
}
