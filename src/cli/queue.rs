//! `waddlebot queue`: what waits, dead letters, replay.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::output::{Failure, field, print_json, say, say_part, table};

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Show what waits, by topic and state
    Status,
    /// List, retry and drop dead letters
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Hand out again what is done; effects of the last 48 h are not applied a second time
    Replay {
        /// Such as `router_events`
        topic: String,
        /// The first message's id
        #[arg(long, value_name = "ID")]
        from: i64,
    },
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List them, oldest first
    List,
    /// Try again, three times at most
    Retry {
        #[command(flatten)]
        which: Which,
    },
    /// Give one up for good
    Drop {
        /// The message's id
        id: i64,
    },
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The message's id
    id: Option<i64>,
    /// Every one that is there now
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(client: &Client, command: QueueCommand, json: bool) -> Result<(), Failure> {
    match command {
        QueueCommand::Status => status(client, json).await,
        QueueCommand::Dead(DeadCommand::List) => list(client, json).await,
        QueueCommand::Dead(DeadCommand::Retry { which }) => retry(client, which, json).await,
        QueueCommand::Dead(DeadCommand::Drop { id }) => {
            let done = client.delete(&["queue", "dead", &id.to_string()]).await?;
            tell(json, &done, &format!("message {id} dropped"));
            Ok(())
        }
        QueueCommand::Replay { topic, from } => replay(client, &topic, from, json).await,
    }
}

/// The answer for programs, or a sentence.
fn tell(json: bool, answer: &Value, text: &str) {
    if json {
        print_json(answer);
    } else {
        say(text);
    }
}

async fn status(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.get(&["queue"], &[]).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let columns = ["topic", "state", "messages", "oldest_age_secs"];
    let row = |depth: &Value| columns.map(|name| field(depth, name)).to_vec();
    let rows: Vec<Vec<String>> = answer["depths"].as_array().into_iter().flatten().map(row).collect();
    say_part(table(&["topic", "state", "messages", "oldest (s)"], &rows));
    Ok(())
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let letters = client.list(&["queue", "dead"], &[]).await?;
    if json {
        print_json(&letters);
        return Ok(());
    }
    let columns = ["id", "topic", "attempts", "died_at", "message_id", "reason"];
    let rows: Vec<Vec<String>> =
        letters.iter().map(|letter| columns.map(|name| field(letter, name)).to_vec()).collect();
    say_part(table(&["id", "topic", "attempts", "died", "message", "reason"], &rows));
    Ok(())
}

async fn retry(client: &Client, which: Which, json: bool) -> Result<(), Failure> {
    let ids: Vec<String> = match which.id {
        Some(id) => vec![id.to_string()],
        None => {
            client.list(&["queue", "dead"], &[]).await?.iter().map(|letter| field(letter, "id")).collect()
        }
    };
    for id in &ids {
        client.post(&["queue", "dead", id, "retry"], &json!({})).await?;
    }
    tell(json, &json!({ "retried": ids.len() }), &format!("{} retried", ids.len()));
    Ok(())
}

async fn replay(client: &Client, topic: &str, from: i64, json: bool) -> Result<(), Failure> {
    let (mut next, mut n_replayed) = (Some(from), 0);
    while let Some(from_id) = next {
        let step = client.post(&["queue", "replay"], &json!({ "topic": topic, "from_id": from_id })).await?;
        n_replayed += step["replayed"].as_u64().unwrap_or_default();
        next = step["next_from_id"].as_i64().filter(|next| *next > from_id);
    }
    tell(json, &json!({ "replayed": n_replayed }), &format!("{n_replayed} replayed"));
    Ok(())
}
