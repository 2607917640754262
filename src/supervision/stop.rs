//! Stopping softly: read no further, finish what is there, send it, close.

use std::time::Duration;

use ractor::ActorRef;

use super::Node;
use super::supervisor::SupervisorMsg;
use crate::actors::outbox;

/// A node of a cluster first hands everything over to the others, 200 channels a second.
const LEAVE_WITHIN: Duration = Duration::from_secs(12);
/// Each step of a soft stop; all together stay under 20 s.
const CHANNELS_WITHIN: Duration = Duration::from_secs(6);
const MODULES_WITHIN: Duration = Duration::from_secs(2);
const PLATFORMS_WITHIN: Duration = Duration::from_secs(6);
const REST_WITHIN: Duration = Duration::from_secs(2);
const STORAGE_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    /// Drains the node in the order of a chat line: sources, channels, modules, senders, storage.
    pub async fn stop(self) {
        if let Some(clustering) = &self.clustering {
            tracing::info!("stopping: handing everything over");
            clustering.leave(LEAVE_WITHIN).await;
        }
        tracing::info!("stopping: reading no further, finishing what is there");
        if self.root.cast(SupervisorMsg::Freeze).is_err() {
            tracing::warn!("the root supervisor is gone already");
        }
        self.stop_reading.cancel();
        drain("channels", self.spawner.channels.load_full().as_deref(), CHANNELS_WITHIN).await;
        drain("modules", self.spawner.modules.load_full().as_deref(), MODULES_WITHIN).await;
        drain("platforms", self.spawner.platforms.load_full().as_deref(), PLATFORMS_WITHIN).await;
        self.stop_hub.cancel();
        drain("node", Some(&self.root), REST_WITHIN).await;
        self.spawner.tasks.close();
        if tokio::time::timeout(REST_WITHIN, self.spawner.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.spawner.tasks.len(), "background work did not end in time");
        }
        if tokio::time::timeout(REST_WITHIN, outbox::write_ends(&self.services)).await.is_err() {
            tracing::warn!("which of the last replies left could not be written down in time");
        }
        if tokio::time::timeout(STORAGE_WITHIN, self.services.db.close()).await.is_err() {
            tracing::warn!("the storage did not close in time");
        }
        tracing::info!("stopped");
    }
}

async fn drain(name: &'static str, supervisor: Option<&ActorRef<SupervisorMsg>>, within: Duration) {
    let Some(supervisor) = supervisor else { return };
    let ask = |reply| SupervisorMsg::Drain { within, reply };
    let grace = within + Duration::from_millis(500);
    match supervisor.call(ask, Some(grace)).await {
        Ok(ractor::rpc::CallResult::Success(0)) => tracing::debug!(part = name, "drained"),
        Ok(ractor::rpc::CallResult::Success(killed)) => {
            tracing::warn!(part = name, killed, "drained, some were killed");
        }
        other => tracing::warn!(part = name, ?other, "did not drain in time"),
    }
}
