//! `waddlebot modules`: the modules and how they are.

use serde_json::Value;

use super::client::Client;
use super::output::{Failure, field, print_json, say, say_part, table, visible};

/// Columns: what stands above them, and the field.
const COLUMNS: [(&str, &str); 8] = [
    ("module", "name"),
    ("breaker", "breaker"),
    ("retry in", "retry_in_secs"),
    ("running", "running"),
    ("off", "disabled"),
    ("restarts", "restarts"),
    ("failures", "failures"),
    ("waiting", "waiting"),
];

pub(super) async fn show(client: &Client, channel: Option<&str>, json: bool) -> Result<(), Failure> {
    let query: Vec<(&str, &str)> = channel.iter().map(|key| ("channel", *key)).collect();
    let answer = client.get(&["modules"], &query).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let header = COLUMNS.map(|(title, _)| title);
    let row = |module: &Value| COLUMNS.map(|(_, name)| field(module, name)).to_vec();
    let rows: Vec<Vec<String>> = answer["modules"].as_array().into_iter().flatten().map(row).collect();
    say_part(table(&header, &rows));
    if answer["partial"] == true {
        let nodes: Vec<_> =
            answer["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        say(format_args!(
            "not counted here: {} channels that did not answer{}{}",
            field(&answer, "missing_channels"),
            if nodes.is_empty() { "" } else { ", and those of the silent nodes " },
            visible(&nodes.join(", ")),
        ));
    }
    Ok(())
}
