//! Exact limits whose key spans nodes: per user, per address. What belongs to a channel is limited by the channel.
//!
//! With Redis all nodes share one sliding window a key; without it each has its share of the limit in its own memory.
//! A limit never opens by an error: where it is unknown what was taken – Redis went away or was emptied – the window
//! counts as spent, once, and begins anew when it is over.
//!
//! What holds: within any window at most `slots` pass while all nodes see the same Redis, and at most the node's share
//! on a node without it. When Redis is back a node stays within its share until the others are back too and their
//! last window alone is over. The share is the limit divided by the nodes that live; it shrinks at once and grows a
//! window after a node went. A node that came, or is cut off alone, adds its share once at that change. Redis must
//! not evict keys of this database (`maxmemory-policy noeviction`, its default).

pub mod account_budgets;

mod in_process;
mod in_redis;
mod purse;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::in_process::LocalWindows;
use self::in_redis::SharedWindows;
use crate::redis::Redis;

/// So many in any window of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name in keys and metrics, such as `http_per_ip`.
    pub resource: &'static str,
    /// 0: no limit.
    pub slots: u32,
    pub window: Duration,
}

/// No slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many, try again in {} s", self.retry_after_secs())]
pub struct Exceeded {
    /// When one may be.
    pub retry_after: Duration,
}

impl Exceeded {
    /// Whole seconds for `Retry-After`, at least 1.
    pub fn retry_after_secs(&self) -> u32 {
        u32::try_from(self.retry_after.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
    }
}

/// How much later than this node another may notice that Redis is back: a few of its attempts to connect.
const RETURN_SKEW: Duration = Duration::from_secs(5);

/// Who counts, of a node that has a Redis configured.
#[derive(Clone, Copy, Debug)]
enum Counting {
    Together,
    /// Redis is away.
    Alone {
        since: Instant,
    },
    /// Redis is back, other nodes may not know it yet.
    TogetherAgain {
        since: Instant,
    },
}

/// Takes slots, in Redis or in this process.
pub struct Limiter {
    /// `None`: no Redis is configured.
    shared: Option<SharedWindows>,
    local: LocalWindows,
    counting: Mutex<Counting>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("counting", &self.counting).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Who the other nodes are is not known yet: alone nothing passes.
    pub const NODES_UNKNOWN: u32 = u32::MAX;

    /// Shares windows through `redis`; `n_nodes` share a limit when it is away.
    pub fn new(redis: Option<Redis>, n_nodes: u32) -> Self {
        Self {
            shared: redis.map(SharedWindows::new),
            local: LocalWindows::new(n_nodes),
            counting: Mutex::new(Counting::Together),
        }
    }

    /// So many nodes share a limit from now on while Redis is away.
    pub fn set_nodes(&self, n_nodes: u32) {
        self.local.set_nodes(n_nodes);
    }

    /// Takes one slot of `key`.
    ///
    /// # Errors
    /// When none is free, and when one will be; nothing was taken.
    pub async fn take(&self, limit: &Limit, key: &str) -> Result<(), Exceeded> {
        if limit.slots == 0 {
            return Ok(());
        }
        let taken = match &self.shared {
            None => self.local.take(limit, key, None),
            Some(shared) => self.take_shared(shared, limit, key).await,
        };
        if taken.is_err() {
            metrics::counter!("waddlebot_rate_limit_exceeded_total",
                "service" => "waddlebot", "resource" => limit.resource)
            .increment(1);
        }
        taken
    }

    async fn take_shared(&self, shared: &SharedWindows, limit: &Limit, key: &str) -> Result<(), Exceeded> {
        // Asked before Redis, so that who has used up the share takes no slot from the others.
        if self.keeps_to_share(limit)
            && let Some(retry_after) = self.local.free_at(limit, key)
        {
            return Err(Exceeded { retry_after });
        }
        match shared.take(limit, key).await {
            Ok(taken) => {
                self.count_together();
                taken?;
                if self.keeps_to_share(limit) { self.local.take(limit, key, None) } else { Ok(()) }
            }
            Err(error) => {
                tracing::debug!(%error, resource = limit.resource, "a limit is counted by this node alone");
                self.local.take(limit, key, Some(self.count_alone()))
            }
        }
    }

    /// Whether others may count alone, or did so within that window.
    fn keeps_to_share(&self, limit: &Limit) -> bool {
        match *self.counting() {
            Counting::Together => false,
            Counting::Alone { .. } => true,
            Counting::TogetherAgain { since } => since.elapsed() < limit.window + RETURN_SKEW,
        }
    }

    fn count_together(&self) {
        let mut counting = self.counting();
        if matches!(*counting, Counting::Alone { .. }) {
            *counting = Counting::TogetherAgain { since: Instant::now() };
        }
    }

    /// Says since when this node counts by itself.
    fn count_alone(&self) -> Instant {
        let mut counting = self.counting();
        if let Counting::Alone { since } = *counting {
            return since;
        }
        let since = Instant::now();
        *counting = Counting::Alone { since };
        since
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
