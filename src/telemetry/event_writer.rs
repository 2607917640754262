//! Takes what is new in the node's memory to the event log's store, in batches, and removes what is too old.
//!
//! Nobody waits for it: when the store does not answer, records stay in memory until the oldest have to go, which leaves
//! a mark.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::{EventRow, EventStore, StorageError};
use tokio_util::sync::CancellationToken;

use super::event_log::EventLog;
use crate::messages::Clock;

/// Often, so that each batch is short: on few cores chat waits while one is written.
const FLUSH_EVERY: Duration = Duration::from_millis(125);
/// Rows of one turn: what comes faster for long is dropped, so that writing it never takes the node's time.
const BATCH_ROWS_MAX: usize = 1_000;
const BURSTS_EVERY: Duration = Duration::from_secs(1);
/// The store's time for one batch.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// A store that cannot be opened or written is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// Rows removed at once, and between two such removals.
const PRUNED_MAX: u32 = 1_000;
const PRUNE_PAUSE: Duration = Duration::from_millis(100);
/// A trouble that lasts is logged again after this.
const SAY_AGAIN_AFTER: Duration = Duration::from_mins(10);

/// The writer. One a node.
#[derive(Debug)]
pub struct EventWriter {
    log: Arc<EventLog>,
    clock: Clock,
    not_before: Option<Instant>,
    prune_at: Instant,
    /// When a trouble was last logged; `None`: all is well.
    said_at: Option<Instant>,
}

impl EventWriter {
    pub fn new(log: Arc<EventLog>, clock: Clock) -> Self {
        Self { log, clock, not_before: None, prune_at: Instant::now(), said_at: None }
    }

    /// Writes until `stop` is cancelled, then once more.
    pub async fn run(mut self, stop: CancellationToken) {
        if !self.log.recorder.is_on() {
            return stop.cancelled().await;
        }
        let mut interval = tokio::time::interval(FLUSH_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut bursts_at = Instant::now() + BURSTS_EVERY;
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => break,
            }
            if Instant::now() >= bursts_at {
                self.log.recorder.close_bursts();
                bursts_at = Instant::now() + BURSTS_EVERY;
            }
            self.turn().await;
        }
        self.log.recorder.close_bursts();
        self.not_before = None;
        self.turn().await;
        if let Ok(store) = self.log.open().await {
            store.close().await;
        }
    }

    async fn turn(&mut self) {
        let now = Instant::now();
        if self.not_before.is_some_and(|at| now < at) {
            return;
        }
        let done = match self.log.open().await {
            Ok(store) => self.write(&store).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                self.not_before = None;
                if self.said_at.take().is_some() {
                    tracing::info!("the event log is written again");
                }
            }
            Err(error) => self.trouble(&error, now),
        }
    }

    async fn write(&mut self, store: &EventStore) -> Result<(), StorageError> {
        self.append(store).await?;
        if Instant::now() >= self.prune_at {
            self.prune(store).await?;
        }
        Ok(())
    }

    async fn append(&self, store: &EventStore) -> Result<(), StorageError> {
        let batch = self.log.recorder.unwritten(BATCH_ROWS_MAX);
        let Some(last) = batch.last().map(|logged| logged.id) else { return Ok(()) };
        let rows: Vec<EventRow> = batch.iter().map(|logged| logged.record.to_row(logged.id)).collect();
        match within(Box::pin(store.append(&rows))).await {
            Ok(()) => {}
            // No later attempt would take this batch: the log goes on without it.
            Err(StorageError::Invalid { detail }) => {
                tracing::error!(detail, "a batch of the event log was refused");
                self.log.recorder.lose(batch.len());
            }
            Err(error @ StorageError::Full { .. }) => {
                // The file is as large as it may be: the oldest records go. On a disk that is full this fails, too.
                within(Box::pin(store.shrink(PRUNED_MAX))).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        self.log.recorder.written(last);
        Ok(())
    }

    async fn prune(&mut self, store: &EventStore) -> Result<(), StorageError> {
        let before = self.clock.now() - self.log.kept;
        let n_pruned = within(store.prune(before, PRUNED_MAX)).await?;
        // A backlog goes on soon, after what is new was written.
        let pause = if n_pruned == u64::from(PRUNED_MAX) { PRUNE_PAUSE } else { PRUNE_EVERY };
        self.prune_at = Instant::now() + pause;
        Ok(())
    }

    fn trouble(&mut self, error: &StorageError, now: Instant) {
        self.not_before = Some(now + RETRY_AFTER);
        if self.said_at.is_none_or(|at| now - at >= SAY_AGAIN_AFTER) {
            self.said_at = Some(now);
            let advice = error.advice();
            tracing::warn!(%error, advice, "the event log cannot be written; commands are not concerned");
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    tokio::time::timeout(WRITE_TIMEOUT, work).await.unwrap_or(Err(StorageError::Timeout))
}
