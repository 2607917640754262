//! R9: more than the node can take. What is shed is counted exactly, who is not concerned is answered, and afterwards
//! all is as before.

use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch, Line};
use serde_json::json;

use crate::node::{Launch, Node, PATIENCE, eventually};

/// Recovery after any overload.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// Events of one channel that wait or are under way.
const MAILBOX_MAX: u64 = 1_024;
const FLOODED: &str = "flooded";
const OTHERS: [&str; 3] = ["other0", "other1", "other2"];

/// A node whose channels have a connection each, so that one that is stalled is the flooded channel's own.
async fn start(limits: &str) -> (FakeTwitch, Node) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let quick = FakeConfig { joins_per_10s: 2_000, auths_per_10s: 200, ..FakeConfig::default() };
    let fake = FakeTwitch::start(quick.without_limits()).await.expect("the fake starts");
    let channels: Vec<_> = [FLOODED].iter().chain(&OTHERS).map(|login| format!("\"{login}\"")).collect();
    let config = format!(
        "[platforms.twitch]\nchannels = [{}]\nirc_url = \"{}\"\nauth_url = \"{http}\"\nhelix_url = \"{http}\"\n\
         bot_login = \"waddlebot\"\nbot_token = \"token\"\nchannels_per_connection = 1\njoins_per_10s = 2000\n\
         auth_per_10s = 200\nconnections_per_second = 50\nmessages_per_30s = 0\nmessages_per_30s_moderator = 0\n\
         channel_interval_ms = 0\n[limits]\ncommand_rate = 0\n{limits}\n\
         [[commands]]\nname = \"!echo\"\nresponse = \"$(query)\"\ncooldown_secs = 0\n",
        channels.join(","),
        fake.irc_url(),
        http = fake.http_url(),
    );
    let node = Launch::new(&config).start().await;
    assert!(fake.wait_joined(4, soon()).await, "joined {}; {}", fake.n_joined(), node.log());
    for channel in [FLOODED].iter().chain(&OTHERS) {
        answers(&fake, channel, "warm", PATIENCE).await;
    }
    (fake, node)
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn viewer() -> Chatter {
    Chatter::viewer("ann")
}

/// Says a command and waits for its answer; returns how long it took.
async fn answers(fake: &FakeTwitch, channel: &str, text: &str, limit: Duration) -> Duration {
    let said = Instant::now();
    fake.say(channel, &viewer(), &format!("!echo {text}"));
    let answer =
        fake.wait_reply(|line| line.channel_login == channel && line.text == text, said + limit).await;
    assert!(answer.is_some(), "{channel} did not answer `{text}` within {limit:?}");
    said.elapsed()
}

/// The sum of a metric over the label sets that contain `label`.
async fn counted(node: &Node, name: &str, label: &str) -> u64 {
    let (_, text) = node.get("/metrics").await;
    let text = text.as_str().expect("text").to_owned();
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = text.lines().filter(of_name).filter(|line| line.contains(label));
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
    lines.map(|line| value(line).unwrap_or_else(|| panic!("no whole number: {line}"))).sum()
}

async fn pressure(node: &Node) -> u64 {
    counted(node, "waddlebot_memory_pressure", "").await
}

/// Nothing waits anywhere: neither an event nor a byte of a budget is held.
async fn nothing_is_held(node: &Node) {
    eventually("all permits and bytes came back", || async {
        let (_, status) = node.get("/api/v1/status").await;
        status["data"]["events_in_flight"] == 0 && counted(node, "waddlebot_budget_used_bytes", "").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_of_memory_commands_are_shed_and_counted_and_with_memory_back_all_is_answered() {
    let (fake, node) = start("max_rss_mib = 400").await;
    assert_eq!(pressure(&node).await, 0, "{}", node.log());
    fake.say(OTHERS[0], &viewer(), "!hoard 400");
    eventually("memory is very short", || async { pressure(&node).await == 2 }).await;
    // What was on its way when the level changed has ended.
    nothing_is_held(&node).await;
    let before = counted(&node, "waddlebot_messages_dropped_total", "reason=\"memory\"").await;
    fake.take_received();
    for n in 0..500 {
        fake.say(OTHERS[n % 2], &viewer(), &format!("!echo {n}"));
    }
    fake.ping_all();
    assert!(fake.wait_until(|fake| fake.counters().pongs >= 4, soon()).await, "PING waits behind nothing");
    eventually("each command is counted as shed", || async {
        let shed = counted(&node, "waddlebot_messages_dropped_total", "reason=\"memory\"").await;
        assert!(shed - before <= 500, "{shed} after {before}");
        shed - before == 500
    })
    .await;
    assert_eq!(fake.received().len(), 0, "what was shed is not answered");
    let (status, answer) = node.event("twitch:other1", "ann", "!ping", "everyone").await;
    assert_eq!(status, 503, "who asks over HTTP is told: {answer}");
    let (_, status) = node.get("/api/v1/status").await;
    assert_eq!(status["data"]["memory"]["pressure"], "commands", "{status}");
    assert_eq!(node.get("/readyz").await.0, 200, "another node could not take this one's chat");
    node.lines_balance(0.0).await;

    // Control is not shed: an operator takes the memory away from who has it.
    let restart = "/api/v1/channels/twitch:other0/modules/fault_hoard/restart";
    let (status, answer) = node.post(restart, json!({})).await;
    assert!((200..300).contains(&status), "{answer}");
    let freed = Instant::now();
    eventually("memory is no longer short", || async { pressure(&node).await == 0 }).await;
    for channel in OTHERS {
        answers(&fake, channel, "back", RECOVERY_MAX).await;
    }
    assert!(freed.elapsed() < RECOVERY_MAX, "{:?}", freed.elapsed());
    node.lines_balance(0.0).await;
    nothing_is_held(&node).await;
    let log = node.log();
    assert_eq!(log.matches("memory is very short").count(), 1, "said once: {log}");
    assert_eq!(log.matches("memory is no longer short").count(), 1, "said once: {log}");
}

/// Says commands in the flooded channel, all at once, the first of them twice; the texts tell them apart.
fn flood(fake: &FakeTwitch, n_commands: usize, n_repeats: usize, text: &str) -> u64 {
    for n in 0..n_commands {
        let mut line = Line::new(FLOODED, viewer(), &format!("!echo {n} {text}"));
        let said = fake.say_line(&line);
        if n < n_repeats {
            line.id = Some(said.id);
            fake.say_line(&line);
        }
    }
    (n_commands + n_repeats) as u64
}

async fn commands_ended(node: &Node) -> u64 {
    counted(node, "waddlebot_commands_total", "command=\"custom\"").await
}

async fn lines_in(node: &Node) -> u64 {
    counted(node, "waddlebot_lines_in_total", "").await
}

/// Asks the other channels and looks at the flooded one's mailbox until so many lines have been read.
async fn others_answer_meanwhile(fake: &FakeTwitch, node: &Node, wanted: u64) {
    let (mut slowest, mut fullest) = (Duration::ZERO, 0);
    let deadline = soon();
    for n in 0.. {
        let read = lines_in(node).await;
        for channel in OTHERS {
            slowest = slowest.max(answers(fake, channel, &format!("meanwhile {n}"), PATIENCE).await);
        }
        let (_, answer) = node.get(&format!("/api/v1/channels/twitch:{FLOODED}")).await;
        fullest = fullest.max(answer["data"]["report"]["mailbox"].as_u64().unwrap_or(0));
        if read >= wanted {
            break;
        }
        assert!(Instant::now() < deadline, "{read} lines of {wanted} were read");
    }
    println!("others answered within {slowest:?}; at most {fullest} in the flooded mailbox");
    assert!(fullest <= MAILBOX_MAX, "{fullest}");
    assert!(slowest < Duration::from_secs(2), "others waited {slowest:?}");
}

/// Says commands in the flooded channel until one is answered; returns how many. The first may still be shed.
async fn comes_back(fake: &FakeTwitch) -> u64 {
    let since = Instant::now();
    let mut n_said = 0;
    loop {
        let text = format!("back {n_said}");
        fake.say(FLOODED, &viewer(), &format!("!echo {text}"));
        n_said += 1;
        let within = Instant::now() + Duration::from_millis(250);
        if fake.wait_reply(|line| line.text == text, within).await.is_some() {
            println!("the flooded channel answered {:?} after the flood", since.elapsed());
            return n_said;
        }
        assert!(since.elapsed() < RECOVERY_MAX, "not back after {:?}", since.elapsed());
    }
}

/// Each line that was said in the flooded channel is a command that ended, was shed, or a repeat.
async fn the_flood_balances(fake: &FakeTwitch, node: &Node, n_said: u64) {
    // One of them warmed it up.
    let n_said = n_said + 1;
    let elsewhere = fake.received().iter().filter(|line| line.channel_login != FLOODED).count();
    let ended = commands_ended(node).await - elsewhere as u64;
    let shed = counted(node, "waddlebot_messages_dropped_total", "reason=\"channel_full\"").await;
    let repeats = counted(node, "waddlebot_duplicates_suppressed_total", "").await;
    println!("{n_said} said = {ended} ended + {shed} shed + {repeats} repeats");
    assert_eq!(ended + shed + repeats, n_said);
    assert!(shed > 0, "that was no overload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_channel_sheds_exactly_what_it_cannot_take_while_the_others_answer() {
    let (fake, node) = start("").await;
    let before = lines_in(&node).await;
    let mut n_said = flood(&fake, 20_000, 500, "");
    others_answer_meanwhile(&fake, &node, before + n_said).await;
    n_said += comes_back(&fake).await;
    node.lines_balance(0.0).await;
    nothing_is_held(&node).await;
    the_flood_balances(&fake, &node, n_said).await;
}

async fn replies_given_up(node: &Node) -> u64 {
    counted(node, "waddlebot_replies_dropped_total", "reason=\"send_queue\"").await
}

/// Lets the bot answer until the stalled connection takes nothing more and replies are given up.
async fn fill(fake: &FakeTwitch, node: &Node) -> u64 {
    let (before, mut n_said) = (replies_given_up(node).await, 0);
    let deadline = soon();
    while replies_given_up(node).await == before {
        assert!(Instant::now() < deadline, "{n_said} answers went into a connection that nobody reads");
        let ended = commands_ended(node).await;
        n_said += flood(fake, 400, 0, &format!("{n_said} {}", "x".repeat(440)));
        eventually("the commands ended", || async { commands_ended(node).await >= ended + 400 }).await;
    }
    println!("after {n_said} commands the connection took nothing more");
    n_said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_no_replies_holds_up_no_other_and_its_lines_balance() {
    let (fake, node) = start("").await;
    fake.stall_channel(FLOODED, true);
    let mut n_said = fill(&fake, &node).await;
    let before = lines_in(&node).await;
    let n_flood = flood(&fake, 8_000, 500, &"x".repeat(440));
    others_answer_meanwhile(&fake, &node, before + n_flood).await;
    fake.stall_channel(FLOODED, false);
    n_said += n_flood + comes_back(&fake).await;
    node.lines_balance(0.0).await;
    nothing_is_held(&node).await;
    the_flood_balances(&fake, &node, n_said).await;

    // Stalled for good: the bot gives the connection up and answers on a new one.
    let connections = fake.counters().connections;
    fake.stall_channel(FLOODED, true);
    fill(&fake, &node).await;
    let replaced = fake.wait_until(|fake| fake.counters().connections > connections, soon()).await;
    assert!(replaced, "{}", node.log());
    comes_back(&fake).await;
    node.lines_balance(0.0).await;
    nothing_is_held(&node).await;
}
