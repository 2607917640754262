//! The fake Twitch as a process: prints its addresses as one JSON line, then obeys lines on standard input.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use fake_twitch::{Account, Chatter, FakeConfig, FakeTwitch, HttpMode};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: fake-twitch [--irc-port N] [--ircs-port N] [--ws-port N] [--wss-port N] [--http-port N]
                   [--limits default|off] [--moderator] [--account LOGIN:TOKEN]… [--cut-every-ms N]
Prints one JSON line with its addresses. Lines on standard input, until it ends or a signal comes:
  say #CHANNEL USER TEXT | raid #CHANNEL USER VIEWERS | cut | reconnect | silence on|off | stall on|off
  http normal|unreachable|STATUS | revoke LOGIN | counters";

#[tokio::main]
async fn main() {
    let code = match run().await {
        Ok(()) => 0,
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            eprintln!("{error}\n{USAGE}");
            2
        }
        Err(error) => {
            eprintln!("fake-twitch: {error}");
            1
        }
    };
    // The thread that waits for standard input cannot be ended otherwise.
    std::process::exit(code)
}

async fn run() -> Result<()> {
    let Some(config) = parse_arguments(std::env::args().skip(1))? else {
        println!("{USAGE}");
        return Ok(());
    };
    let fake = FakeTwitch::start(config).await?;
    let addresses = json!({
        "irc": fake.irc_url(), "ircs": fake.ircs_url(), "ws": fake.ws_url(), "wss": fake.wss_url(),
        "http": fake.http_url(), "ca_file": fake.ca_file(),
    });
    println!("{addresses}");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = obey_input(&fake) => result,
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, what.to_string())
}

/// `None`: help is wanted.
fn parse_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Option<FakeConfig>> {
    let mut config = FakeConfig::default();
    let mut accounts = Vec::new();
    while let Some(name) = arguments.next() {
        if name == "--moderator" {
            config.moderator_everywhere = true;
            continue;
        }
        if name == "--help" {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| wrong(format!("{name} is unknown or needs a value")))?;
        let port = || value.parse::<u16>().map_err(|_| wrong(format!("{name}: {value} is no port")));
        match name.as_str() {
            "--irc-port" => config.irc_port = port()?,
            "--ircs-port" => config.ircs_port = port()?,
            "--ws-port" => config.ws_port = port()?,
            "--wss-port" => config.wss_port = port()?,
            "--http-port" => config.http_port = port()?,
            "--limits" if value == "default" => {}
            "--limits" if value == "off" => config = config.without_limits(),
            "--account" => {
                let (login, token) =
                    value.split_once(':').ok_or_else(|| wrong("--account wants LOGIN:TOKEN"))?;
                accounts.push(Account::new(login, token));
            }
            "--cut-every-ms" => {
                let millis = value.parse().map_err(|_| wrong(format!("{name}: {value} is no number")))?;
                config.cut_every = Some(Duration::from_millis(millis));
            }
            _ => return Err(wrong(format!("unknown: {name} {value}"))),
        }
    }
    if !accounts.is_empty() {
        config.accounts = accounts;
    }
    Ok(Some(config))
}

async fn obey_input(fake: &FakeTwitch) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if !line.trim().is_empty() && obey(fake, line.trim()).is_none() {
            eprintln!("not understood: {line}\n{USAGE}");
        }
    }
    Ok(())
}

/// `None`: the line is no command.
fn obey(fake: &FakeTwitch, line: &str) -> Option<()> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words = rest.splitn(3, ' ');
    let channel_login = || rest.split(' ').next()?.strip_prefix('#');
    let switch = || match rest {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    match command {
        "say" => {
            let (_, login, text) = (words.next()?, words.next()?, words.next()?);
            fake.say(channel_login()?, &Chatter::viewer(login), text);
        }
        "raid" => {
            let (_, login, viewers) = (words.next()?, words.next()?, words.next()?);
            fake.raid(channel_login()?, &Chatter::viewer(login), viewers.parse().ok()?);
        }
        "cut" => fake.cut_all(),
        "reconnect" => fake.reconnect(),
        "silence" => fake.silence(switch()?),
        "stall" => fake.stall(switch()?),
        "http" => fake.set_http_mode(match rest {
            "normal" => HttpMode::Normal,
            "unreachable" => HttpMode::Unreachable,
            status => HttpMode::Status(status.parse().ok()?),
        }),
        "revoke" => fake.revoke_token(rest),
        "counters" => println!("{:?}", fake.counters()),
        _ => return None,
    }
    Some(())
}
