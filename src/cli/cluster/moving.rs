//! `waddlebot cluster move`: ties a channel to a node, or unties it, and shows how far it is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::MoveArgs;
use crate::cli::client::Client;
use crate::cli::output::{Failure, field, print_json, say, tell};

/// Longest wait for a channel to arrive; a hand-over takes 10 s at most, unless configured.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(client: &Client, args: MoveArgs, json: bool) -> Result<(), Failure> {
    let MoveArgs { key, node, to, .. } = args;
    let path = ["cluster", "pins", key.as_str()];
    let told = Instant::now();
    let placed = match node.or(to) {
        Some(node) => client.put(&path, &json!({ "node": node })).await?,
        None => client.delete(&path).await?,
    };
    let Some(goes_to) = placed["goes_to"].as_str() else {
        return Err(Failure::said("it is untied, but no node serves channels now"));
    };
    let key = field(&placed, "key");
    let mut place = None;
    loop {
        // While it is on its way no node answers for it.
        let answer = client.get(&["channels", &key], &[]).await.unwrap_or_default();
        let now = answer["node"].as_str().map(str::to_owned);
        if now.as_deref() == Some(goes_to) {
            break;
        }
        if place.as_ref() != Some(&now) && !json {
            tell(format_args!("{key} {}", said_of(now.as_deref())));
        }
        place = Some(now);
        if told.elapsed() > ARRIVAL_MAX {
            return Err(Failure::said(format!(
                "{key} is not yet served by {goes_to} after {} s; `waddlebot cluster status` shows what moves",
                ARRIVAL_MAX.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = told.elapsed();
    if json {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        print_json(&json!({ "key": key, "pin": placed["pin"], "node": goes_to, "took_ms": took_ms }));
    } else {
        let tied = if placed["pin"] == Value::Null { ", as the ring says" } else { " and tied to it" };
        say(format_args!("{key} is served by {goes_to}{tied}, after {:.1} s", took.as_secs_f64()));
    }
    Ok(())
}

fn said_of(node: Option<&str>) -> String {
    node.map_or_else(|| "is on its way".to_owned(), |node| format!("is served by {node} yet"))
}
