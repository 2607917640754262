//! Belief in the fake Twitch: twitch-irc's own client gets along with it, and a bot without a limiter does not.

#![cfg(test)]

mod client;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fake_twitch::{Account, Chatter, Counters, FakeConfig, FakeTwitch, HttpMode, Line, ReplyParent, room_id};
use tokio::net::TcpStream;
use twitch_irc::login::StaticLoginCredentials;
use twitch_irc::message::ServerMessage;
use twitch_irc::transport::tcp::{MakeConnection, TCPTransport, TCPTransportConnectError};
use twitch_irc::{ClientConfig, TwitchIRCClient};

use client::{Client, connect};

static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// Leads twitch-irc's client to the fake.
struct ToFake;

#[async_trait]
impl MakeConnection for ToFake {
    type Socket = TcpStream;

    async fn new_socket() -> Result<TcpStream, TCPTransportConnectError> {
        Ok(TcpStream::connect(ADDRESS.get().expect("the test sets it before the client starts")).await?)
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn the_client_of_twitch_irc_joins_200_channels_and_talks() {
    let config = FakeConfig { joins_per_10s: 2000, messages_per_30s: 7500, ..FakeConfig::default() };
    let config = FakeConfig { messages_per_30s_moderator: 7500, ..config };
    let fake = FakeTwitch::start(config).await.unwrap();
    ADDRESS.set(fake.irc_addr()).unwrap();
    let credentials = StaticLoginCredentials::new("waddlebot".to_owned(), Some("token".to_owned()));
    let config = ClientConfig {
        new_connection_every: Duration::from_millis(10),
        max_waiting_messages_per_connection: 1000,
        ..ClientConfig::new_simple(credentials)
    };
    let (mut messages, client) = TwitchIRCClient::<TCPTransport<ToFake>, _>::new(config);
    let names: Vec<String> = (0..200).map(|n| format!("channel_{n}")).collect();
    for name in &names {
        client.join(name.clone()).unwrap();
    }
    assert!(fake.wait_joined(200, soon()).await, "{:?}", fake.counters());
    assert!(fake.channels_per_connection().values().all(|n_channels| *n_channels <= 90));

    for name in &names {
        fake.say(name, &Chatter::with_badges("Ann", "moderator/1"), &format!("hello {name}"));
    }
    let mut n_answered = 0;
    while n_answered < names.len() {
        let message = tokio::time::timeout(Duration::from_secs(20), messages.recv()).await.unwrap().unwrap();
        if let ServerMessage::Privmsg(line) = message {
            assert_eq!(line.message_text, format!("hello {}", line.channel_login));
            assert_eq!(line.channel_id, room_id(&line.channel_login));
            client.say_in_reply_to(&line, format!("I am in {}", line.channel_login)).await.unwrap();
            n_answered += 1;
        }
    }
    for name in &names {
        let wanted = format!("I am in {name}");
        let reply = fake.wait_reply(|line| line.channel_login == *name && line.text == wanted, soon()).await;
        let reply = reply.unwrap_or_else(|| panic!("no reply in {name}: {:?}", fake.counters()));
        assert!(reply.reply_parent.is_some());
    }
    let counters = fake.counters();
    let refused = (counters.sends_refused(), counters.joins_over, counters.auths_over, counters.malformed);
    assert_eq!((counters.sends, refused), (200, (0, 0, 0, 0)));
}

#[tokio::test]
async fn a_bot_without_a_limiter_is_counted_and_dropped() {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let mut bot = connect(&fake.irc_url(), &fake).await;
    bot.log_in("waddlebot", "token").await;
    for n in 0..30 {
        bot.send(&format!("JOIN #channel_{n}")).await;
    }
    for n in 0..40 {
        bot.send(&format!("PRIVMSG #channel_{} :line {n}", n % 20)).await;
    }
    bot.send("PRIVMSG #channel_25 :the join was dropped").await;
    bot.send(&format!("PRIVMSG #channel_0 :{}", "é".repeat(501))).await;
    bot.send("PRIVMSG #channel_0 :/ban ann").await;
    bot.send("PING :end").await;
    bot.read_until("PONG tmi.twitch.tv :end").await;
    let expected = Counters {
        connections: 1,
        logins: 1,
        joins: 20,
        joins_over: 10,
        sends: 20,
        sends_over_limit: 20,
        sends_not_joined: 1,
        too_long: 1,
        chat_commands: 1,
        pings: 1,
        ..Counters::default()
    };
    assert_eq!(fake.counters(), expected);
}

#[tokio::test]
async fn pace_and_duplicates_bind_users_and_not_moderators() {
    let config = FakeConfig { moderator_in: vec!["mods".to_owned()], ..FakeConfig::default() };
    let fake = FakeTwitch::start(config.clone()).await.unwrap();
    let mut bot = connect(&fake.irc_url(), &fake).await;
    bot.log_in("waddlebot", "token").await;
    bot.send("JOIN #plain,#mods").await;
    let states = bot.read_until("ROOMSTATE #mods").await;
    assert!(states.contains("mod=0") && states.contains("mod=1"), "{states}");
    for channel_login in ["plain", "mods"] {
        bot.send(&format!("PRIVMSG #{channel_login} :one")).await;
        bot.send(&format!("PRIVMSG #{channel_login} :one")).await;
    }
    bot.read_until("msg-id=msg_ratelimit").await;
    let counters = fake.counters();
    assert_eq!((counters.sends, counters.sends_over_interval, counters.duplicates), (3, 1, 0));

    let fake = FakeTwitch::start(FakeConfig { channel_interval: None, ..config }).await.unwrap();
    let mut bot = connect(&fake.irc_url(), &fake).await;
    bot.log_in("waddlebot", "token").await;
    bot.send("JOIN #plain,#mods").await;
    for line in ["#plain :one", "#plain :one", "#mods :one", "#mods :one"] {
        bot.send(&format!("PRIVMSG {line}")).await;
    }
    bot.read_until("msg-id=msg_duplicate").await;
    bot.send("@reply-parent-msg-id=a-b PRIVMSG #plain :two").await;
    let reply = fake.wait_reply(|line| line.text == "two", soon()).await.unwrap();
    assert_eq!(reply.reply_parent.as_deref(), Some("a-b"));
    let counters = fake.counters();
    assert_eq!((counters.sends, counters.sends_over_interval, counters.duplicates), (4, 0, 1));
}

#[tokio::test]
async fn every_transport_carries_chat_and_no_echo() {
    let fake =
        FakeTwitch::start(FakeConfig { channel_interval: None, ..FakeConfig::default() }).await.unwrap();
    for (n, url) in [fake.irc_url(), fake.ircs_url(), fake.ws_url(), fake.wss_url()].iter().enumerate() {
        let mut bot = connect(url, &fake).await;
        bot.log_in("waddlebot", "token").await;
        bot.send("JOIN #duck").await;
        bot.read_until("ROOMSTATE #duck").await;
        let id = fake.say("duck", &Chatter::viewer("Ann"), "!ping");
        let seen = bot.read_until("PRIVMSG #duck :!ping").await;
        assert!(seen.contains(&id) && seen.contains("display-name=Ann"), "{url}: {seen}");
        bot.send(&format!("PRIVMSG #duck :pong {n}")).await;
        let after = bot.read_until("USERSTATE #duck").await;
        assert!(!after.contains("PRIVMSG"), "{url}: {after}");
    }
    assert_eq!(fake.counters().sends, 4);
}

async fn refused_login(pass: &str) -> (String, FakeTwitch) {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let mut bot = connect(&fake.irc_url(), &fake).await;
    bot.send(pass).await;
    bot.send("NICK waddlebot").await;
    let seen = bot.read_to_end().await;
    (seen, fake)
}

#[tokio::test]
async fn a_wrong_token_is_told_and_the_connection_closed() {
    let (seen, fake) = refused_login("PASS oauth:wrong").await;
    assert_eq!(seen, ":tmi.twitch.tv NOTICE * :Login authentication failed\r\n");
    assert_eq!((fake.counters().login_failures, fake.counters().logins), (1, 0));
    assert!(refused_login("PASS token").await.0.contains("Improperly formatted auth"));
}

#[tokio::test]
async fn anonymous_readers_may_not_talk() {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let mut bot = connect(&fake.irc_url(), &fake).await;
    bot.send("NICK justinfan12345").await;
    bot.read_until(" 376 ").await;
    bot.send("JOIN #duck").await;
    bot.send("PRIVMSG #duck :hello").await;
    bot.send("PING :end").await;
    let seen = bot.read_until("PONG").await;
    assert!(seen.contains("JOIN #duck") && !seen.contains("USERSTATE"), "{seen}");
    assert_eq!((fake.counters().sends, fake.counters().sends_anonymous), (0, 1));
    fake.say("duck", &Chatter::viewer("Ann"), "no capabilities");
    assert!(bot.read_until("no capabilities").await.starts_with(":ann!ann@ann"));
}

async fn joined(fake: &FakeTwitch) -> Client {
    let mut bot = connect(&fake.irc_url(), fake).await;
    bot.log_in("waddlebot", "token").await;
    bot.send("JOIN #duck").await;
    bot.read_until("ROOMSTATE #duck").await;
    bot
}

#[tokio::test]
async fn faults_are_played() {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let mut bot = joined(&fake).await;
    fake.reconnect();
    bot.read_until("RECONNECT").await;
    fake.silence(true);
    bot.send("PING :unheard").await;
    fake.say("duck", &Chatter::viewer("Ann"), "unheard");
    assert!(bot.is_quiet_for(Duration::from_millis(200)).await);
    fake.silence(false);
    fake.stall(true);
    bot.send("PING :late").await;
    assert!(bot.is_quiet_for(Duration::from_millis(200)).await);
    fake.stall(false);
    bot.read_until("PONG tmi.twitch.tv :late").await;
    fake.cut_all();
    bot.read_to_end().await;
    assert!(fake.wait_until(|fake| fake.joined().is_empty(), soon()).await);

    let cutting = FakeConfig { cut_every: Some(Duration::from_millis(100)), ..FakeConfig::default() };
    let fake = FakeTwitch::start(cutting).await.unwrap();
    joined(&fake).await.read_to_end().await;
    assert!(fake.wait_until(|fake| fake.counters().disconnects == 1, soon()).await);
}

#[tokio::test]
async fn chat_events_stand_on_the_wire_as_twitch_writes_them() {
    let fake = FakeTwitch::start(FakeConfig::default()).await.unwrap();
    let mut bot = joined(&fake).await;
    let ann = Chatter::viewer("Ann");
    let shared =
        Line { source_room_id: Some("99".to_owned()), ..Line::new("duck", ann.clone(), "elsewhere") };
    fake.say_line(&shared);
    assert!(bot.read_until("elsewhere").await.contains(";source-room-id=99;"));
    fake.clear_chat("duck", Some(&ann), Some(600));
    assert!(bot.read_until("CLEARCHAT #duck :ann").await.starts_with("@ban-duration=600;room-id="));
    fake.clear_msg("duck", "some-id", "ann", "bad words");
    bot.read_until("CLEARMSG #duck :bad words").await;
    fake.notice("duck", "msg_banned", "You are banned.");
    assert!(bot.read_until("NOTICE #duck :You are banned.").await.starts_with("@msg-id=msg_banned "));
    fake.raid("duck", &ann, 42);
    assert!(bot.read_until("USERNOTICE #duck").await.contains("msg-param-viewerCount=42;"));
    fake.subscription("duck", &ann, 3, "three months");
    assert!(bot.read_until("USERNOTICE #duck :three months").await.contains("msg-id=resub;"));
    for line in messages_of(&fake, &ann) {
        ServerMessage::try_from(twitch_irc::message::IRCMessage::parse(&line).unwrap()).unwrap();
    }
}

fn messages_of(fake: &FakeTwitch, chatter: &Chatter) -> Vec<String> {
    let parent = ReplyParent { id: "a-b".to_owned(), chatter: chatter.clone(), text: "why; how?".to_owned() };
    let lines = [
        Line::new("duck", chatter.clone(), "plain"),
        Line { reply_parent: Some(parent), ..Line::new("duck", chatter.clone(), "\u{1}ACTION waves\u{1}") },
    ];
    lines.iter().map(|line| String::from_utf8(fake.render(line)).unwrap().trim_end().to_owned()).collect()
}

#[tokio::test]
async fn tokens_are_validated_refreshed_and_users_found() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let account = Account::new("waddlebot", "old");
    let config = FakeConfig { accounts: vec![account.clone()], ..FakeConfig::default() };
    let fake = FakeTwitch::start(config).await.unwrap();
    let http = reqwest::Client::new();
    let validate = |token: String| {
        http.get(format!("{}/validate", fake.http_url()))
            .header("authorization", format!("OAuth {token}"))
            .send()
    };
    let body: serde_json::Value = validate("old".to_owned()).await.unwrap().json().await.unwrap();
    assert_eq!((&body["login"], &body["user_id"]), (&"waddlebot".into(), &account.user_id.clone().into()));
    fake.revoke_token("waddlebot");
    assert_eq!(validate("old".to_owned()).await.unwrap().status(), 401);

    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", account.refresh_token.as_str()),
        ("client_id", "fake-client-id"),
        ("client_secret", "any"),
    ];
    let refresh = || http.post(format!("{}/oauth2/token", fake.http_url())).form(&form).send();
    let body: serde_json::Value = refresh().await.unwrap().json().await.unwrap();
    let token = body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(validate(token.clone()).await.unwrap().status(), 200);
    assert_eq!(refresh().await.unwrap().status(), 400, "a refresh token serves once");

    let url = format!("{}/helix/users?login=Duck&login=goose", fake.http_url());
    let users =
        http.get(&url).bearer_auth(&token).header("client-id", "fake-client-id").send().await.unwrap();
    let users: serde_json::Value = users.json().await.unwrap();
    assert_eq!(users["data"][0]["id"], room_id("duck"));
    assert_eq!(users["data"].as_array().unwrap().len(), 2);
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);

    fake.set_http_mode(HttpMode::Status(503));
    assert_eq!(validate(token.clone()).await.unwrap().status(), 503);
    fake.set_http_mode(HttpMode::Unreachable);
    assert!(validate(token).await.is_err());
}
