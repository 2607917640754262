//! The node's housekeeping: lets idle actors go, samples queues, prunes what is no longer needed.
//!
//! Receives: its own ticks. Sends: `Sweep` to running channels. Owns: nothing. Dies: never by itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Platform;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::actors::Services;
use crate::messages::{ByteBudget, ChannelMsg};
use crate::telemetry::metric_names::SERVICE;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// Op ids are kept longer than any source redelivers.
const OPS_KEPT: TimeDelta = TimeDelta::hours(48);
/// Between two prunes of a backlog, so that others get at the writer.
const PRUNE_PAUSE: Duration = Duration::from_millis(100);
/// Rows removed by one prune, so that it never holds the writer for long.
const PRUNED_MAX: u32 = 1_000;

#[derive(Debug)]
pub struct Upkeep {
    pub services: Arc<Services>,
    /// Shared by all senders.
    pub send_budget: Arc<ByteBudget>,
}

#[derive(Clone, Copy, Debug)]
pub enum UpkeepMsg {
    Sample,
    Sweep,
    Prune,
}

impl Actor for Upkeep {
    type Msg = UpkeepMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<UpkeepMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.send_interval(SAMPLE_EVERY, || UpkeepMsg::Sample);
        myself.send_interval(SWEEP_EVERY, || UpkeepMsg::Sweep);
        myself.send_interval(PRUNE_EVERY, || UpkeepMsg::Prune);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<UpkeepMsg>,
        message: UpkeepMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            UpkeepMsg::Sample => self.sample(),
            UpkeepMsg::Sweep => self.sweep(),
            UpkeepMsg::Prune => self.prune().await,
        }
        Ok(())
    }
}

impl Upkeep {
    fn sample(&self) {
        let slots = self.services.directory.all();
        metrics::gauge!("waddlebot_channels_owned").set(slots.len() as f64);
        for platform in Platform::ALL {
            let active =
                slots.iter().filter(|slot| slot.platform == platform && slot.actor().is_some()).count();
            metrics::gauge!("waddlebot_active_channels", "service" => SERVICE, "platform" => platform.as_str())
                .set(active as f64);
        }
        let depth = metrics::histogram!("waddlebot_mailbox_depth");
        slots.iter().map(|slot| slot.lane.in_flight()).for_each(|n| depth.record(n as f64));
        for (name, budget) in [("data", self.services.directory.budget()), ("sends", &self.send_budget)] {
            metrics::gauge!("waddlebot_budget_used_bytes", "budget" => name).set(budget.used() as f64);
            metrics::gauge!("waddlebot_budget_limit_bytes", "budget" => name).set(budget.limit() as f64);
        }
        for pool in self.services.db.pool_gauges() {
            metrics::gauge!("waddlebot_db_connections", "service" => SERVICE, "pool" => pool.pool, "state" => "idle")
                .set(f64::from(pool.idle));
            metrics::gauge!("waddlebot_db_connections", "service" => SERVICE, "pool" => pool.pool, "state" => "in_use")
                .set(f64::from(pool.in_use));
        }
    }

    fn sweep(&self) {
        for slot in self.services.directory.all() {
            if let Some(actor) = slot.actor() {
                // A channel that is just ending needs no sweep.
                drop(actor.cast(ChannelMsg::Sweep));
            }
        }
    }

    async fn prune(&self) {
        let before = self.services.clock.now() - OPS_KEPT;
        let mut pruned = u64::from(PRUNED_MAX);
        let mut total = 0;
        while pruned == u64::from(PRUNED_MAX) {
            match storage::prune_ops(&self.services.db, before, PRUNED_MAX).await {
                Ok(n) => pruned = n,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove old op ids, trying again in ten minutes");
                    return;
                }
            }
            total += pruned;
            tokio::time::sleep(PRUNE_PAUSE).await;
        }
        tracing::debug!(pruned = total, "old op ids removed");
    }
}
