//! `waddlebot cluster`: who is there, what each node owns; drains a node.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Client;
use super::output::{Failure, field, print_json, table};

/// What can be done with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the nodes, their leases and how many channels each owns
    Status,
    /// Hand over everything that the asked node owns, then stop it; the node is the one that --url names
    Drain {
        /// The node's id
        node: String,
    },
}

/// Columns: what stands above them, and the field.
const COLUMNS: [(&str, &str); 7] = [
    ("node", "id"),
    ("state", "state"),
    ("channels", "channels"),
    ("lease ms", "lease_left_ms"),
    ("roles", "roles"),
    ("address", "address"),
    ("since", "joined_at"),
];

pub(super) async fn run(client: &Client, command: ClusterCommand, json: bool) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status => status(client, json).await,
        ClusterCommand::Drain { node } => {
            let done = client.post(&["cluster", "nodes", &node, "drain"], &json!({})).await?;
            if json {
                print_json(&done);
            } else {
                println!(
                    "{node} hands its channels over and stops; `waddlebot cluster status` shows how far it is"
                );
            }
            Ok(())
        }
    }
}

async fn status(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.get(&["cluster"], &[]).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    if answer["enabled"] != true {
        println!("this node is alone: [cluster] enabled = true makes it one of several");
        return Ok(());
    }
    let skew = answer["clock_skew_ms"].as_i64().unwrap_or_default();
    println!(
        "view {}, {} channels, {} on their way, the database's clock is {} ms {} this node's",
        field(&answer, "view"),
        field(&answer, "channels"),
        field(&answer, "channels_unowned"),
        skew.unsigned_abs(),
        if skew < 0 { "behind" } else { "ahead of" },
    );
    let rows: Vec<Vec<String>> = answer["nodes"].as_array().into_iter().flatten().map(row).collect();
    print!("{}", table(&COLUMNS.map(|(title, _)| title), &rows));
    Ok(())
}

fn row(node: &Value) -> Vec<String> {
    let cell = |(_, name): (&str, &str)| match &node[name] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => field(node, name),
    };
    COLUMNS.map(cell).to_vec()
}
