//! What the hub may ask of the node itself. Supervision implements it.

use std::fmt;

use domain::ChannelId;
use futures_util::future::BoxFuture;

/// Deeds of an operator that reach beyond one channel's actor. Callers put a time limit on them.
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// Ends a channel's actor, if any, forgets that it was parked, and starts it anew. The error is a sentence.
    fn restart_channel(&self, channel_id: ChannelId) -> BoxFuture<'static, Result<(), String>>;

    /// Begins a soft stop of the node: no new events, what is under way is finished.
    fn drain(&self);
}
