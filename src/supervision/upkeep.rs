//! The node's housekeeping: lets idle actors go, samples queues, prunes what is no longer needed.
//!
//! Receives: its own ticks. Sends: `Sweep` to running channels. Owns: a snapshot of the channels and how far it is in it.
//! Dies: never by itself.
//!
//! It never looks at all channels at once: with many thousands of them that would hold up chat for milliseconds.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Platform;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::StorageError;

use crate::actors::Services;
use crate::cluster::ChannelSlot;
use crate::messages::{ByteBudget, ChannelMsg};
use crate::telemetry::metric_names::SERVICE;

const TICK: Duration = Duration::from_millis(100);
/// Every channel's queue is sampled once in so many ticks: a second.
const SAMPLE_TICKS: usize = 10;
/// Every running channel is told to look after itself once in so many ticks: ten seconds.
const SWEEP_TICKS: usize = 100;
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// Op ids, and messages that are done, are kept longer than any source redelivers.
const OPS_KEPT: TimeDelta = TimeDelta::hours(48);
/// Dead letters wait for an operator for so long.
const DEAD_KEPT: TimeDelta = TimeDelta::days(30);
/// Reminders that are over are shown for so long.
const REMINDERS_KEPT: TimeDelta = TimeDelta::days(90);
/// And shoutouts.
const SHOUTOUTS_KEPT: TimeDelta = TimeDelta::days(365);
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
    Tick,
    Prune,
}

/// How far the rounds are.
#[derive(Debug, Default)]
pub struct Round {
    tick: usize,
    /// The channels as they were when the round of sampling began. One that comes in between is met a round later.
    slots: Vec<Arc<ChannelSlot>>,
    /// Running channels met in this round, by platform.
    active: [u32; Platform::ALL.len()],
}

impl Actor for Upkeep {
    type Msg = UpkeepMsg;
    type State = Round;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<UpkeepMsg>, (): ()) -> Result<Round, ActorProcessingErr> {
        myself.send_interval(TICK, || UpkeepMsg::Tick);
        myself.send_interval(PRUNE_EVERY, || UpkeepMsg::Prune);
        Ok(Round::default())
    }

    async fn handle(
        &self,
        _: ActorRef<UpkeepMsg>,
        message: UpkeepMsg,
        round: &mut Round,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            UpkeepMsg::Tick => self.tick(round),
            UpkeepMsg::Prune => self.prune().await,
        }
        Ok(())
    }
}

impl Upkeep {
    fn tick(&self, round: &mut Round) {
        let sampling = round.tick % SAMPLE_TICKS;
        if sampling == 0 {
            round.slots = self.services.directory.all();
            round.active = Default::default();
        }
        let depth = metrics::histogram!("waddlebot_mailbox_depth");
        for slot in slice(&round.slots, sampling, SAMPLE_TICKS) {
            depth.record(slot.lane.in_flight() as f64);
            if slot.actor().is_some() {
                round.active[slot.platform as usize] += 1;
            }
        }
        for slot in slice(&round.slots, round.tick, SWEEP_TICKS) {
            if let Some(actor) = slot.actor() {
                // A channel that is just ending needs no sweep.
                drop(actor.cast(ChannelMsg::Sweep));
            }
        }
        if sampling == SAMPLE_TICKS - 1 {
            self.publish(round);
        }
        round.tick = (round.tick + 1) % SWEEP_TICKS;
    }

    fn publish(&self, round: &Round) {
        self.services.directory.end_recordings(self.services.clock.now());
        metrics::gauge!("waddlebot_channels_owned").set(round.slots.len() as f64);
        for platform in Platform::ALL {
            metrics::gauge!("waddlebot_active_channels", "service" => SERVICE, "platform" => platform.as_str())
                .set(f64::from(round.active[platform as usize]));
        }
        for (name, budget) in [("data", self.services.directory.budget()), ("sends", &self.send_budget)] {
            metrics::gauge!("waddlebot_budget_used_bytes", "budget" => name).set(budget.used() as f64);
            metrics::gauge!("waddlebot_budget_limit_bytes", "budget" => name).set(budget.limit() as f64);
        }
        for pool in self.services.db.pool_gauges() {
            metrics::gauge!("waddlebot_db_connections", "service" => SERVICE, "pool" => pool.pool, "state" => "idle")
                .set(f64::from(pool.idle));
            metrics::gauge!("waddlebot_db_connections", "service" => SERVICE, "pool" => pool.pool, "state" => "in_use")
                .set(f64::from(pool.in_use));
            metrics::gauge!("waddlebot_db_pool_waiting", "service" => SERVICE, "pool" => pool.pool)
                .set(f64::from(pool.waiting));
            metrics::counter!("waddlebot_db_pool_timeouts_total", "service" => SERVICE, "pool" => pool.pool)
                .absolute(pool.n_timeouts);
        }
    }

    /// Removes what is old, step by step, so that nobody waits long for the writer.
    async fn prune(&self) {
        for old in [Old::OpIds, Old::Messages, Old::Suspects, Old::Cooldowns, Old::Reminders, Old::Shoutouts]
        {
            let mut pruned = u64::from(PRUNED_MAX);
            let mut total = 0;
            while pruned == u64::from(PRUNED_MAX) {
                match self.prune_step(old).await {
                    Ok(n) => pruned = n,
                    Err(error) => {
                        tracing::warn!(%error, ?old, "cannot remove what is old, trying again in ten minutes");
                        return;
                    }
                }
                total += pruned;
                tokio::time::sleep(PRUNE_PAUSE).await;
            }
            tracing::debug!(pruned = total, ?old, "what is old was removed");
        }
    }

    async fn prune_step(&self, old: Old) -> Result<u64, StorageError> {
        let db = &self.services.db;
        match old {
            Old::OpIds => storage::prune_ops(db, self.services.clock.now() - OPS_KEPT, PRUNED_MAX).await,
            Old::Suspects => storage::suspects::prune(db, PRUNED_MAX).await,
            Old::Cooldowns => storage::cooldowns::prune(db, self.services.clock.now(), PRUNED_MAX).await,
            Old::Reminders => {
                storage::reminders::prune(db, self.services.clock.now() - REMINDERS_KEPT, PRUNED_MAX).await
            }
            Old::Shoutouts => {
                storage::shoutouts::prune(db, self.services.clock.now() - SHOUTOUTS_KEPT, PRUNED_MAX).await
            }
            Old::Messages => {
                let (kept, dead_kept) = (OPS_KEPT.num_milliseconds(), DEAD_KEPT.num_milliseconds());
                storage::queue::prune(db, kept, dead_kept, PRUNED_MAX).await
            }
        }
    }
}

/// What grows old.
#[derive(Clone, Copy, Debug)]
enum Old {
    OpIds,
    Messages,
    Suspects,
    Cooldowns,
    Reminders,
    Shoutouts,
}

/// The part of a list that is met in one of `n_ticks` ticks: each element in exactly one of them.
fn slice<T>(all: &[T], tick: usize, n_ticks: usize) -> &[T] {
    &all[all.len() * tick / n_ticks..all.len() * (tick + 1) / n_ticks]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_is_met_once_in_a_round() {
        for n_channels in [0, 1, 7, 100, 12_345] {
            let all: Vec<usize> = (0..n_channels).collect();
            for n_ticks in [SAMPLE_TICKS, SWEEP_TICKS] {
                let met: Vec<usize> =
                    (0..n_ticks).flat_map(|tick| slice(&all, tick, n_ticks)).copied().collect();
                assert_eq!(met, all);
            }
        }
    }
}
