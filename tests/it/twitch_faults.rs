//! Twitch with faults: cuts, RECONNECT, silence, bad lines, refusals.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};

use crate::twitch_rig::{Rig, names, settings, within};

const UNLIMITED: [(&str, &str); 3] =
    [("JOINS_PER_10S", "2000"), ("MESSAGES_PER_30S", "0"), ("MESSAGES_PER_30S_MODERATOR", "0")];

fn ann() -> Chatter {
    Chatter::viewer("ann")
}

async fn started(config: FakeConfig, n_channels: usize) -> (FakeTwitch, Rig) {
    let fake = FakeTwitch::start(config).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &UNLIMITED), &names(n_channels)).await;
    rig.wait_report(|report| report.channels_joined == n_channels, within(20)).await;
    (fake, rig)
}

#[tokio::test]
async fn with_cuts_and_bad_lines_every_command_of_a_standing_connection_is_answered_once() {
    let config =
        FakeConfig { cut_every: Some(Duration::from_secs(4)), ..FakeConfig::default() }.without_limits();
    let fake = FakeTwitch::start(FakeConfig { joins_per_10s: 2_000, ..config }).await.unwrap();
    let names = names(200);
    let extra = [UNLIMITED[1], UNLIMITED[2], ("JOINS_PER_10S", "2000"), ("AUTH_PER_10S", "0")];
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &extra), &names).await;
    assert!(fake.wait_joined(200, within(10)).await);
    let end = within(14);
    let mut said = Vec::new();
    let mut n = 0;
    while Instant::now() < end {
        let name = &names[n % names.len()];
        let line = fake_twitch::Line::new(name, ann(), &format!("!say {n}"));
        said.push((n, name.clone(), fake.say_line(&line)));
        if n % 50 == 0 {
            fake.say_raw(name, b"\xff\xfe not utf8\r\n@broken\r\n:a\rb PRIVMSG #x :y\r\n");
        }
        if n % 1_000 == 999 {
            fake.reconnect();
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let log: HashMap<u64, _> = fake.connection_log().into_iter().map(|entry| (entry.id, entry)).collect();
    let mut answered: HashMap<String, usize> = HashMap::new();
    for line in fake.received() {
        *answered.entry(format!("{} {}", line.channel_login, line.text)).or_default() += 1;
    }
    let second = Duration::from_secs(1);
    let mut n_standing = 0;
    for (n, name, said) in &said {
        let n_answers = answered.get(&format!("{name} {n}")).copied().unwrap_or(0);
        assert!(n_answers <= 1, "{name} {n} answered {n_answers} times");
        let stood = said.connections.iter().any(|id| {
            let entry = &log[id];
            entry.login.as_ref().is_some_and(|(_, at)| *at + second <= said.at)
                && entry.closed_at.is_none_or(|at| at >= said.at + second)
        });
        if stood {
            n_standing += 1;
            assert_eq!(n_answers, 1, "{name} {n} was said on a standing connection");
        }
    }
    assert!(n_standing > 500, "only {n_standing} commands on standing connections");
    let counters = fake.counters();
    assert!(counters.disconnects > 5, "{counters:?}");
    assert_eq!((counters.joins_over, counters.sends_refused()), (0, 0), "{counters:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_lost_connection_is_replaced_within_five_seconds() {
    let (fake, rig) = started(FakeConfig::default().without_limits(), 3).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        fake.cut_all();
        assert!(fake.wait_until(|fake| fake.n_joined() == 0, within(5)).await);
        assert!(fake.wait_joined(3, within(5)).await, "{:?}", rig.report());
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_silent_connection_is_noticed_within_fifteen_seconds_and_replaced() {
    let (fake, rig) = started(FakeConfig::default().without_limits(), 2).await;
    let silent_since = Instant::now();
    fake.silence_present(true);
    assert!(fake.wait_until(|fake| fake.counters().disconnects == 1, within(16)).await, "{:?}", rig.report());
    assert!(silent_since.elapsed() <= Duration::from_secs(16));
    assert!(fake.wait_joined(2, within(5)).await);
    fake.say("channel_0", &ann(), "!say back");
    fake.wait_reply(|line| line.text == "back", within(5)).await.expect("an answer on the new connection");
    rig.stop().await;
}

#[tokio::test]
async fn reconnect_moves_the_channels_to_a_new_connection() {
    let (fake, rig) = started(FakeConfig::default().without_limits(), 3).await;
    fake.reconnect();
    let first = fake.connection_log()[0].id;
    let is_closed = |fake: &FakeTwitch| fake.connection_log()[0].closed_at.is_some();
    assert!(fake.wait_until(is_closed, within(5)).await, "the old connection closes");
    assert!(fake.wait_joined(3, within(5)).await, "{:?}", fake.channels_per_connection());
    assert!(!fake.channels_per_connection().contains_key(&first));
    fake.say("channel_1", &ann(), "!say moved");
    fake.wait_reply(|line| line.text == "moved", within(5)).await.expect("an answer on the new connection");
    rig.stop().await;
}

#[tokio::test]
async fn a_million_bytes_without_a_line_end_and_garbage_do_not_end_the_connection() {
    for over_web_socket in [false, true] {
        let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await.unwrap();
        let url = if over_web_socket { fake.ws_url() } else { fake.irc_url() };
        let rig = Rig::start(settings(&fake, &url, &UNLIMITED), &names(1)).await;
        rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
        let mut huge = b":ann!ann@ann PRIVMSG #channel_0 :!say ".to_vec();
        huge.extend(std::iter::repeat_n(b'x', 1 << 20));
        huge.extend_from_slice(b"\r\n");
        fake.raw_to_all(&huge);
        for garbage in
            [&b"@\r\n"[..], b":\r\n", b"@ :\r\n", b"PRIVMSG\r\n", b":a PRIVMSG #channel_0\r\n", b"\x00\r\n"]
        {
            fake.raw_to_all(garbage);
        }
        fake.say("channel_0", &ann(), "!say alive");
        fake.wait_reply(|line| line.text == "alive", within(5)).await.expect("an answer");
        assert_eq!(fake.counters().disconnects, 0);
        assert_eq!(fake.counters().sends, 1);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_channel_that_refuses_is_held_and_the_others_go_on() {
    let (fake, rig) = started(FakeConfig::default().without_limits(), 2).await;
    fake.notice("channel_0", "msg_timedout", "You are timed out for 3 more seconds.");
    fake.say("channel_0", &ann(), "!say held");
    fake.say("channel_1", &ann(), "!say free");
    fake.wait_reply(|line| line.text == "free", within(2)).await.expect("the other channel");
    assert_eq!(fake.received().len(), 1);
    let held = fake.wait_reply(|line| line.text == "held", within(6)).await;
    assert!(held.is_some(), "it goes on after the pause");
    rig.stop().await;
}

#[tokio::test]
async fn twitch_asks_and_is_answered() {
    let (fake, rig) = started(FakeConfig::default().without_limits(), 1).await;
    fake.ping_all();
    assert!(fake.wait_until(|fake| fake.counters().pongs == 1, within(5)).await);
    rig.stop().await;
}
