//! How events ended, for a caller who asks again because the answer did not reach it.

use std::sync::Arc;
use std::time::Duration;

use domain::recent_ids::IDS_TTL;
use domain::{ChannelId, CorrelationId};
use moka::sync::Cache;

use crate::messages::{Completion, Reply};

/// As long as a channel knows that the event came before.
const KEPT: Duration = IDS_TTL;
/// The oldest go first; an answer that is gone is a `duplicate` without its words.
const BYTES_MAX: u64 = 4 << 20;
/// About what an entry costs beside its texts.
const ENTRY_BYTES: usize = 400;

/// A channel and the caller's id of an event.
pub(super) type AskedAs = (ChannelId, Box<str>);

/// How an event ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub session_id: CorrelationId,
    pub completion: Completion,
    pub replies: Vec<Reply>,
}

/// The answers of the last ten minutes.
#[derive(Debug)]
pub(super) struct Answered(Cache<AskedAs, Arc<Ended>>);

impl Default for Answered {
    fn default() -> Self {
        let weigh = |(_, id): &AskedAs, ended: &Arc<Ended>| {
            let texts: usize = ended.replies.iter().map(|reply| reply.text.len() + ENTRY_BYTES).sum();
            u32::try_from(id.len() + texts + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().time_to_live(KEPT).max_capacity(BYTES_MAX).weigher(weigh).build())
    }
}

impl Answered {
    pub fn keep(&self, asked_as: AskedAs, ended: Ended) {
        self.0.insert(asked_as, Arc::new(ended));
    }

    /// `None`: it has not ended, or too long ago, or in another process.
    pub fn get(&self, asked_as: &AskedAs) -> Option<Arc<Ended>> {
        self.0.get(asked_as)
    }
}

/// One event's place among the answers.
#[derive(Debug)]
pub(super) struct Place {
    pub answered: Arc<Answered>,
    pub asked_as: AskedAs,
    pub session_id: CorrelationId,
}

impl Place {
    pub fn keep(self, completion: Completion, replies: Vec<Reply>) {
        let Self { answered, asked_as, session_id } = self;
        answered.keep(asked_as, Ended { session_id, completion, replies });
    }
}
