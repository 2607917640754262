//! The queue: at-least-once delivery of rows in SQL, in 64 partitions, with retries and dead letters.
//!
//! The row is the message (`storage::queue`); a [`Doorbell`] only says that there is one, and a reader that nobody rang
//! for finds it within [`Policy::look_every`]. A [`ReaderSpec`] runs the reader, which hands
//! messages to the [`Handler`] of their topic. docs/queue.md says what is promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::PartitionSet;
use storage::queue::{NewMessage, Stored};
use storage::{Db, StorageError};
use tokio::sync::watch;

mod claiming;
mod doorbell;
mod handler;
mod in_flight;
mod meters;
mod reader;
mod stream_bell;

pub use doorbell::Doorbell;
pub use handler::{HandleError, Handler};
pub use reader::ReaderSpec;
pub use stream_bell::StreamBell;

/// Topic of events from the router API that their caller does not wait for; a body is a `ChatEvent`.
pub const ROUTER_EVENTS: &str = "router_events";

/// Messages that may wait in the whole queue; more are refused.
const BACKLOG_MAX: i64 = 1_000_000;

/// Attempts to store while another transaction is in the way.
const STORE_ATTEMPTS_MAX: u32 = 3;

/// The times of a reader.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long nobody else gets a claimed message.
    pub lease: Duration,
    /// Longest run of a handler; less than `lease`.
    pub handler_timeout: Duration,
    /// Wait before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// How often a reader looks for what nobody rang for, what is due again and what a dead reader left.
    pub look_every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            handler_timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
            look_every: Duration::from_millis(500),
        }
    }
}

/// Where messages are stored and rung for. One a node, shared.
#[derive(Debug)]
pub struct Queue {
    db: Db,
    bell: Doorbell,
    /// Partitions whose reader is in this process; a cluster hands them out.
    owned: watch::Receiver<PartitionSet>,
    /// Rings in other processes. `None` without Redis: their readers find what is new by looking.
    far_bell: Option<StreamBell>,
    /// What waited when the reader last counted.
    backlog: AtomicI64,
}

impl Queue {
    /// A queue in `db`, of which this process reads the `owned` partitions.
    pub fn new(db: Db, owned: watch::Receiver<PartitionSet>) -> Arc<Self> {
        Arc::new(Self::with_far_bell(db, owned, None))
    }

    /// A queue that also rings in other processes.
    pub fn with_far_bell(db: Db, owned: watch::Receiver<PartitionSet>, far_bell: Option<StreamBell>) -> Self {
        Self { db, bell: Doorbell::default(), owned, far_bell, backlog: AtomicI64::new(0) }
    }

    /// Stores messages and rings for them; returns those that were not stored before.
    ///
    /// # Errors
    /// [`StorageError::Busy`] (a retry helps) also when a million messages wait already.
    pub async fn enqueue(&self, messages: &[NewMessage]) -> Result<Vec<Stored>, StorageError> {
        if self.backlog.load(Ordering::Relaxed) >= BACKLOG_MAX {
            return Err(StorageError::Busy);
        }
        let mut attempt = 1;
        let stored = loop {
            match self.store(messages).await {
                // Two batches with the same ids in different orders may meet in a deadlock.
                Err(StorageError::Busy) if attempt < STORE_ATTEMPTS_MAX => attempt += 1,
                stored => break stored?,
            }
        };
        self.ring(&stored);
        Ok(stored)
    }

    async fn store(&self, messages: &[NewMessage]) -> Result<Vec<Stored>, StorageError> {
        let mut tx = self.db.begin().await?;
        let stored = storage::queue::enqueue(&mut tx, messages).await?;
        tx.commit().await?;
        Ok(stored)
    }

    /// Rings for messages whose transaction is committed. Returns at once; a ring that gets lost costs time only.
    pub fn ring(&self, stored: &[Stored]) {
        let owned = *self.owned.borrow();
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            stored.iter().partition(|message| owned.contains(message.partition));
        self.bell.ring(here.into_iter().map(|message| message.partition).collect());
        if let Some(far_bell) = &self.far_bell {
            for message in elsewhere {
                far_bell.ring(message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
