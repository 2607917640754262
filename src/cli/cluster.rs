//! `waddlebot cluster`: who is there, what each node owns; drains a node; makes certificates.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::output::{Failure, field, print_json, say, say_part, table, visible};
use super::{Env, NodeArgs};

mod certificates;
mod moving;

/// What can be done with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the nodes, their leases and how many channels each owns
    Status,
    /// Hand over everything that a node owns, then stop it
    Drain {
        /// The node's id
        node: String,
    },
    /// Tie a channel to a node, which takes it over now; waits until it serves it
    Move(MoveArgs),
    /// Make an authority and a certificate for each node; an authority that is there signs on
    Certificates(certificates::CertificatesArgs),
}

/// Which channel goes where.
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The channel, as platform:login
    key: String,
    /// The node that is to serve it
    #[arg(required_unless_present_any = ["to", "unpin"])]
    node: Option<String>,
    /// The node, as an option
    #[arg(long, value_name = "NODE", conflicts_with_all = ["node", "unpin"])]
    to: Option<String>,
    /// Tie it to no node any more: the ring decides
    #[arg(long, conflicts_with = "node")]
    unpin: bool,
}

pub(super) async fn run(command: ClusterCommand, node: &NodeArgs, env: &Env) -> Result<(), Failure> {
    let json = node.json;
    let client = || Client::new(node, env);
    match command {
        ClusterCommand::Certificates(args) => certificates::make(&args, json),
        ClusterCommand::Status => status(&client()?, json).await,
        ClusterCommand::Drain { node } => {
            let done = client()?.post(&["cluster", "nodes", &node, "drain"], &json!({})).await?;
            if json {
                print_json(&done);
            } else {
                say(format_args!(
                    "{node} hands its channels over and stops; `waddlebot cluster status` shows how far it is"
                ));
            }
            Ok(())
        }
        ClusterCommand::Move(args) => moving::run(&client()?, args, json).await,
    }
}

async fn status(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.get(&["cluster"], &[]).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    if answer["enabled"] != true {
        say("this node is alone: [cluster] enabled = true makes it one of several");
        return Ok(());
    }
    let skew = answer["clock_skew_ms"].as_i64().unwrap_or_default();
    say(format_args!(
        "view {}, {} channels, {} on their way; the database's clock is {} ms {} this node's",
        field(&answer, "view"),
        field(&answer, "channels"),
        field(&answer, "channels_unowned"),
        skew.unsigned_abs(),
        if skew < 0 { "behind" } else { "ahead of" },
    ));
    let nodes = answer["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let columns = columns();
    let cells = |node: &Value| columns.iter().map(|(_, cell)| cell(node)).collect();
    let rows: Vec<Vec<String>> = nodes.iter().map(cells).collect();
    say_part(table(&columns.map(|(title, _)| title), &rows));
    if answer["partial"] == true {
        say(format_args!("did not answer: {}", visible(&words(&answer["missing"]))));
    }
    Ok(())
}

type Cell = fn(&Value) -> String;

/// What stands above each column, and in it.
fn columns() -> [(&'static str, Cell); 10] {
    [
        ("node", |node| format!("{}{}", field(node, "id"), if node["answers"] == true { " *" } else { "" })),
        ("state", |node| field(node, "state")),
        ("lease", lease),
        ("channels", |node| field(node, "channels")),
        ("moves", moves),
        ("up", |node| node["says"]["uptime_secs"].as_u64().map_or_else(unknown, in_short)),
        ("version", |node| field(&node["says"], "version")),
        ("protocol", protocol),
        ("roles", |node| words(&node["roles"])),
        ("address", |node| field(node, "address")),
    ]
}

/// What is left of the lease, and how old it is.
fn lease(node: &Value) -> String {
    let secs = |name: &str| node[name].as_i64().map(|ms| ms as f64 / 1_000.0);
    match (secs("lease_left_ms"), secs("lease_age_ms")) {
        (Some(left), _) if left < 0.0 => format!("lapsed {:.1} s ago", -left),
        (Some(left), Some(age)) => format!("{left:.1} s, {age:.1} s old"),
        _ => unknown(),
    }
}

/// Keys that leave the node, and those that it waits for.
fn moves(node: &Value) -> String {
    let moves = &node["says"]["moves"];
    match (moves["leaving"].as_u64(), moves["awaited"].as_u64()) {
        (Some(0), Some(0)) => "none".to_owned(),
        (Some(leaving), Some(awaited)) => format!("{leaving} out, {awaited} in"),
        _ => unknown(),
    }
}

fn protocol(node: &Value) -> String {
    match (node["protocol"][0].as_i64(), node["protocol"][1].as_i64()) {
        (Some(oldest), Some(newest)) if oldest != newest => format!("{oldest}-{newest}"),
        (Some(one), _) => one.to_string(),
        _ => unknown(),
    }
}

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn unknown() -> String {
    "-".to_owned()
}

/// In the two largest units.
fn in_short(secs: u64) -> String {
    let (mins, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match (days, hours, mins) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, mins) => format!("{mins} min"),
        (0, hours, mins) => format!("{hours} h {} min", mins % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_row_and_one_that_is_silent_has_no_figures() {
        let node = json!({ "id": "a", "answers": true, "state": "active", "lease_left_ms": 1_640, "lease_age_ms": 360,
            "channels": 34, "protocol": [1, 2], "roles": ["channels", "hub"], "address": "10.0.0.1:7070",
            "says": { "uptime_secs": 93_784, "version": "0.1.0", "moves": { "leaving": 3, "awaited": 12 } } });
        let row = |node: &Value| columns().map(|(_, cell)| cell(node)).join(" | ");
        assert_eq!(
            row(&node),
            "a * | active | 1.6 s, 0.4 s old | 34 | 3 out, 12 in | 1 d 2 h | 0.1.0 | 1-2 | channels hub | 10.0.0.1:7070"
        );
        let silent = json!({ "id": "b", "answers": false, "state": "active", "lease_left_ms": -1_200, "lease_age_ms": 3_200,
            "channels": 26, "protocol": [1, 1], "roles": ["channels"], "address": "10.0.0.2:7070", "says": null });
        assert_eq!(
            row(&silent),
            "b | active | lapsed 1.2 s ago | 26 | - | - | - | 1 | channels | 10.0.0.2:7070"
        );
    }
}
