//! How actors ask for children and background work. Supervision implements it: actors ask, supervision spawns.

use std::fmt;
use std::sync::Arc;

use domain::ChannelId;
use futures_util::future::BoxFuture;
use ractor::ActorRef;

use super::ChannelMsg;

/// A wish for a module actor. Its answer is [`ChannelMsg::ModuleUp`], or [`ChannelMsg::ModuleDown`] when it did not start.
#[derive(Clone, Debug)]
pub struct ModuleRequest {
    pub channel_id: ChannelId,
    pub module: &'static str,
    /// The channel's count of starts of this module; tells a late `ModuleDown` from a fresh one.
    pub generation: u64,
    /// Who is told.
    pub channel: ActorRef<ChannelMsg>,
}

/// What supervision does for actors. Cheap to clone behind an `Arc`; calls return at once.
pub trait Spawner: fmt::Debug + Send + Sync + 'static {
    /// Starts a module actor under the modules' supervisor.
    fn start_module(&self, request: ModuleRequest);

    /// Starts the actor of a channel whose lane is filled, unless it runs or is parked.
    fn activate_channel(&self, channel_id: ChannelId);

    /// Runs `work` to its end on the runtime, tracked, so that a soft stop waits for it.
    fn detach(&self, name: &'static str, work: BoxFuture<'static, ()>);
}

/// A shared spawner.
pub type SharedSpawner = Arc<dyn Spawner>;
