//! kill -9 between receiving a command, its effect, the commit, the reply and the reply's confirmation: the effect is
//! there once, its reply left at most once, and what may or may not have left is counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch, Line};
use storage::{Db, StorageOptions, Tx, counters};

use crate::node::{Launch, Node, PATIENCE};

const CHANNEL: &str = "waddle";
/// Commands of one round. The second and third wait for the channel's pace with their effects committed.
const COMMANDS: usize = 3;

/// Where in the life of its commands the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the commands: some are begun, some not.
    Received(Duration),
    /// While another transaction holds what the effect needs.
    InEffect,
    /// So long after the first reply has left: it may be confirmed or not, the others' replies wait.
    Replied(Duration),
}

fn config(fake: &FakeTwitch) -> String {
    format!(
        "[platforms.twitch]\nchannels = [\"{CHANNEL}\"]\nirc_url = \"{}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
         bot_login = \"waddlebot\"\nbot_token = \"token\"\njoins_per_10s = 2000\nauth_per_10s = 200\n\
         connections_per_second = 50\nmessages_per_30s = 7000\nmessages_per_30s_moderator = 7000\n\
         channel_interval_ms = 150\n[limits]\ncommand_rate = 0\n",
        fake.irc_url(),
        http = fake.http_url(),
    )
}

async fn fake() -> FakeTwitch {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let config =
        FakeConfig { joins_per_10s: 2000, auths_per_10s: 200, ..FakeConfig::default().without_limits() };
    FakeTwitch::start(config).await.expect("a fake Twitch")
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Says `!deaths +` under an id of the test's choice, as a source that delivers again does.
fn say(fake: &FakeTwitch, id: &str) {
    let chatter = Chatter::with_badges("mod", "moderator/1");
    fake.say_line(&Line { id: Some(id.to_owned()), ..Line::new(CHANNEL, chatter, "!deaths +") });
}

/// How often each value of the counter was said.
fn said(fake: &FakeTwitch) -> BTreeMap<usize, usize> {
    let mut said = BTreeMap::new();
    for line in fake.received().iter().filter(|line| !line.text.starts_with("Pong")) {
        let value = line.text.strip_prefix("deaths: ").and_then(|rest| rest.split(' ').next());
        *said.entry(value.expect("a counter").parse().expect("a number")).or_default() += 1;
    }
    said
}

/// Another transaction that holds what a counter's effect needs, until it is dropped.
async fn hold(db: &Db) -> Tx {
    let channels = storage::channels::active_all(db, None, 1).await.expect("the channel");
    let now = db.time().await.expect("a time");
    loop {
        // The node may be writing at this moment.
        let Ok(mut tx) = db.begin().await else { continue };
        counters::add(&mut tx, channels[0].community_id, "deaths", 0, now).await.expect("is held");
        return tx;
    }
}

/// Delivers the commands and kills the node at that moment.
async fn kill_at(moment: Moment, node: Node, fake: &FakeTwitch, db: &Db, ids: &[String]) -> Launch {
    let held = match moment {
        Moment::InEffect => Some(hold(db).await),
        Moment::Received(_) | Moment::Replied(_) => None,
    };
    let before = fake.next_seq();
    for id in ids {
        say(fake, id);
    }
    match moment {
        Moment::Received(later) => tokio::time::sleep(later).await,
        Moment::InEffect => tokio::time::sleep(Duration::from_millis(30)).await,
        Moment::Replied(later) => {
            fake.wait_reply_from(before, |_| true, soon()).await.expect("a first reply");
            tokio::time::sleep(later).await;
        }
    }
    let launch = node.kill().await;
    drop(held);
    launch
}

/// Kills a node in all moments in turn and delivers every command again afterwards.
async fn survives(launch: Launch, db_of: impl AsyncFn(&Node) -> Db, fake: FakeTwitch) {
    let rounds = if std::env::var_os("WADDLEBOT_TEST_SOAK").is_some() { 100 } else { 12 };
    let mut node = launch.start().await;
    assert!(fake.wait_joined(1, soon()).await, "{}", node.log());
    let db = db_of(&node).await;
    let mut unknown = 0.0;
    for round in 0..rounds {
        let ids: Vec<_> = (0..COMMANDS).map(|n| format!("kill-{round}-{n}")).collect();
        let later = Duration::from_millis(round as u64 % 9);
        let moments = [Moment::Received(later), Moment::InEffect, Moment::Replied(later * 30)];
        node = kill_at(moments[round % 3], node, &fake, &db, &ids).await.start().await;
        assert!(fake.wait_joined(1, soon()).await, "{}", node.log());
        unknown += node.metric("waddlebot_reply_unknown_total").await;
        for id in &ids {
            say(&fake, id);
        }
        let all = (round + 1) * COMMANDS;
        value_becomes(&node, all).await;
        everything_is_said(&fake).await;
        node.lines_balance(0.0).await;
    }
    judge(&fake, rounds * COMMANDS, unknown);
}

/// Waits until as many effects are there as operations were asked for: not one more comes of delivering again.
async fn value_becomes(node: &Node, wanted: usize) {
    let text = format!("deaths: {wanted}");
    crate::node::eventually(&text, || async {
        let (_, answer) = node.event("twitch:waddle", "reader", "!deaths", "everyone").await;
        answer["data"]["response"].as_str() == Some(&text)
    })
    .await;
}

/// Replies of one channel leave in order, so behind this one nothing waits any more.
async fn everything_is_said(fake: &FakeTwitch) {
    let before = fake.next_seq();
    fake.say(CHANNEL, &Chatter::viewer("reader"), "!ping");
    fake.wait_reply_from(before, |line| line.text.starts_with("Pong"), soon()).await.expect("a pong");
}

fn judge(fake: &FakeTwitch, n_operations: usize, unknown: f64) {
    let said = said(fake);
    let n_said = said.len();
    let doubled: Vec<_> = said.iter().filter(|(_, n)| **n > 1).collect();
    println!("{n_operations} operations, {n_said} replies, {unknown} unknown, {} doubled", doubled.len());
    assert!(doubled.is_empty(), "said twice: {doubled:?}");
    // The same text twice within 30 s does not come through: that is Twitch's doing, not ours.
    assert_eq!(fake.counters().duplicates, 0, "said twice, and refused by Twitch");
    assert!(said.keys().all(|value| (1..=n_operations).contains(value)), "{said:?}");
    assert!((n_operations - n_said) as f64 <= unknown, "replies were lost and not counted");
    assert!(unknown > 0.0, "no kill hit a reply under way: the test shows nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_and_its_reply_survive_kill_nine_once_on_sqlite() {
    let fake = fake().await;
    let launch = Launch::new(&config(&fake));
    let open = async |node: &Node| {
        let url = format!("sqlite://{}", node.launch.data_dir().join("waddlebot.db").display());
        Db::open(&StorageOptions::new(url)).await.expect("the node's database")
    };
    survives(launch, open, fake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_and_its_reply_survive_kill_nine_once_on_postgresql() {
    let fake = fake().await;
    let database = storage::testing::empty_postgres().await;
    let launch = Launch::new(&config(&fake)).env("WADDLEBOT_STORAGE__URL", &database.url);
    let open =
        async |_: &Node| Db::open(&StorageOptions::new(database.url.clone())).await.expect("the database");
    survives(launch, open, fake).await;
}

/// Eight replies at one in 1.2 s: a stop gives them 3 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_wait_at_a_stop_are_sent_by_the_next_start_and_none_twice() {
    let fake = fake().await;
    let node = Launch::new(&config(&fake).replace("interval_ms = 150", "interval_ms = 1200")).start().await;
    assert!(fake.wait_joined(1, soon()).await, "{}", node.log());
    for n in 0..8 {
        say(&fake, &format!("stop-{n}"));
    }
    assert!(fake.wait_until(|fake| !fake.received().is_empty(), soon()).await, "{}", node.log());
    let told = Instant::now();
    let node = node.restart().await;
    let n_before = fake.received().len();
    println!("stopped and started within {:?}, {n_before} of 8 replies said until then", told.elapsed());
    assert!(fake.wait_until(|fake| fake.received().len() >= 8, soon()).await, "{}", node.log());
    assert_eq!(said(&fake), (1..=8).map(|value| (value, 1)).collect(), "{}", node.log());
    assert!(n_before < 8, "nothing was left to the next start");
    assert!(!node.log().contains("some were killed"), "{}", node.log());
    let [unknown, dropped] =
        node.metrics(["waddlebot_reply_unknown_total", "waddlebot_replies_dropped_total"]).await;
    assert!(unknown + dropped < 0.5, "{unknown} unknown, {dropped} dropped");
}
