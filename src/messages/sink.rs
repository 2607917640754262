//! Where the replies of an event go: a platform's sender, or a collector that an HTTP handler awaits.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use domain::{ChannelId, CorrelationId, Outcome};

use super::{Permit, Reply};

/// A reply on its way out, with what its sender needs to know.
#[derive(Clone, Debug)]
pub struct OutboundReply {
    pub channel_id: ChannelId,
    pub reply: Reply,
    /// The platform's id of the message that is answered; `None` when nothing is answered (a timer).
    pub in_reply_to: Option<String>,
    /// When the event was received: the start of `reply_latency_seconds`, and of the reply's age.
    pub received: Instant,
    pub correlation_id: CorrelationId,
    /// Comes back to the channel's bound when the last part is written or given up.
    pub permit: Option<Arc<Permit>>,
}

/// The end of an event, told once to where it came from.
#[derive(Clone, Debug)]
pub struct Completion {
    pub outcome: Outcome,
    /// The command's name; `None` when the event was no command.
    pub command: Option<Arc<str>>,
    /// The module that ran; `None` when none did.
    pub module: Option<&'static str>,
}

/// Takes replies. Both calls return at once: an implementation queues within its bound or drops and counts.
pub trait ReplySink: fmt::Debug + Send + Sync + 'static {
    /// Takes one reply. Replies of one module in one channel arrive in the order of their commands.
    fn deliver(&self, reply: OutboundReply);

    /// Says that no further reply of this event comes.
    fn done(&self, completion: &Completion);

    /// Whether replies leave for good here: then those of an effect stand in the outbox until they are written, and
    /// a repeat says nothing. Otherwise somebody waits for an answer and gets it again with each repeat.
    fn is_outlet(&self) -> bool {
        false
    }
}
