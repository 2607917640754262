//! `GET /api/v1/modules`: the modules of this build and how they are, in one channel or over all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::cluster::ChannelSlot;
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{describe, slot_of};
use crate::hub::input::Queried;
use crate::hub::router::Hub;
use crate::messages::{CommandInfo, ModuleReport};

/// Channels asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// Most channels asked for one answer; the newest of the others do not change the picture.
const ASKED_MAX: usize = 2_000;

/// Time for all of them together.
const ASKING_TIMEOUT: Duration = Duration::from_secs(3);

/// Which modules are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct ModulesQuery {
    /// Only how they are in this channel.
    channel: Option<String>,
}

/// A module and how it is.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::hub) struct ModuleLine {
    name: &'static str,
    description: &'static str,
    #[schema(value_type = Vec<Object>)]
    commands: Vec<CommandInfo>,
    /// Channels in which it runs.
    running: usize,
    /// Channels in which it is switched off.
    disabled: usize,
    /// The worst breaker of all its instances: CLOSED, `HALF_OPEN`, OPEN or DISABLED.
    breaker: &'static str,
    /// Breaker state → number of instances.
    breakers: BTreeMap<&'static str, usize>,
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
    /// True when some channels did not answer in time, or there are too many to ask.
    partial: bool,
    /// Channels whose state is not in here.
    missing: usize,
}

/// Lists the modules.
#[utoipa::path(get, path = "/api/v1/modules", tag = "operators", params(ModulesQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "The modules.", body = Envelope<ModuleList>),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    Queried(query): Queried<ModulesQuery>,
) -> Answered<ModuleList> {
    let slots: Vec<Arc<ChannelSlot>> = match query.channel {
        Some(key) => vec![slot_of(&hub, &key)?],
        None => hub.deps.directory.all(),
    };
    let mut running: Vec<_> = slots.into_iter().filter(|slot| slot.actor().is_some()).collect();
    let n_running = running.len();
    let mut n_answered = 0;
    running.truncate(ASKED_MAX);
    let mut lines: BTreeMap<&'static str, ModuleLine> = BTreeMap::new();
    let mut asked = stream::iter(running)
        .map(|slot| async move { describe(&slot).await })
        .buffer_unordered(ASKED_AT_ONCE)
        .take_until(Box::pin(tokio::time::sleep(ASKING_TIMEOUT)));
    while let Some(answer) = asked.next().await {
        // A silent channel is counted as missing: the others' state is worth an answer.
        let Ok(report) = answer else { continue };
        n_answered += 1;
        for module in report.iter().flat_map(|report| &report.modules) {
            lines.entry(module.module).or_default().count(module);
        }
    }
    let missing = n_running - n_answered;
    let modules = hub.deps.modules.iter().map(|info| ModuleLine {
        name: info.name,
        description: info.description,
        commands: info.commands.clone(),
        ..lines.remove(info.name).unwrap_or_default().settled()
    });
    ok(ModuleList { modules: modules.collect(), partial: missing > 0, missing })
}

impl ModuleLine {
    /// Adds what one channel says.
    fn count(&mut self, report: &ModuleReport) {
        self.running += usize::from(report.running);
        self.disabled += usize::from(!report.enabled);
        *self.breakers.entry(report.breaker).or_default() += 1;
        if badness(report.breaker) > badness(self.breaker) {
            self.breaker = report.breaker;
        }
        self.retry_in_secs = self.retry_in_secs.max(report.retry_in_secs);
        self.restarts += report.restarts;
        self.failures += report.failures;
        self.waiting += report.waiting;
    }

    /// A module that runs nowhere has nothing against it.
    fn settled(mut self) -> Self {
        if self.breaker.is_empty() {
            self.breaker = "CLOSED";
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
        let mut line = ModuleLine::default();
        for one in [report("CLOSED", 0), report("OPEN", 3), report("HALF_OPEN", 1)] {
            line.count(&one);
        }
        assert_eq!((line.breaker, line.restarts, line.failures, line.running), ("OPEN", 4, 3, 3));
        assert_eq!(line.retry_in_secs, Some(5));
        assert_eq!(line.breakers[&"CLOSED"], 1);
    }
}
