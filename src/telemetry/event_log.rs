//! The event log as one: what is in the node's memory and what is in the store.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::TimeDelta;
use domain::ChannelId;
use storage::{EventFilter, EventRow, EventStore, StorageError, StorageOptions};

use crate::messages::{EventRecord, Logged, Recorder, What};

/// The store's time for one question; what is in memory is told in any case.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Memory and store together.
#[derive(Debug)]
pub struct EventLog {
    pub recorder: Arc<Recorder>,
    /// How long records are kept; zero = the log is off.
    pub kept: TimeDelta,
    options: StorageOptions,
    file: PathBuf,
    /// `None` until the writer could open it.
    store: ArcSwapOption<EventStore>,
}

/// Records, and whether the store told what it has.
#[derive(Debug)]
pub struct Told {
    pub records: Vec<Logged>,
    /// False when only the node's memory answered.
    pub is_complete: bool,
}

impl EventLog {
    /// A log in `file`, or in the database that the options name; it is opened by its writer.
    pub fn new(recorder: Arc<Recorder>, kept: TimeDelta, options: StorageOptions, file: PathBuf) -> Self {
        Self { recorder, kept, options, file, store: ArcSwapOption::empty() }
    }

    /// The store, opened if need be.
    pub(super) async fn open(&self) -> Result<Arc<EventStore>, StorageError> {
        if let Some(store) = self.store.load_full() {
            return Ok(store);
        }
        let store = Arc::new(EventStore::open(&self.options, &self.file).await?);
        self.store.store(Some(Arc::clone(&store)));
        Ok(store)
    }

    /// The newest records of a channel before an id, the newest first.
    pub async fn newest(
        &self,
        channel_id: ChannelId,
        filter: EventFilter<'_>,
        before: i64,
        limit: u32,
    ) -> Told {
        let of_message = |record: &EventRecord| {
            filter.message_id.is_none_or(|id| !id.is_empty() && *record.message_id == *id)
        };
        let of_user = |record: &EventRecord| {
            filter.message_id.is_some() || filter.user_login.is_none_or(|login| *record.user_login == *login)
        };
        let here = self.recorder.newest(0..before, limit as usize, |record| {
            record.channel_id == Some(channel_id) && of_message(record) && of_user(record)
        });
        let stored = self.ask(async |store| store.newest(channel_id, filter, before, limit).await).await;
        let mut told = merge(here, stored);
        told.records.reverse();
        told.records.truncate(limit as usize);
        told
    }

    /// Gaps, shed lines, starts and losses that concern the channel, the newest first.
    pub async fn context(&self, channel_id: ChannelId, limit: u32) -> Told {
        let here = self.recorder.newest(0..i64::MAX, limit as usize, |record| {
            record.what.is_context() && record.channel_id.is_none_or(|id| id == channel_id)
        });
        let mut told = merge(here, self.ask(async |store| store.context(channel_id, limit).await).await);
        told.records.reverse();
        told.records.truncate(limit as usize);
        told
    }

    /// Records that belong to the same events as `records` and lie between them or at most a minute later, oldest first.
    pub async fn companions(&self, channel_id: ChannelId, records: &[Logged]) -> Told {
        let ids: HashSet<_> = records.iter().filter_map(|logged| logged.record.correlation_id).collect();
        let (first, last) = records
            .iter()
            .fold((i64::MAX, i64::MIN), |(first, last), logged| (first.min(logged.id), last.max(logged.id)));
        if ids.is_empty() {
            return Told { records: Vec::new(), is_complete: true };
        }
        let until =
            storage::event_log::event_id(storage::event_log::event_time(last) + TimeDelta::minutes(1), 0);
        let here = self.recorder.newest(first..until, storage::event_log::ROWS_MAX as usize, |record| {
            record.channel_id == Some(channel_id) && record.correlation_id.is_some_and(|id| ids.contains(&id))
        });
        let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let range = (first, until);
        merge(here, self.ask(async |store| store.correlated(channel_id, range, &names).await).await)
    }

    /// Recorded lines that may be commands, after one id and up to another, oldest first.
    pub async fn command_lines(&self, channel_id: ChannelId, (after, to): (i64, i64), limit: u32) -> Told {
        let here =
            self.recorder.newest(after.saturating_add(1)..to.saturating_add(1), usize::MAX, |record| {
                record.channel_id == Some(channel_id) && matches!(record.what, What::CommandLine(_))
            });
        let stored = self.ask(async |store| store.command_lines(channel_id, (after, to), limit).await).await;
        let mut told = merge(here, stored);
        told.records.truncate(limit as usize);
        told
    }

    async fn ask(
        &self,
        question: impl AsyncFnOnce(&EventStore) -> Result<Vec<EventRow>, StorageError>,
    ) -> Option<Vec<EventRow>> {
        let store = self.store.load_full()?;
        match tokio::time::timeout(READ_TIMEOUT, question(&store)).await {
            Ok(Ok(rows)) => Some(rows),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the event log cannot be read");
                None
            }
            Err(_) => {
                tracing::warn!("reading the event log took over 3 s");
                None
            }
        }
    }
}

/// Each record once, the oldest first.
fn merge(here: Vec<Logged>, stored: Option<Vec<EventRow>>) -> Told {
    let is_complete = stored.is_some();
    let mut records: BTreeMap<i64, Arc<EventRecord>> = BTreeMap::new();
    for row in stored.unwrap_or_default() {
        let id = row.id;
        // A row of another version is left out.
        if let Some(record) = EventRecord::from_row(row) {
            records.insert(id, Arc::new(record));
        }
    }
    records.extend(here.into_iter().map(|logged| (logged.id, logged.record)));
    let records = records.into_iter().map(|(id, record)| Logged { id, record }).collect();
    Told { records, is_complete }
}
