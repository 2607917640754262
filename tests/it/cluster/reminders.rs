//! Reminders while nodes die: each is said once, and soon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use waddlebot::messages::Clock;

use super::admin::pages;
use super::{Cluster, N_CHANNELS, login, taken_over};
use crate::node::Node;

/// From the first word of the test to the first reminder.
const LEAD: Duration = Duration::from_secs(6);
/// Lateness that nobody exceeds whose channel's owner lives, at p99, and anybody else ever.
const LATE_MAX: Duration = Duration::from_secs(1);
const LATE_AFTER_DEATH_MAX: Duration = Duration::from_secs(5);

/// How many, within which time, and how often a node is killed.
struct Plan {
    n_reminders: usize,
    span: Duration,
    kill_each: Duration,
}

impl Plan {
    fn new() -> Self {
        if std::env::var_os("WADDLEBOT_TEST_SOAK").is_some() {
            let (span, kill_each) = (Duration::from_mins(1), Duration::from_secs(15));
            return Self { n_reminders: 200, span, kill_each };
        }
        Self { n_reminders: 60, span: Duration::from_secs(9), kill_each: Duration::from_secs(4) }
    }

    /// When a reminder is due, counted from the first.
    fn due(&self, number: usize) -> Duration {
        self.span.mul_f64(number as f64 / self.n_reminders as f64)
    }
}

/// A process that was killed: when, and which channels it had.
struct Death {
    at: Instant,
    channels: BTreeSet<String>,
}

impl Death {
    /// Whether the reminder fell into the time that the others needed to notice.
    fn delays(&self, channel: &str, due: Instant) -> bool {
        let end = self.at + LATE_AFTER_DEATH_MAX;
        self.channels.contains(channel) && due + LATE_MAX >= self.at && due <= end
    }
}

async fn set(node: &Node, number: usize, at: DateTime<Utc>) {
    let login = login(number % N_CHANNELS);
    let body = json!({ "community_id": format!("twitch:{login}"), "user_id": "7", "username": "ann",
        "reminder_text": format!("number {number}"), "channel": "twitch",
        "remind_in": at.to_rfc3339_opts(SecondsFormat::Millis, true) });
    let (status, answer) = node.post("/api/v1/memories/reminders", body).await;
    assert_eq!(status, 201, "{answer}");
}

/// Kills one node after the other and starts it again, until the last reminder was due long enough.
async fn kill_in_turn(nodes: Vec<Node>, first: Instant, plan: &Plan) -> (Vec<Node>, Vec<Death>) {
    let mut nodes: Vec<_> = ["a", "b", "c"].into_iter().zip(nodes).collect();
    let mut deaths = Vec::new();
    let mut next = first + plan.kill_each / 2;
    while next < first + plan.span {
        tokio::time::sleep_until(next.into()).await;
        let channels = pages(&nodes[1].1, 100).await;
        let (id, victim) = nodes.remove(0);
        let of_it = |(key, node): (String, String)| (node == id).then(|| key.replacen("twitch:", "", 1));
        deaths.push(Death { at: Instant::now(), channels: channels.into_iter().filter_map(of_it).collect() });
        let launch = victim.kill().await;
        nodes.push((id, launch.start().await));
        next += plan.kill_each;
    }
    tokio::time::sleep_until((first + plan.span + LATE_AFTER_DEATH_MAX).into()).await;
    (nodes.into_iter().map(|(_, node)| node).collect(), deaths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_are_said_once_and_soon_while_nodes_are_killed() {
    let (cluster, plan) = (Cluster::new().await, Plan::new());
    let nodes = Vec::from(cluster.three().await);
    let (first, first_at) =
        (Instant::now() + LEAD, Clock::System.now() + TimeDelta::from_std(LEAD).expect("small"));
    for number in 0..plan.n_reminders {
        let due = TimeDelta::from_std(plan.due(number)).expect("small");
        set(&nodes[number % 3], number, first_at + due).await;
    }
    assert!(Instant::now() < first, "they were set in time");
    cluster.fake.take_received();
    let (nodes, deaths) = kill_in_turn(nodes, first, &plan).await;
    taken_over(&nodes[0], 3).await;

    let mut said: BTreeMap<usize, Vec<(Instant, String)>> = BTreeMap::new();
    for line in cluster.fake.take_received() {
        let number = line.text.strip_prefix("@ann reminder: number ").and_then(|number| number.parse().ok());
        let number = number.unwrap_or_else(|| panic!("{line:?}"));
        said.entry(number).or_default().push((line.at, line.channel_login));
    }
    let mut unknown = 0.0;
    for node in &nodes {
        unknown += node.metric("waddlebot_reply_unknown_total").await;
    }
    let (mut late, mut late_after_death) = (Vec::new(), Duration::ZERO);
    for (number, times) in &said {
        let [(at, channel)] = &times[..] else { panic!("{number} was said {} times", times.len()) };
        assert_eq!(*channel, login(number % N_CHANNELS));
        let due = first + plan.due(*number);
        let lateness = at.saturating_duration_since(due);
        if deaths.iter().any(|death| death.delays(channel, due)) {
            late_after_death = late_after_death.max(lateness);
        } else {
            late.push(lateness);
        }
    }
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    println!(
        "{} of {} said, {unknown} unknown, {} deaths; late p50 {:?}, p99 {p99:?}, after a death at most {late_after_death:?}",
        said.len(),
        plan.n_reminders,
        deaths.len(),
        late[late.len() / 2]
    );
    // What died with its node between commit and sending is known not to be known, and is not said twice.
    assert!(said.len() as f64 + unknown >= plan.n_reminders as f64, "{} said, {unknown} unknown", said.len());
    assert!(p99 <= LATE_MAX && late_after_death <= LATE_AFTER_DEATH_MAX, "{p99:?} {late_after_death:?}");
    let (_, pending) = nodes[0].get("/api/v1/memories/reminders/pending").await;
    assert_eq!(pending["data"]["items"], json!([]), "each is over");
}
