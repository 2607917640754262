//! What the hub may ask of the node itself. Supervision implements it.

use std::fmt;

use domain::ChannelId;
use futures_util::future::BoxFuture;
use membership::OwnedKey;
use serde::{Deserialize, Serialize};

use super::{ChatEvent, ReplayAsk, ReplayPage};

/// A part of the node as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    pub child: String,
    /// running, waiting or parked.
    pub state: &'static str,
    pub crashes: u64,
}

/// Why an event of another node was not handled here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDelivered {
    pub why: String,
    /// Another attempt may help.
    pub retry: bool,
}

/// Deeds of an operator that reach beyond one channel's actor. Callers put a time limit on them.
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// Ends a channel's actor, if any, forgets that it was parked, and starts it anew. The error is a sentence.
    fn restart_channel(&self, channel_id: ChannelId) -> BoxFuture<'static, Result<(), String>>;

    /// The node's parts and how they are, in the order of their names; empty when the root does not answer.
    fn parts(&self) -> BoxFuture<'static, Vec<PartReport>>;

    /// Runs recorded lines of a channel through today's configuration; sends and writes nothing. The error is a sentence.
    fn replay(&self, channel_id: ChannelId, ask: ReplayAsk)
    -> BoxFuture<'static, Result<ReplayPage, String>>;

    /// Puts an event of another node into its channel here and waits for its end.
    fn deliver(&self, event: ChatEvent) -> BoxFuture<'static, Result<(), NotDelivered>>;

    /// Another node released these keys for this one.
    fn freed(&self, keys: Vec<OwnedKey>) -> BoxFuture<'static, ()>;

    /// Begins a soft stop of the node: no new events, what is under way is finished.
    fn drain(&self);
}
