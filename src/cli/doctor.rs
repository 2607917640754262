//! `waddlebot doctor`: looks at everything a node needs and says, a sentence each, what to do.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::output::{Failure, print_json, say, visible};
use super::{Env, NodeArgs};
use crate::config::Config;

mod clock;
mod data_folder;
mod node;
mod reachability;
mod redis;
mod storage;
mod tokens;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, but not for long or not well.
    Warn,
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    verdict: Verdict,
    /// What was looked at, in one or two words.
    name: &'static str,
    /// What was found; what to do where that is not `ok`.
    message: String,
}

impl Finding {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, name, message: message.into() }
    }

    fn warn(name: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, name, message: message.into() }
    }

    fn fail(name: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, name, message: message.into() }
    }
}

/// Twitch's limit since 2024-06-26, for verified bots too: channels that one account may be in at once.
const TWITCH_CHANNELS_MAX: usize = 100;

/// Looks at everything; fails when something is broken.
pub(super) async fn examine(config: Option<&Path>, args: &NodeArgs, env: Env) -> Result<(), Failure> {
    let findings = match Config::load(config, env.clone().into_iter()) {
        Ok(config) => examine_config(&config, args, &env).await,
        Err(errors) => errors
            .problems
            .iter()
            .map(|problem| Finding::fail("configuration", problem.to_string()))
            .collect(),
    };
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
    if args.json {
        print_json(&json!({ "healthy": is_well, "checks": findings }));
    } else {
        for Finding { verdict, name, message } in &findings {
            say(format_args!("{:<4}  {name}: {}", verdict.as_str(), visible(message)));
        }
    }
    if is_well { Ok(()) } else { Err(Failure::Printed) }
}

async fn examine_config(config: &Config, args: &NodeArgs, env: &Env) -> Vec<Finding> {
    let mut findings = configuration(config);
    let running = node::look(args, env).await;
    findings.push(data_folder::look(config));
    let storage = storage::look(config).await;
    findings.extend(storage.findings);
    findings.push(redis::look(config).await);
    let twitch = &config.platforms.twitch;
    if let Some(finding) = twitch_channels(twitch.channels.len(), storage.n_twitch_channels) {
        findings.push(finding);
    }
    let http = match tokens::http_client(config) {
        Ok(http) => http,
        Err(finding) => {
            findings.push(finding);
            findings.push(running);
            return findings;
        }
    };
    let (token, hosts, remote) =
        tokio::join!(tokens::look(config, &http), reachability::look(config), clock::remote(config, &http));
    findings.push(token);
    findings.extend(hosts);
    findings.push(clock::judge(remote, storage.database_time));
    findings.push(running);
    findings
}

fn configuration(config: &Config) -> Vec<Finding> {
    let source = match &config.source {
        Some(path) => path.display().to_string(),
        None => "no file, which is fine: the defaults and the environment".to_owned(),
    };
    let mut findings = vec![Finding::ok("configuration", source)];
    findings.extend(config.warnings.iter().map(|warning| Finding::warn("configuration", warning)));
    if config.platforms.twitch.channels.is_empty() {
        findings.push(Finding::ok(
            "twitch",
            "no channel is configured; set platforms.twitch.channels, bot_login and bot_token to be on Twitch",
        ));
    }
    findings
}

/// More channels than one account may be in: the rest would stay silent without a word from Twitch.
fn twitch_channels(n_configured: usize, n_stored: Option<usize>) -> Option<Finding> {
    let n_channels = n_configured.max(n_stored.unwrap_or(0));
    (n_channels > TWITCH_CHANNELS_MAX).then(|| {
        Finding::warn(
            "twitch channels",
            format!(
                "{n_channels} channels, but Twitch lets one account be in {TWITCH_CHANNELS_MAX} at once; make the bot \
                 moderator in the others (those do not count), or use a second account"
            ),
        )
    })
}

/// The time a database or a server told, and when it was asked by our clock.
#[derive(Clone, Copy, Debug)]
struct TheirTime {
    theirs: DateTime<Utc>,
    ours: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hundred_and_first_twitch_channel_is_warned_of() {
        assert_eq!(twitch_channels(100, Some(100)), None);
        let finding = twitch_channels(3, Some(101)).unwrap();
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(
            finding.message.contains("101 channels") && finding.message.contains("moderator in the others")
        );
    }
}
