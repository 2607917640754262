//! `waddlebot channels why`, `record` and `replay`: what happened in a channel, and what would happen today.

use std::io::IsTerminal;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::output::{Failure, field, print_json, say, tell, tell_part, visible};
use crate::messages::Clock;

/// What is asked about.
#[derive(Clone, Debug, Args)]
pub struct WhyArgs {
    /// platform:login or platform:id
    key: String,
    /// Only this message, by the platform's id of it
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// Only what this user's commands caused
    #[arg(long, value_name = "LOGIN", conflicts_with = "message")]
    user: Option<String>,
}

/// What to record.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// platform:login or platform:id
    key: String,
    /// For how long, at most 24h; for example 1h
    #[arg(long = "for", value_name = "TIME", required_unless_present = "stop")]
    duration: Option<String>,
    /// End the recording
    #[arg(long, conflicts_with = "duration")]
    stop: bool,
}

/// What to replay.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// platform:login or platform:id
    key: String,
    /// First moment, such as 2026-05-01T18:00:00Z, or so long ago, such as 30m
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Last moment, in the same forms; now when absent
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only show what would happen; there is no other way yet
    #[arg(long)]
    dry_run: bool,
}

/// Tells what happened, in order.
pub(super) async fn why(client: &Client, args: &WhyArgs, json: bool) -> Result<(), Failure> {
    let mut query = vec![("limit", "100")];
    query.extend(args.message.as_deref().map(|id| ("message_id", id)));
    query.extend(args.user.as_deref().map(|login| ("user", login)));
    let told = client.get(&["channels", &args.key, "events"], &query).await?;
    if json {
        print_json(&told);
        return Ok(());
    }
    print_told(&told["items"]);
    for sentence in told["conclusion"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("=> {}", visible(sentence)));
    }
    if told["complete"] == false {
        say("=> the log's store does not answer; this is what the node has in memory");
    }
    let is_empty = |items: &Value| items.as_array().is_none_or(Vec::is_empty);
    if is_empty(&told["items"]) && !is_empty(&told["context"]) {
        say("When the bot may have missed something, the newest first:");
        print_told(&told["context"]);
    } else if is_empty(&told["items"]) {
        say("Nothing is in the log.");
    }
    Ok(())
}

fn print_told(items: &Value) {
    for item in items.as_array().into_iter().flatten() {
        let at = field(item, "at").parse::<DateTime<Utc>>();
        let at = at.map_or_else(|_| "-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
        say(format_args!("{at}  {}", visible(&field(item, "told"))));
    }
}

/// Keeps all lines of a channel for a while, or ends that.
pub(super) async fn record(client: &Client, args: &RecordArgs, json: bool) -> Result<(), Failure> {
    let path = ["channels", args.key.as_str(), "recording"];
    let recorded = match args.duration.as_deref() {
        Some(duration) => client.post(&path, &json!({ "for": duration })).await?,
        None => client.delete(&path).await?,
    };
    if json {
        print_json(&recorded);
    } else if recorded["until"].is_null() {
        say(format_args!("{} is no longer recorded", field(&recorded, "key")));
    } else {
        say(format_args!(
            "all lines of {} are kept until {}",
            field(&recorded, "key"),
            field(&recorded, "until")
        ));
        say(format_args!("Mind: {}.", field(&recorded, "warning")));
        say(format_args!(
            "Then try `waddlebot channels replay {} --from 1h --dry-run`; --stop ends it sooner.",
            args.key
        ));
    }
    Ok(())
}

/// Shows what today's configuration would do with recorded lines.
pub(super) async fn replay(client: &Client, args: &ReplayArgs, json: bool) -> Result<(), Failure> {
    let now = Clock::System.now();
    if !args.dry_run {
        return Err(Failure::said(format!(
            "lines are only replayed without sending or writing: type \
             `waddlebot channels replay {} --from {} --dry-run`",
            args.key, args.from
        )));
    }
    let from = moment(&args.from, now)?;
    let to = args.to.as_deref().map_or(Ok(now), |to| moment(to, now))?;
    let shows_progress = !json && std::io::stderr().is_terminal();
    let (mut after, mut n_lines, mut lines) = (Value::Null, 0, Vec::new());
    loop {
        let ask = json!({ "from": from, "to": to, "after": after, "dry_run": true });
        let mut page = client.post(&["channels", &args.key, "replay"], &ask).await?;
        let Value::Array(found) = page["lines"].take() else {
            return Err(Failure::said("the node answered with no lines; is it a waddlebot?"));
        };
        n_lines += found.len();
        lines.extend(found.into_iter().filter(|line| json || line["differs"] == true));
        after = page["next"].take();
        if shows_progress {
            tell_part(format_args!("\r{n_lines} lines, up to {}", field(&page, "reached")));
        }
        if after.is_null() {
            break;
        }
    }
    if shows_progress {
        tell("");
    }
    if json {
        print_json(&json!({ "lines": lines }));
        return Ok(());
    }
    for line in &lines {
        say(format_args!(
            "{}  {}: {}",
            field(line, "at"),
            visible(&field(line, "user")),
            visible(&field(line, "text"))
        ));
        say(format_args!("  then  {}", visible(&field(line, "then"))));
        say(format_args!("  now   {}", visible(&field(line, "now"))));
    }
    say(format_args!("{} of {n_lines} recorded command lines would end differently", lines.len()));
    if n_lines == 0 {
        say(format_args!(
            "nothing was recorded then; begin with `waddlebot channels record {} --for 1h`",
            args.key
        ));
    }
    Ok(())
}

/// A time as people type it: in full, or so long ago.
fn moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    if let Ok(at) = text.parse::<DateTime<Utc>>() {
        return Ok(at);
    }
    domain::duration::parse_duration(text).map(|ago| now - ago).map_err(|_| {
        Failure::said(format!(
            "`{text}` is no time; write it in full, such as 2026-05-01T18:00:00Z, or how long ago, such as 30m"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_given_in_full_or_as_how_long_ago() {
        let now: DateTime<Utc> = "2026-05-01T18:00:00Z".parse().unwrap();
        assert_eq!(moment("30m", now).unwrap().to_rfc3339(), "2026-05-01T17:30:00+00:00");
        assert_eq!(moment("2026-05-01T20:00:00+02:00", now).unwrap(), now);
        assert!(moment("yesterday", now).unwrap_err().to_string().contains("how long ago"));
    }
}
