//! What an operator may ask of supervision over the API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ChannelId;

use super::spawner::NodeSpawner;
use super::supervisor::{ChildId, SupervisorMsg};
use crate::messages::Operator;

/// An answer that takes longer is given up.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct NodeOperator {
    pub spawner: Arc<NodeSpawner>,
}

#[async_trait]
impl Operator for NodeOperator {
    /// Starts a parked channel at once. `false` when it was not parked.
    async fn restart_channel(&self, channel_id: ChannelId) -> bool {
        let Some(channels) = self.spawner.channels.load_full() else { return false };
        let ask = |reply| SupervisorMsg::Unpark(ChildId::Channel(channel_id), reply);
        ractor::call_t!(channels, ask, ASK_TIMEOUT.as_millis() as u64).unwrap_or(false)
    }
}
