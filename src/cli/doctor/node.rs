//! Whether a node runs, and what it says of itself.

use super::Finding;
use crate::cli::client::{Client, base_url, service_key};
use crate::cli::output::field;
use crate::cli::{Env, NodeArgs};

const NAME: &str = "node";

/// Asks the node that the options name.
pub(super) async fn look(args: &NodeArgs, env: &Env) -> Finding {
    let base = match base_url(args, env) {
        Ok(base) => base,
        Err(failure) => return Finding::fail(NAME, failure.to_string()),
    };
    let Ok(key) = service_key(args.key_file.as_deref(), env) else {
        return Finding::ok(NAME, "no service key here yet; the first `waddlebot run` makes one");
    };
    let asked = match Client::with_key(base, key) {
        Ok(client) => client.get(&["status"], &[]).await,
        Err(failure) => Err(failure),
    };
    let status = match asked {
        Ok(status) => status,
        Err(failure) => return Finding::warn(NAME, failure.to_string()),
    };
    let trouble = status["platforms"]
        .as_object()
        .into_iter()
        .flatten()
        .find_map(|(platform, report)| Some(format!("{platform}: {}", report["trouble"].as_str()?)));
    let shed = status["memory"]["pressure"].as_str().filter(|level| *level != "none");
    let trouble = trouble.or_else(|| {
        Some(format!(
            "its memory is short, so it sheds {}: raise limits.max_rss_mib or move channels away",
            shed?
        ))
    });
    let state = format!(
        "{} runs version {} with {} channels",
        field(&status, "node"),
        field(&status, "version"),
        field(&status, "channels"),
    );
    match trouble {
        Some(trouble) => Finding::warn(NAME, format!("{state}; {trouble}")),
        None => Finding::ok(NAME, state),
    }
}
