//! `waddlebot doctor`: one sentence each that says what to do.

use std::process::Output;
use std::time::Duration;

use fake_twitch::{FakeConfig, FakeTwitch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::node::{PATIENCE, PROGRAM};

/// Runs doctor in that folder, under a wrapper when one is given, with those variables.
async fn doctor(folder: &std::path::Path, wrapper: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(PROGRAM);
            command
        }
        None => Command::new(PROGRAM),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.arg("doctor").env_clear().env("PATH", path).envs(env.iter().copied()).current_dir(folder);
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("ends by itself").expect("runs");
    let Output { status, stdout, stderr } = output;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    println!("--- doctor with {env:?}\n{text}");
    (status.code().unwrap_or(-1), text)
}

/// The one line about that topic.
fn line<'a>(text: &'a str, topic: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(topic))
        .unwrap_or_else(|| panic!("nothing about {topic} in:\n{text}"))
}

fn twitch<'a>(irc: &'a str, http: &'a str, ca: &'a str, token: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("WADDLEBOT_PLATFORMS__TWITCH__CHANNELS", "somebody"),
        ("WADDLEBOT_PLATFORMS__TWITCH__BOT_LOGIN", "waddlebot"),
        ("WADDLEBOT_PLATFORMS__TWITCH__BOT_TOKEN", token),
        ("WADDLEBOT_PLATFORMS__TWITCH__IRC_URL", irc),
        ("WADDLEBOT_PLATFORMS__TWITCH__AUTH_URL", http),
        ("WADDLEBOT_PLATFORMS__TWITCH__HELIX_URL", http),
        ("WADDLEBOT_PLATFORMS__TWITCH__CA_FILE", ca),
    ]
}

#[tokio::test]
async fn doctor_is_content_with_nothing_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, text) = doctor(folder.path(), &[], &[("WADDLEBOT_HUB__LISTEN", "127.0.0.1:1")]).await;
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("FAIL"), "{text}");
    assert!(line(&text, "storage").starts_with("ok"), "{text}");
}

#[tokio::test]
async fn doctor_names_a_wrong_token_and_finds_a_good_one_good() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let fake = FakeTwitch::start(FakeConfig::default()).await.expect("the fake starts");
    let (irc, http, ca) = (fake.ircs_url(), fake.http_url(), fake.ca_file().display().to_string());
    let folder = tempfile::tempdir().expect("a folder");
    let (code, text) = doctor(folder.path(), &[], &twitch(&irc, &http, &ca, "token")).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = doctor(folder.path(), &[], &twitch(&irc, &http, &ca, "wrongwrong")).await;
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "token").starts_with("FAIL") && !text.contains("wrongwrong"), "{text}");
}

#[tokio::test]
async fn doctor_names_a_platform_that_cannot_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let env = twitch("irc://127.0.0.1:1", "http://127.0.0.1:1", "/dev/null", "token");
    let env: Vec<_> = env.into_iter().filter(|(name, _)| !name.ends_with("CA_FILE")).collect();
    let (code, text) = doctor(folder.path(), &[], &env).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("FAIL") && line.contains("irc_url") && line.contains("check")),
        "{text}"
    );
}

#[tokio::test]
async fn doctor_names_a_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("a data folder");
    let read_only = "mount -t tmpfs -o ro nothing data && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", read_only];
    let (code, text) = doctor(folder.path(), &wrapper, &[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.lines().any(|line| line.starts_with("FAIL") && line.contains("data")), "{text}");
}

#[tokio::test]
async fn doctor_names_a_clock_that_is_an_hour_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let http = format!("http://{}", listener.local_addr().expect("an address"));
    let an_hour_ago = Command::new("date")
        .args(["-u", "-d", "1 hour ago", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output();
    let date =
        String::from_utf8(an_hour_ago.await.expect("date runs").stdout).expect("text").trim().to_owned();
    let body = r#"{"client_id":"x","login":"waddlebot","user_id":"1","scopes":["chat:read","chat:edit"],"expires_in":9999}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let serve = async {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 4096];
            drop(tokio::time::timeout(Duration::from_secs(1), socket.read(&mut request)).await);
            drop(socket.write_all(answer.as_bytes()).await);
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let env = twitch("irc://127.0.0.1:1", &http, "", "token");
    let env: Vec<_> = env.into_iter().filter(|(name, _)| !name.ends_with("CA_FILE")).collect();
    let (_, text) = tokio::select! {
        done = doctor(folder.path(), &[], &env) => done,
        () = serve => unreachable!("serves for ever"),
    };
    assert!(line(&text, "clock").starts_with("FAIL"), "{text}");
}

#[tokio::test]
async fn doctor_warns_of_a_redis_that_is_away_and_hides_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = "redis://:a-secret-password@127.0.0.1:1";
    let env = [("WADDLEBOT_HUB__LISTEN", "127.0.0.1:1"), ("WADDLEBOT_REDIS__URL", url)];
    let (code, text) = doctor(folder.path(), &[], &env).await;
    assert_eq!(code, 0, "the node works without it: {text}");
    let line = line(&text, "redis");
    assert!(line.starts_with("warn") && !line.contains("a-secret-password"), "{line}");
}
