//! The whole bot against a Twitch that enforces its limits: over TCP, TLS and WebSocket, with faults.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch, Line, Received};
use serde_json::json;

use crate::node::{Launch, Node, PATIENCE, eventually};

/// A command that answers with what it was given, without cooldown, so that replies can be matched.
const ECHO: &str = "[[commands]]\nname = \"!echo\"\nresponse = \"$(query)\"\ncooldown_secs = 0\n";

fn crypto() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("chan{i:04}")).collect()
}

/// The configuration of a bot for that fake; `more` are further keys of the Twitch section.
fn config(fake: &FakeTwitch, irc_url: &str, channels: &[String], more: &str) -> String {
    let list: Vec<_> = channels.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "[platforms.twitch]\nchannels = [{}]\nirc_url = \"{irc_url}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
         bot_login = \"waddlebot\"\nbot_token = \"token\"\nca_file = \"{}\"\n{more}\n[limits]\ncommand_rate = 0\n{ECHO}",
        list.join(","),
        fake.ca_file().display(),
        http = fake.http_url(),
    )
}

const FAST: &str = "joins_per_10s = 2000\nauth_per_10s = 200\nconnections_per_second = 50\nmessages_per_30s = 100000\n\
                    messages_per_30s_moderator = 100000\nchannel_interval_ms = 0";

fn quick_fake() -> FakeConfig {
    FakeConfig { joins_per_10s: 2000, auths_per_10s: 200, ..FakeConfig::default().without_limits() }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn viewer() -> Chatter {
    Chatter::viewer("ann")
}

async fn start(fake: &FakeTwitch, irc_url: &str, n: usize) -> Node {
    let node = Launch::new(&config(fake, irc_url, &names(n), FAST)).start().await;
    assert!(fake.wait_joined(n, soon()).await, "joined {} of {n}; {}", fake.n_joined(), node.log());
    node
}

/// Says `per_channel` commands in every channel and checks each answer: once, in its channel, in order.
async fn every_command_is_answered_in_order(fake: &FakeTwitch, channels: &[String], per_channel: usize) {
    for round in 0..per_channel {
        for channel in channels {
            fake.say(channel, &viewer(), &format!("!echo {channel} {round}"));
        }
    }
    let wanted = channels.len() * per_channel;
    let all = fake.wait_until(|fake| fake.received().len() >= wanted, soon()).await;
    let mut last: HashMap<String, usize> = HashMap::new();
    for line in fake.take_received() {
        let (channel, round) = line.text.split_once(' ').expect("an echo");
        let round: usize = round.trim_end_matches(['\u{e0000}', ' ']).parse().expect("a number");
        assert_eq!(line.channel_login, channel, "an answer in another channel");
        assert_eq!(
            last.insert(channel.to_owned(), round).map_or(0, |last| last + 1),
            round,
            "order in {channel}"
        );
    }
    assert!(all, "answered {} channels of {}", last.len(), channels.len());
    assert!(last.values().all(|round| round + 1 == per_channel), "an answer is missing");
}

async fn a_thousand_channels_over(url: impl Fn(&FakeTwitch) -> String) {
    crypto();
    let fake = FakeTwitch::start(quick_fake()).await.expect("the fake starts");
    let node = start(&fake, &url(&fake), 1000).await;
    every_command_is_answered_in_order(&fake, &names(1000), 3).await;
    let counters = fake.counters();
    assert_eq!(
        (counters.joins_over, counters.auths_over, counters.sends_refused()),
        (0, 0, 0),
        "{counters:?}"
    );
    node.lines_balance(3000.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_channels_are_served_over_plain_tcp() {
    a_thousand_channels_over(FakeTwitch::irc_url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_channels_are_served_over_tls() {
    a_thousand_channels_over(FakeTwitch::ircs_url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_channels_are_served_over_websocket() {
    a_thousand_channels_over(FakeTwitch::wss_url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twitchs_own_limits_are_kept_without_any_setting() {
    crypto();
    let fake = FakeTwitch::start(FakeConfig::default()).await.expect("the fake starts");
    let channels = names(25);
    let node = Launch::new(&config(&fake, &fake.irc_url(), &channels, "")).start().await;
    assert!(fake.wait_joined(25, soon()).await, "joined {}", fake.n_joined());
    for channel in &channels {
        for round in 0..3 {
            fake.say(channel, &viewer(), &format!("!echo {round}"));
        }
    }
    assert!(fake.wait_until(|fake| fake.received().len() >= 20, soon()).await, "{}", node.log());
    // The window of 20 in 30 s is spent: the 21st line must not come before it slides.
    let more =
        fake.wait_until(|fake| fake.received().len() > 20, Instant::now() + Duration::from_secs(3)).await;
    let counters = fake.counters();
    assert!(!more, "more than 20 lines in 30 s");
    assert_eq!(
        (counters.joins_over, counters.auths_over, counters.sends_refused()),
        (0, 0, 0),
        "{counters:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_reconnects_and_malformed_lines_lose_only_what_the_cut_took() {
    crypto();
    let fake = quick_fake();
    let fake = FakeTwitch::start(FakeConfig { cut_every: Some(Duration::from_secs(4)), ..fake })
        .await
        .expect("starts");
    let channels = names(100);
    let node = start(&fake, &fake.irc_url(), 100).await;
    let mut said: Vec<(String, Instant, Vec<u64>)> = Vec::new();
    let began = Instant::now();
    let mut n = 0_usize;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while began.elapsed() < Duration::from_secs(14) {
        tick.tick().await;
        n += 1;
        let channel = &channels[n % channels.len()];
        let text = format!("!echo {channel} {n}");
        let line = fake.say_line(&Line::new(channel, viewer(), &text));
        said.push((format!("{channel} {n}"), line.at, line.connections));
        match n % 1600 {
            100 => drop(fake.raw_to_all(b"@badges=;:: \xff\xfe PRIVMSG\r\n")),
            200 => drop(fake.raw_to_all(b"PRIVMSG\r\n:x!x@x PRIVMSG #\r\n\r\n@=;;= :\r\n")),
            300 => drop(fake.raw_to_all(&[vec![b'a'; 1 << 20], b"\r\n".to_vec()].concat())),
            0 => fake.reconnect(),
            _ => {}
        }
    }
    check_cut_run(&fake, &said).await;
    assert!(node.metric("waddlebot_messages_dropped_total").await > 0.0, "malformed lines are counted");
}

/// Of what was delivered on a connection that stood 1 s before and after, all is answered once.
async fn check_cut_run(fake: &FakeTwitch, said: &[(String, Instant, Vec<u64>)]) {
    let margin = Duration::from_secs(1);
    let log: HashMap<u64, _> = fake.connection_log().into_iter().map(|entry| (entry.id, entry)).collect();
    let stood = |connection: &u64, at: Instant| {
        log.get(connection).is_some_and(|entry| {
            let before = entry.login.as_ref().is_some_and(|(_, login)| *login + margin <= at);
            before && entry.closed_at.is_none_or(|closed| at + margin <= closed)
        })
    };
    let owed: HashSet<_> = said
        .iter()
        .filter(|(_, at, connections)| connections.iter().any(|connection| stood(connection, *at)))
        .map(|(text, ..)| text.clone())
        .collect();
    let answered = |line: &Received| line.text.trim_end_matches(['\u{e0000}', ' ']).to_owned();
    let complete = |fake: &FakeTwitch| {
        let got: HashSet<_> = fake.received().iter().map(answered).collect();
        owed.is_subset(&got)
    };
    let all = fake.wait_until(complete, Instant::now() + Duration::from_secs(10)).await;
    let received = fake.received();
    let got: HashSet<_> = received.iter().map(answered).collect();
    let missing: Vec<_> = owed.difference(&got).take(5).collect();
    println!(
        "said {}, owed {}, answered {}, cut away {}",
        said.len(),
        owed.len(),
        got.len(),
        said.len() - got.len()
    );
    assert!(all, "owed but not answered: {missing:?} of {}", owed.len());
    assert_eq!(got.len(), received.len(), "something was answered twice");
    assert!(
        owed.len() > said.len() / 4,
        "the fault left too little to judge: {} of {}",
        owed.len(),
        said.len()
    );
    assert!(log.len() >= 3, "connections were cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_replaced_within_five_seconds() {
    crypto();
    let fake = FakeTwitch::start(quick_fake()).await.expect("the fake starts");
    let node = start(&fake, &fake.irc_url(), 100).await;
    fake.cut_all();
    assert!(fake.wait_until(|fake| fake.n_joined() == 0, soon()).await);
    let cut = Instant::now();
    assert!(fake.wait_joined(100, soon()).await, "{}", node.log());
    println!("all 100 channels joined again after {:?}", cut.elapsed());
    assert!(cut.elapsed() < Duration::from_secs(5), "took {:?}", cut.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_noticed_within_fifteen_seconds() {
    crypto();
    let fake = FakeTwitch::start(quick_fake()).await.expect("the fake starts");
    let node = start(&fake, &fake.irc_url(), 10).await;
    let connections = fake.counters().connections;
    fake.silence_present(true);
    let silent = Instant::now();
    let noticed = fake.wait_until(|fake| fake.counters().connections > connections, soon()).await;
    println!("silence noticed after {:?}", silent.elapsed());
    assert!(
        noticed && silent.elapsed() < Duration::from_millis(16_500),
        "{:?}: {}",
        silent.elapsed(),
        node.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_said_in_one_clear_sentence() {
    crypto();
    let fake = FakeTwitch::start(FakeConfig::default()).await.expect("the fake starts");
    let config = config(&fake, &fake.irc_url(), &names(1), "").replace("\"token\"", "\"wrongwrong\"");
    let node = Launch::new(&config).start().await;
    eventually("the trouble is shown", || async {
        let (_, status) = node.get("/api/v1/status").await;
        status.to_string().contains("token")
    })
    .await;
    assert!(!node.log().contains("wrongwrong"), "the token stands in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_added_at_run_time_is_joined_and_a_removed_one_parted() {
    crypto();
    let fake = FakeTwitch::start(quick_fake()).await.expect("the fake starts");
    let node = start(&fake, &fake.irc_url(), 1).await;
    let (status, answer) = node.post("/api/v1/channels", json!({ "key": "twitch:late" })).await;
    assert!((200..300).contains(&status), "{answer}");
    assert!(fake.wait_until(|fake| fake.joined_channel("late"), soon()).await, "{}", node.log());
    fake.say("late", &viewer(), "!echo late 0");
    assert!(fake.wait_reply(|line| line.text == "late 0", soon()).await.is_some());
    let (status, answer) = node.delete("/api/v1/channels/twitch:late").await;
    assert!((200..300).contains(&status), "{answer}");
    assert!(fake.wait_until(|fake| !fake.joined_channel("late"), soon()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn badges_make_a_moderator_who_may_add_commands() {
    crypto();
    let fake = FakeTwitch::start(quick_fake()).await.expect("the fake starts");
    let _node = start(&fake, &fake.irc_url(), 1).await;
    fake.say("chan0000", &Chatter::with_badges("mo", "moderator/1"), "!addcom !hi Hello $(user)");
    assert!(fake.wait_reply(|line| line.text.contains("!hi"), soon()).await.is_some());
    fake.say("chan0000", &viewer(), "!hi");
    assert!(fake.wait_reply(|line| line.text.starts_with("Hello ann"), soon()).await.is_some());
}
