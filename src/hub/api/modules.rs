//! `GET /api/v1/modules`: the modules of this build and how they are, in one channel or over all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::cluster::ChannelSlot;
use crate::hub::answer::{ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{describe, key_of, slot_of};
use crate::hub::everywhere::{Everywhere, Missing, Others};
use crate::hub::input::Queried;
use crate::hub::peers;
use crate::hub::router::Hub;
use crate::messages::{CommandInfo, ModuleReport};

/// Channels asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// Most channels asked for one answer; the newest of the others do not change the picture.
const ASKED_MAX: usize = 2_000;

/// Time for all of them together; less than other nodes are waited for.
const ASKING_TIMEOUT: Duration = Duration::from_millis(1500);

/// Which modules are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct ModulesQuery {
    /// Only how they are in this channel.
    channel: Option<String>,
}

/// A module and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ModuleLine {
    name: &'static str,
    description: &'static str,
    #[schema(value_type = Vec<Object>)]
    commands: Vec<CommandInfo>,
    #[serde(flatten)]
    tally: Tally,
}

/// How all instances of a module are.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct Tally {
    /// Channels in which it runs.
    running: usize,
    /// Channels in which it is switched off.
    disabled: usize,
    /// The worst breaker of all its instances: CLOSED, `HALF_OPEN`, OPEN or DISABLED.
    breaker: String,
    /// Breaker state → number of instances.
    breakers: BTreeMap<String, usize>,
    /// Seconds until the breaker lets a probe through; null unless it is open, and over all channels the longest.
    retry_in_secs: Option<u64>,
    restarts: u64,
    failures: u64,
    /// Commands waiting for it.
    waiting: usize,
}

/// The modules.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ModuleList {
    modules: Vec<ModuleLine>,
    /// True when a node or some channels did not answer in time, or there are too many to ask.
    partial: bool,
    /// The nodes that did not answer.
    missing: Vec<String>,
    /// Channels of the others whose state is not in here.
    missing_channels: usize,
}

/// What another node says of its channels.
#[derive(Deserialize)]
struct PartOfList {
    modules: Vec<PartOfModule>,
    missing_channels: usize,
}

#[derive(Deserialize)]
struct PartOfModule {
    name: String,
    #[serde(flatten)]
    tally: Tally,
}

/// Lists the modules.
#[utoipa::path(get, path = "/api/v1/modules", tag = "operators", params(ModulesQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "The modules.", body = Envelope<ModuleList>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope),
    (status = 503, description = "The channel's node does not answer.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    everywhere: Everywhere,
    Queried(query): Queried<ModulesQuery>,
) -> Result<Response, ApiError> {
    let Some(key) = query.channel else {
        let others = everywhere.parts(&hub);
        let (here, others) = tokio::join!(count(hub.deps.directory.all()), others);
        return Ok(ok(shown(&hub, here, others)).into_response());
    };
    match peers::elsewhere(&hub, &key_of(&key)?) {
        Some(peer) if !everywhere.only_here() => {
            peers::forward(&hub, &peer, everywhere.call(peers::FORWARD_LIMIT)).await
        }
        _ => {
            let here = count(vec![slot_of(&hub, &key)?]).await;
            let nobody = Others { parts: Vec::new(), missing: Missing::default() };
            Ok(ok(shown(&hub, here, nobody)).into_response())
        }
    }
}

/// What these channels say of their modules, and how many of them said nothing.
async fn count(slots: Vec<Arc<ChannelSlot>>) -> (BTreeMap<String, Tally>, usize) {
    let mut running: Vec<_> = slots.into_iter().filter(|slot| slot.actor().is_some()).collect();
    let n_running = running.len();
    let mut n_answered = 0;
    running.truncate(ASKED_MAX);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut asked = stream::iter(running)
        .map(|slot| async move { describe(&slot).await })
        .buffer_unordered(ASKED_AT_ONCE)
        .take_until(Box::pin(tokio::time::sleep(ASKING_TIMEOUT)));
    while let Some(answer) = asked.next().await {
        // A silent channel is counted as missing: the others' state is worth an answer.
        let Ok(report) = answer else { continue };
        n_answered += 1;
        for module in report.iter().flat_map(|report| &report.modules) {
            tallies.entry(module.module.to_owned()).or_default().add(Tally::from(module));
        }
    }
    (tallies, n_running - n_answered)
}

/// The modules of this build with what all nodes say of them.
fn shown(
    hub: &Hub,
    (mut tallies, mut missing_channels): (BTreeMap<String, Tally>, usize),
    others: Others<PartOfList>,
) -> ModuleList {
    for (_, part) in others.parts {
        missing_channels += part.missing_channels;
        for module in part.modules {
            tallies.entry(module.name).or_default().add(module.tally);
        }
    }
    let modules = hub.deps.modules.iter().map(|info| ModuleLine {
        name: info.name,
        description: info.description,
        commands: info.commands.clone(),
        tally: tallies.remove(info.name).unwrap_or_default().settled(),
    });
    let Missing { partial, missing } = others.missing;
    let partial = partial || missing_channels > 0;
    ModuleList { modules: modules.collect(), partial, missing, missing_channels }
}

impl From<&ModuleReport> for Tally {
    /// What one channel says.
    fn from(report: &ModuleReport) -> Self {
        Self {
            running: usize::from(report.running),
            disabled: usize::from(!report.enabled),
            breaker: report.breaker.to_owned(),
            breakers: BTreeMap::from([(report.breaker.to_owned(), 1)]),
            retry_in_secs: report.retry_in_secs,
            restarts: report.restarts,
            failures: report.failures,
            waiting: report.waiting,
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.running += other.running;
        self.disabled += other.disabled;
        for (state, n) in other.breakers {
            *self.breakers.entry(state).or_default() += n;
        }
        if badness(&other.breaker) > badness(&self.breaker) {
            self.breaker = other.breaker;
        }
        self.retry_in_secs = self.retry_in_secs.max(other.retry_in_secs);
        self.restarts += other.restarts;
        self.failures += other.failures;
        self.waiting += other.waiting;
    }

    /// A module that runs nowhere has nothing against it.
    fn settled(mut self) -> Self {
        if self.breaker.is_empty() {
            "CLOSED".clone_into(&mut self.breaker);
        }
        self
    }
}

fn badness(breaker: &str) -> u8 {
    match breaker {
        "DISABLED" => 4,
        "OPEN" => 3,
        "HALF_OPEN" => 2,
        "CLOSED" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(breaker: &'static str, restarts: u64) -> ModuleReport {
        ModuleReport {
            module: "ping",
            enabled: true,
            running: true,
            breaker,
            retry_in_secs: (breaker == "OPEN").then_some(5),
            restarts,
            failures: 1,
            waiting: 0,
        }
    }

    #[test]
    fn the_worst_breaker_of_all_channels_is_shown_with_the_sums() {
        let mut line = Tally::default();
        for one in [report("CLOSED", 0), report("OPEN", 3), report("HALF_OPEN", 1)] {
            line.add(Tally::from(&one));
        }
        assert_eq!((line.breaker.as_str(), line.restarts, line.failures, line.running), ("OPEN", 4, 3, 3));
        assert_eq!(line.retry_in_secs, Some(5));
        assert_eq!(line.breakers["CLOSED"], 1);
    }
}
