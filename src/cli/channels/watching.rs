//! `waddlebot channels watch`: what the bot does in a channel, while it does it.

use std::io::{self, Write, stdout};

use clap::Args;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::output::{Failure, field, tell, visible};

/// Longest event, in bytes.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// What to watch.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// platform:login or platform:id
    key: String,
    /// All channels of its community too
    #[arg(long)]
    community: bool,
}

/// Prints a line for each thing that happens, until the node stops or nobody reads any more.
pub(super) async fn watch(client: &Client, args: &WatchArgs, json: bool) -> Result<(), Failure> {
    let channel = client.get(&["channels", &args.key], &[]).await?;
    let only = (!args.community).then(|| field(&channel, "key"));
    let mut stream = client.follow(&["communities", &args.key, "live"]).await?;
    if !json {
        tell(format_args!("Watching {}. Ctrl-C ends.", args.key));
    }
    let mut read = Vec::new();
    while let Some(chunk) = stream.next().await? {
        read.extend_from_slice(&chunk);
        while let Some(end) = read.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = read.drain(..end + 2).collect();
            if show(only.as_deref(), &String::from_utf8_lossy(&event), json).is_err() {
                return Ok(());
            }
        }
        if read.len() > EVENT_BYTES_MAX {
            return Err(Failure::said("the node said something without an end; is it a waddlebot?"));
        }
    }
    Err(Failure::said("the node stopped; run this again when it is back"))
}

/// Prints one event; fails when nobody reads any more.
fn show(only: Option<&str>, event: &str, json: bool) -> io::Result<()> {
    let Some(text) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { return Ok(()) };
    let Ok(data) = serde_json::from_str::<Value>(text) else { return Ok(()) };
    match data["channel"].as_str() {
        Some(channel) if only.is_some_and(|only| only != channel) => Ok(()),
        _ if json => writeln!(stdout(), "{text}"),
        None if event.starts_with("event: gap") => {
            let (node, why) = (field(&data, "node"), field(&data, "why"));
            tell(format_args!("{}: something may be missing here, {}", visible(&node), visible(&why)));
            Ok(())
        }
        None => Ok(()),
        Some(channel) => {
            let at: String = field(&data, "at").chars().skip(11).take(12).collect();
            let told = field(&data, "told");
            writeln!(stdout(), "{}  {}  {}", visible(&at), visible(channel), visible(&told))
        }
    }
}
