//! `waddlebot channels`: add, remove, list, import, and looking back.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use domain::ChannelKey;
use serde_json::json;

use super::client::Client;
use super::output::{Failure, field, print_json, say, say_part, table, tell, tell_part};

mod looking_back;
mod watching;

/// Keys sent in one call.
const KEYS_PER_CALL: usize = 500;

/// Largest list of channels, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Problems of a list that are shown; the rest are counted.
const PROBLEMS_SHOWN_MAX: usize = 10;

/// What can be done with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelsCommand {
    /// Add a channel; the bot joins it
    Add {
        /// platform:login
        key: String,
        /// Share the commands and counters of this channel's community; else it begins one of its own
        #[arg(long, value_name = "KEY")]
        community_of: Option<String>,
    },
    /// Remove a channel; the bot leaves it, its commands stay for when it is added again
    Remove {
        /// platform:login or platform:id
        key: String,
    },
    /// List the channels
    List,
    /// Add many channels from a file with one KEY a line; `-` reads standard input
    Import {
        /// The list
        file: PathBuf,
    },
    /// Say why the bot did, or did not, answer
    Why(looking_back::WhyArgs),
    /// Show what the bot does in a channel while it does it
    Watch(watching::WatchArgs),
    /// Keep all lines of a channel, with their texts, for a while
    Record(looking_back::RecordArgs),
    /// Show what today's configuration would do with recorded lines
    Replay(looking_back::ReplayArgs),
}

pub(super) async fn run(client: &Client, command: ChannelsCommand, json: bool) -> Result<(), Failure> {
    match command {
        ChannelsCommand::Add { key, community_of } => add(client, &key, community_of.as_deref(), json).await,
        ChannelsCommand::Remove { key } => {
            let removed = client.delete(&["channels", &key]).await?;
            if json {
                print_json(&removed);
            } else {
                say(format_args!("{} removed", field(&removed, "key")));
            }
            Ok(())
        }
        ChannelsCommand::List => list(client, json).await,
        ChannelsCommand::Import { file } => import(client, &file, json).await,
        ChannelsCommand::Why(args) => looking_back::why(client, &args, json).await,
        ChannelsCommand::Watch(args) => watching::watch(client, &args, json).await,
        ChannelsCommand::Record(args) => looking_back::record(client, &args, json).await,
        ChannelsCommand::Replay(args) => looking_back::replay(client, &args, json).await,
    }
}

async fn add(client: &Client, key: &str, community_of: Option<&str>, json: bool) -> Result<(), Failure> {
    let added = client.post(&["channels"], &json!({ "key": key, "community_of": community_of })).await?;
    if json {
        print_json(&added);
    } else if added["added"] == true {
        say(format_args!("{} added; type !ping there", field(&added, "key")));
    } else {
        say(format_args!("{} was there already", field(&added, "key")));
    }
    Ok(())
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let channels = client.list(&["channels"], &[]).await?;
    if json {
        print_json(&channels);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = channels
        .iter()
        .map(|channel| {
            ["key", "platform_id", "running", "mailbox", "lines"].map(|name| field(channel, name)).to_vec()
        })
        .collect();
    say_part(table(&["channel", "platform id", "running", "waiting", "lines"], &rows));
    if rows.is_empty() {
        say("none yet; add one with `waddlebot channels add twitch:your_channel`");
    }
    Ok(())
}

async fn import(client: &Client, file: &Path, json: bool) -> Result<(), Failure> {
    let keys = read_keys(&read_list(file)?)?;
    let (mut n_done, mut n_added) = (0, 0);
    let shows_progress = !json && std::io::stderr().is_terminal();
    for chunk in keys.chunks(KEYS_PER_CALL) {
        let imported =
            client.post(&["channels", "import"], &json!({ "keys": chunk })).await.map_err(|failure| {
                Failure::said(format!(
                    "{failure} ({n_done} of {} channels were imported; run it again)",
                    keys.len()
                ))
            })?;
        n_done += chunk.len();
        n_added += imported["added"].as_u64().unwrap_or(0);
        if shows_progress {
            tell_part(format_args!("\r{n_done} of {} channels", keys.len()));
        }
    }
    if shows_progress {
        tell("");
    }
    let n_known = n_done as u64 - n_added;
    if json {
        print_json(&json!({ "added": n_added, "known": n_known }));
    } else {
        say(format_args!("{n_added} added, {n_known} were there already"));
    }
    Ok(())
}

fn read_list(file: &Path) -> Result<String, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::said(format!("{} cannot be read: {error}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    let mut text = String::new();
    source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::said(format!("{} is larger than {} MiB", file.display(), FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// One key a line; empty lines and what follows `#` are left out. Nothing is imported while a line is wrong.
fn read_keys(text: &str) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    let mut problems = Vec::new();
    for (line_number, line) in (1..).zip(text.lines()) {
        let entry = line.split_once(" #").map_or(line, |(entry, _)| entry).trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        match entry.parse::<ChannelKey>() {
            Ok(key) => keys.push(key.to_string()),
            Err(error) => problems.push(format!("line {line_number}: {error}")),
        }
    }
    if problems.is_empty() && !keys.is_empty() {
        return Ok(keys);
    }
    if problems.is_empty() {
        return Err(Failure::said("the list is empty; write one platform:login a line"));
    }
    let n_more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    problems.truncate(PROBLEMS_SHOWN_MAX);
    if n_more > 0 {
        problems.push(format!("and {n_more} more"));
    }
    Err(Failure::said(problems.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_its_comments() {
        let keys = read_keys("# ours\ntwitch:Ann\n\n twitch:#bob # the second\r\n").unwrap();
        assert_eq!(keys, ["twitch:ann", "twitch:bob"]);
    }

    #[test]
    fn every_wrong_line_is_named_and_nothing_is_imported() {
        let failure = read_keys("twitch:ann\nbob\ntvitch:c").unwrap_err().to_string();
        assert!(failure.contains("line 2: `bob` is not a channel"), "{failure}");
        assert!(failure.contains("line 3: unknown platform"), "{failure}");
        assert!(read_keys("\n#x\n").is_err());
    }
}
