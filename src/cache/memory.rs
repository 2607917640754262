//! The memory of this process, bounded in bytes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

/// What an entry costs beside key and value.
const ENTRY_BYTES: usize = 128;

/// A value, or the news that there is none.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None`: there is none.
    value: Option<Arc<dyn Any + Send + Sync>>,
    bytes: u32,
    pub ttl: Duration,
}

impl Entry {
    pub fn new<T: Send + Sync + 'static>(value: Option<T>, bytes: usize, ttl: Duration) -> Self {
        let value = value.map(|value| Arc::new(value) as Arc<dyn Any + Send + Sync>);
        Self { value, bytes: u32::try_from(bytes + ENTRY_BYTES).unwrap_or(u32::MAX), ttl }
    }

    pub fn value<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = Arc::clone(self.value.as_ref()?);
        Some(value.downcast().unwrap_or_else(|_| unreachable!("each kind of cache has one type")))
    }
}

/// An entry as it was found.
pub(super) struct Found {
    pub entry: Entry,
    /// Whether it was not in memory.
    pub is_new: bool,
}

pub(super) struct Memory {
    entries: Cache<String, Entry>,
    /// How often something was forgotten.
    n_changes: AtomicU64,
}

impl Memory {
    pub fn new(bytes_max: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &String, entry: &Entry| entry.bytes)
            .expire_after(OwnTtl)
            .build();
        Self { entries, n_changes: AtomicU64::new(0) }
    }

    pub async fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).await
    }

    pub async fn get_or_make<E: Send + Sync + 'static>(
        &self,
        key: &str,
        make: impl Future<Output = Result<Entry, E>>,
    ) -> Result<Found, Arc<E>> {
        let found = self.entries.entry_by_ref(key).or_try_insert_with(make).await?;
        Ok(Found { is_new: found.is_fresh(), entry: found.into_value() })
    }

    pub fn n_changes(&self) -> u64 {
        self.n_changes.load(Ordering::SeqCst)
    }

    pub async fn forget(&self, key: &str) {
        self.entries.invalidate(key).await;
    }

    /// Forgets what begins with `prefix`. What is being loaded meanwhile sees the change and does not stay.
    pub async fn forget_all(&self, prefix: &str) {
        self.n_changes.fetch_add(1, Ordering::SeqCst);
        let keys: Vec<_> =
            self.entries.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).collect();
        for key in keys {
            self.entries.invalidate(key.as_ref()).await;
        }
    }

    /// Waits until what is too much is gone.
    #[cfg(test)]
    pub async fn settle(&self) {
        self.entries.run_pending_tasks().await;
    }

    pub fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}

/// Every entry brings its own time to live.
struct OwnTtl;

impl Expiry<String, Entry> for OwnTtl {
    fn expire_after_create(&self, _key: &String, entry: &Entry, _at: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }
}
