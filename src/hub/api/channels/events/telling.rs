//! What happened, in sentences for people: what, why, and what to change.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Level, Outcome, Refusal};

use crate::messages::{EffectResult, Logged, SendState, What};

/// What was asked for, as far as the conclusion depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Whether the log is on at all.
    pub is_on: bool,
    /// Whether one message or user was asked for.
    pub is_narrow: bool,
    pub kept: TimeDelta,
}

/// One record.
pub(super) fn sentence(logged: &Logged) -> String {
    let record = &logged.record;
    let user = if record.user_login.is_empty() { "somebody" } else { &*record.user_login };
    match &record.what {
        What::Ended { command, module, level, outcome, duration_us } => {
            let took = i64::try_from(*duration_us).unwrap_or(i64::MAX);
            let received = logged.at() - TimeDelta::microseconds(took);
            let head = format!("!{command} by {user}, received at {}", time(received));
            let tail = ended(command, module.as_deref(), (user, *level), outcome);
            format!("{head}, {tail} ({} later)", millis(*duration_us))
        }
        What::Effect { module, op_id, result } => {
            let what = match result {
                EffectResult::Applied => "changed something, once",
                EffectResult::Repeated => {
                    "was repeated: an earlier attempt had changed it, nothing was applied again"
                }
                EffectResult::Failed => "could not change anything; nothing was applied",
            };
            format!("the module {module} {what} (op {op_id})")
        }
        What::Send { state: SendState::Written, .. } => "the reply was written".to_owned(),
        What::Send { state: SendState::Queued, why } => {
            format!("the reply waits: {}", why.as_deref().unwrap_or("for its turn"))
        }
        What::Send { state: SendState::Dropped, why } => {
            format!("the reply was dropped: {}", dropped(why.as_deref().unwrap_or_default()))
        }
        What::Said { text } => format!("the reply says: {text}"),
        What::Shed { reason, count } => {
            format!("{count} lines were shed within a second ({reason}): {}", shed_advice(reason))
        }
        What::Gap { from, to: Some(to), reason } => {
            format!("the channel was not read from {} to {} (connection {reason})", time(*from), time(*to))
        }
        What::Gap { from, to: None, reason } => {
            format!("from {} on the channel was not read (connection {reason})", time(*from))
        }
        What::Duplicate { source } => {
            format!("the same message of {user} came again over {source} and was not run again")
        }
        What::Lost { count } => format!("{count} records of this log were dropped: it was behind"),
        What::Held { reason } => {
            format!("the platform did not show a line of the bot ({reason}); make the bot a moderator there")
        }
        What::Suspected { module, is_disabled: false } => {
            format!(
                "a process fell while the module {module} ran in this channel; it is paused and then tried again"
            )
        }
        What::Suspected { module, is_disabled: true } => format!(
            "two processes fell within ten minutes while the module {module} ran in this channel; it is off until an \
             operator enables it: `POST /api/v1/channels/KEY/modules/{module}/enable`"
        ),
        What::Started { node_id } => {
            format!("the node {node_id} started; what was said before was not seen by it")
        }
        What::Line(line) | What::CommandLine(line) => format!("{user} wrote: {}", line.text),
    }
}

fn ended(command: &str, module: Option<&str>, (user, level): (&str, Level), outcome: &Outcome) -> String {
    let module = module.unwrap_or("none");
    match outcome {
        Outcome::Answered => format!("was answered by the module {module}"),
        Outcome::Silent => format!("was done by the module {module}, which had nothing to say"),
        Outcome::Refused { refusal: Refusal::Level { needed } } => format!(
            "was refused: it needs the level {needed}, {user} has {level}; lower it with \
             `!command options {command} -ul={level}`"
        ),
        Outcome::Refused { refusal } => format!("was refused: {}", refused(command, refusal)),
        Outcome::Failed => format!(
            "failed in the module {module}; the log file has the reason, `waddlebot modules` its breaker"
        ),
        Outcome::TimedOut => {
            format!("took longer than limits.module_timeout_ms in the module {module} and was stopped")
        }
        Outcome::Shed => "was shed: a queue on its way was full".to_owned(),
        Outcome::Moved => "was not begun: the channel ended or moved to another node".to_owned(),
    }
}

fn refused(command: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unknown { command } => {
            format!("there is no such command or alias; add it with `!addcom {command} <text>`")
        }
        Refusal::ModuleDisabled { module } => {
            format!(
                "the module {module} is switched off in this channel; an operator enables it over the API"
            )
        }
        Refusal::CommandDisabled { command } => {
            format!("it is switched off; switch it on with `!command enable {command}`")
        }
        Refusal::Cooldown { seconds_left } => format!(
            "it was cooling down, {seconds_left} s were left; moderators pass, and \
             `!command options {command} -cd=0` removes the cooldown"
        ),
        Refusal::RateLimited { seconds_left } => format!(
            "that user used it more often than limits.command_rate allows, {seconds_left} s were left"
        ),
        Refusal::Unavailable { module, retry_at } => format!(
            "the module {module} rested after failures{}; `waddlebot modules` shows its breaker",
            retry_at.map_or_else(String::new, |at| format!(" until {}", time(at)))
        ),
        Refusal::Busy { module } => format!("too many calls waited for the module {module}"),
        Refusal::Level { needed } => format!("it needs the level {needed}"),
        Refusal::Usage { usage } => format!("the arguments do not fit; type `!{usage}`"),
        Refusal::AliasDepth => {
            format!("the alias goes more than three deep; remove it with `!alias remove {command}`")
        }
        Refusal::NotLoaded => {
            "the channel's commands could not be read in time: the database was slow".to_owned()
        }
    }
}

fn dropped(why: &str) -> &str {
    match why {
        "stale" => "it was older than limits.reply_max_age_secs when its turn came",
        "send_queue" => "more replies waited for this channel than platforms.twitch.send_queue holds",
        "node_budget" => "the replies of all channels took more than limits.send_budget_mib",
        "connection_lost" => "its connection was lost before it was written",
        "anonymous" => "the bot has no token and can only read; set platforms.twitch.bot_token",
        "channel_removed" => "the channel was removed",
        "caller_gone" => "who asked over HTTP had gone",
        "too_many_replies" => "an answer over HTTP holds at most 16 replies",
        "no_whispers" => "Twitch takes no whispers from chat bots",
        "unknown_target" => "it was for a channel that this node does not serve",
        other => other,
    }
}

fn shed_advice(reason: &str) -> &'static str {
    match reason {
        "channel_full" => "more came than limits.channel_mailbox holds",
        "node_budget" => "all channels together took more than limits.data_budget_mib",
        _ => "the process was near its memory ceiling, limits.max_rss_mib",
    }
}

/// What follows from what was found.
pub(super) fn conclusion(asked: Asked, records: &[Logged], context: &[Logged]) -> Vec<String> {
    if !asked.is_on {
        return vec![
            "the event log is off; set telemetry.event_log_days to 1 or more and start again".to_owned(),
        ];
    }
    let mut told = Vec::new();
    let is = |what: fn(&What) -> bool| records.iter().any(|logged| what(&logged.record.what));
    let is_answered = is(|what| matches!(what, What::Ended { outcome: Outcome::Answered, .. }));
    let is_sent =
        is(|what| matches!(what, What::Send { state: SendState::Written | SendState::Dropped, .. }));
    if is_answered && !is_sent {
        told.push(
            "no reply has been written yet; if it waits, the platform's send limit is the reason".to_owned(),
        );
    }
    if records.is_empty() && asked.is_narrow {
        told.push(format!(
            "nothing is in the log: the line was no command (a plain line leaves nothing), or it is older than {} days, \
             or it never reached the bot",
            asked.kept.num_days()
        ));
        told.push(if context.is_empty() {
            "no gap of the connection and no shed line is in the log, so it was most likely no command"
                .to_owned()
        } else {
            "compare its time with the gaps, starts and shed lines below".to_owned()
        });
    }
    // The newest word about gaps says whether the channel is read.
    let newest_gap = context.iter().find(|logged| matches!(logged.record.what, What::Gap { .. }));
    if let Some(What::Gap { from, to: None, .. }) = newest_gap.map(|logged| &logged.record.what) {
        told.push(format!("the channel has not been read since {}", time(*from)));
    }
    told
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

fn millis(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1_000.0)
}

#[cfg(test)]
mod tests;
