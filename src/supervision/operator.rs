//! What an operator may ask of the node over the API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::ChannelId;
use futures_util::future::BoxFuture;
use membership::{Input, OwnedKey};
use ractor::rpc::CallResult;
use tokio_util::sync::CancellationToken;

use super::spawner::NodeSpawner;
use super::supervisor::{ChildId, SupervisorMsg};
use crate::actors::queued_events::QueuedEvents;
use crate::actors::{Services, replay};
use crate::cluster::{Directory, Member};
use crate::messages::{ChannelMsg, ChatEvent, NotDelivered, Operator, PartReport, ReplayAsk, ReplayPage};
use crate::queue::HandleError;

/// An answer that takes longer is given up.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

pub struct NodeOperator {
    pub spawner: Arc<NodeSpawner>,
    pub directory: Arc<Directory>,
    /// For replays, which ask the gate.
    pub services: Arc<Services>,
    /// `None`: the node is alone.
    pub member: Option<Member>,
    /// Cancelled to begin a soft stop.
    pub drain: CancellationToken,
}

impl fmt::Debug for NodeOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOperator").finish_non_exhaustive()
    }
}

impl Operator for NodeOperator {
    fn restart_channel(&self, channel_id: ChannelId) -> BoxFuture<'static, Result<(), String>> {
        let (channels, slot) = (self.spawner.channels.load_full(), self.directory.get(channel_id));
        Box::pin(async move {
            let channels = channels.ok_or("the channels' supervisor is being restarted; try again")?;
            let slot = slot.ok_or("that channel is not here any more")?;
            if let Some(actor) = slot.actor() {
                // It works off what it has; the next event starts it anew.
                drop(actor.cast(ChannelMsg::Drain));
                return Ok(());
            }
            let unpark = |reply| SupervisorMsg::Unpark(ChildId::Channel(channel_id), reply);
            channels.call(unpark, Some(ASK_TIMEOUT)).await.map(drop).map_err(|error| error.to_string())
        })
    }

    fn parts(&self) -> BoxFuture<'static, Vec<PartReport>> {
        let root = self.spawner.root.load_full();
        Box::pin(async move {
            let Some(root) = root else { return Vec::new() };
            match root.call(SupervisorMsg::List, Some(ASK_TIMEOUT)).await {
                Ok(CallResult::Success(parts)) => parts,
                _ => Vec::new(),
            }
        })
    }

    fn replay(
        &self,
        channel_id: ChannelId,
        ask: ReplayAsk,
    ) -> BoxFuture<'static, Result<ReplayPage, String>> {
        let (services, slot) = (Arc::clone(&self.services), self.directory.get(channel_id));
        Box::pin(async move {
            let slot = slot.ok_or("that channel is not here any more")?;
            replay::replay(&services, &slot, ask).await
        })
    }

    fn deliver(&self, event: ChatEvent) -> BoxFuture<'static, Result<(), NotDelivered>> {
        let (directory, clock) = (Arc::clone(&self.directory), self.services.clock.clone());
        Box::pin(async move {
            let events = QueuedEvents { directory, clock, gateway: None };
            let retry = |error: &HandleError| matches!(error, HandleError::Retry(_));
            let delivered = events.deliver(event).await;
            delivered.map_err(|error| NotDelivered { retry: retry(&error), why: error.to_string() })
        })
    }

    fn freed(&self, keys: Vec<OwnedKey>) -> BoxFuture<'static, ()> {
        let member = self.member.clone();
        Box::pin(async move {
            if let Some(member) = member {
                member.tell(Input::Freed(keys)).await;
            }
        })
    }

    fn drain(&self) {
        self.drain.cancel();
    }
}
