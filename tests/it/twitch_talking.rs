//! Twitch without faults: every transport, budgets, order, long texts, other kinds of lines.

use std::time::Duration;

use domain::Platform;
use fake_twitch::{Chatter, FakeConfig, FakeTwitch, Line, room_id};

use crate::twitch_rig::{Rig, names, settings, within};

fn ann() -> Chatter {
    Chatter::viewer("ann")
}

/// Limits of an account that Twitch trusts; tests of the limits themselves use others.
fn trusted() -> FakeConfig {
    FakeConfig { joins_per_10s: 2_000, auths_per_10s: 200, ..FakeConfig::default() }.without_limits()
}

async fn answers_over(fake: &FakeTwitch, irc_url: &str) {
    let names = names(3);
    let rig = Rig::start(
        settings(fake, irc_url, &[("MESSAGES_PER_30S", "0"), ("MESSAGES_PER_30S_MODERATOR", "0")]),
        &names,
    )
    .await;
    rig.wait_report(|report| report.channels_joined == 3, within(10)).await;
    for name in &names {
        fake.say(name, &ann(), &format!("!say hello {name}"));
        let wanted = format!("hello {name}");
        let reply = fake.wait_reply(|line| line.text == wanted, within(5)).await.expect("an answer");
        assert_eq!(&reply.channel_login, name);
    }
    assert_eq!(rig.report().login.as_deref(), Some("waddlebot"));
    assert_eq!(fake.counters().sends_refused(), 0, "{:?}", fake.counters());
    rig.stop().await;
}

#[tokio::test]
async fn a_command_is_answered_over_plain_tcp() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    answers_over(&fake, &fake.irc_url()).await;
}

#[tokio::test]
async fn a_command_is_answered_over_tls() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    answers_over(&fake, &fake.ircs_url()).await;
}

#[tokio::test]
async fn a_command_is_answered_over_web_sockets() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    answers_over(&fake, &fake.ws_url()).await;
    answers_over(&fake, &fake.wss_url()).await;
}

#[tokio::test]
async fn a_thousand_channels_are_joined_within_the_budget_and_each_answers_in_order() {
    let config = FakeConfig { joins_per_10s: 2_000, ..trusted() };
    let fake = FakeTwitch::start(config).await.unwrap();
    let names = names(1_000);
    let extra = [("JOINS_PER_10S", "2000"), ("MESSAGES_PER_30S", "0"), ("MESSAGES_PER_30S_MODERATOR", "0")];
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &extra), &names).await;
    assert!(fake.wait_joined(1_000, within(30)).await, "{:?}", fake.counters());
    rig.wait_report(|report| report.channels_joined == 1_000, within(5)).await;
    assert!(fake.channels_per_connection().values().all(|n| *n <= 90));
    for round in 0..3 {
        for name in &names {
            fake.say(name, &ann(), &format!("!say {name} {round}"));
        }
    }
    fake.wait_until(|fake| fake.counters().sends == 3_000, within(20)).await;
    let received = fake.take_received();
    for name in &names {
        let texts: Vec<&str> = received
            .iter()
            .filter(|line| line.channel_login == *name)
            .map(|line| line.text.as_str())
            .collect();
        assert_eq!(texts, [0, 1, 2].map(|round| format!("{name} {round}")));
    }
    let counters = fake.counters();
    assert_eq!(
        (counters.joins_over, counters.auths_over, counters.sends_refused()),
        (0, 0, 0),
        "{counters:?}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn joins_stay_within_the_budget_of_an_ordinary_account() {
    let fake = FakeTwitch::start(FakeConfig { joins_per_10s: 8, ..FakeConfig::default() }).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[("JOINS_PER_10S", "8")]), &names(12)).await;
    assert!(fake.wait_joined(8, within(5)).await);
    assert!(!fake.wait_joined(9, within(5)).await, "more than the budget was joined");
    assert!(fake.wait_joined(12, within(10)).await, "{:?}", fake.counters());
    assert_eq!(fake.counters().joins_over, 0);
    rig.stop().await;
}

#[tokio::test]
async fn an_ordinary_account_never_oversteps_what_twitch_lets_it_say() {
    let config = FakeConfig { messages_per_30s: 10, messages_per_30s_moderator: 40, ..FakeConfig::default() };
    let fake =
        FakeTwitch::start(FakeConfig { moderator_in: vec!["channel_2".to_owned()], ..config }).await.unwrap();
    let extra = [("MESSAGES_PER_30S", "10"), ("MESSAGES_PER_30S_MODERATOR", "40")];
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &extra), &names(3)).await;
    rig.wait_report(|report| report.channels_joined == 3, within(10)).await;
    for n in 0..20 {
        // Every other text is the one before: the duplicate rule.
        fake.say("channel_0", &ann(), &format!("!say text {}", n / 2));
        fake.say("channel_1", &ann(), "!say the same");
        fake.say("channel_2", &ann(), "!say as a moderator");
    }
    let moderated =
        |fake: &FakeTwitch| fake.received().iter().filter(|line| line.channel_login == "channel_2").count();
    assert!(fake.wait_until(|fake| moderated(fake) == 20, within(5)).await, "a moderator waits for nobody");
    assert!(fake.wait_until(|fake| fake.counters().sends >= 30, within(15)).await, "{:?}", fake.counters());
    assert!(
        !fake.wait_until(|fake| fake.counters().sends > 30, within(10)).await,
        "over the budget of 10 in 30 s"
    );
    assert_eq!(fake.counters().sends_refused(), 0, "{:?}", fake.counters());
    rig.stop().await;
}

#[tokio::test]
async fn a_long_reply_comes_in_parts_that_stay_together() {
    let config = FakeConfig { moderator_everywhere: true, ..FakeConfig::default() };
    let fake = FakeTwitch::start(config).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[]), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    fake.say("channel_0", &ann(), &format!("!say {}", "long ".repeat(200)));
    fake.say("channel_0", &ann(), "!say short");
    fake.wait_reply(|line| line.text == "short", within(5)).await.expect("the short one");
    let received = fake.received();
    assert_eq!(received.len(), 4, "{received:?}");
    assert!(received[..3].iter().all(|line| line.text.starts_with("long")));
    assert!(received[1].at - received[0].at > Duration::from_millis(450));
    assert_eq!(fake.counters().too_long, 0);
    rig.stop().await;
}

#[tokio::test]
async fn what_a_viewer_typed_never_becomes_a_command_of_twitch_or_a_second_line() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[("MESSAGES_PER_30S", "0")]), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    fake.say("channel_0", &ann(), "!say /ban ann");
    fake.say("channel_0", &ann(), "!say .timeout ann");
    fake.say("channel_0", &ann(), "!say ok");
    fake.wait_reply(|line| line.text == "ok", within(5)).await.expect("the last one");
    assert_eq!(fake.counters().chat_commands, 0);
    assert_eq!(fake.counters().sends, 3);
    rig.stop().await;
}

#[tokio::test]
async fn subscriptions_raids_and_mentions_reach_the_channel_and_shared_chat_does_not() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[("MESSAGES_PER_30S", "0")]), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    let elsewhere =
        Line { source_room_id: Some("999".to_owned()), ..Line::new("channel_0", ann(), "!say elsewhere") };
    fake.say_line(&elsewhere);
    fake.subscription("channel_0", &ann(), 1, "");
    fake.raid("channel_0", &ann(), 12);
    fake.say("channel_0", &ann(), "plain chat");
    fake.say("channel_0", &ann(), "!say last");
    fake.wait_reply(|line| line.text == "last", within(5)).await.expect("the last one");
    let texts: Vec<String> = fake.received().into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["echo subscription", "echo raid", "last"]);
    assert_eq!(rig.slot("channel_0").lines(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn the_platform_id_is_learned_and_channels_come_and_go() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[]), &names(1)).await;
    assert!(fake.wait_joined(1, within(10)).await);
    rig.add(&["late".to_owned()]);
    assert!(fake.wait_joined(2, within(5)).await);
    let late = rig.slot("late");
    fake.wait_until(|_| late.platform_id().is_some(), within(1)).await;
    rig.wait_report(|_| late.platform_id().is_some(), within(5)).await;
    assert_eq!(late.platform_id().as_deref(), Some(&room_id("late")));
    let key = domain::ChannelKey::new(Platform::Twitch, &room_id("late")).unwrap();
    assert_eq!(rig.directory.find(&key).map(|slot| slot.id), Some(late.id));
    rig.directory.remove(late.id);
    assert!(fake.wait_until(|fake| fake.n_joined() == 1, within(5)).await, "{:?}", fake.joined());
    rig.stop().await;
}

#[tokio::test]
async fn without_a_token_chat_is_read_and_nothing_said() {
    let fake = FakeTwitch::start(trusted()).await.unwrap();
    let extra = [("BOT_TOKEN", ""), ("BOT_LOGIN", "")];
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &extra), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1 && report.login.is_none(), within(10)).await;
    fake.say("channel_0", &ann(), "!say nothing");
    fake.say("channel_0", &ann(), "plain");
    let slot = rig.slot("channel_0");
    rig.wait_report(|_| slot.lines() == 1, within(5)).await;
    assert_eq!(fake.counters().sends_anonymous, 0);
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_is_sent_before_the_platform_ends() {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[]), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    for n in 0..3 {
        fake.say("channel_0", &ann(), &format!("!say {n}"));
    }
    fake.wait_reply(|line| line.text == "0", within(5)).await.expect("the first");
    rig.stop().await;
    assert_eq!(fake.received().len(), 3, "{:?}", fake.received());
    assert!(fake.wait_until(|fake| fake.counters().disconnects == 1, within(5)).await);
}
