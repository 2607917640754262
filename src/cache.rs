//! What is dear to find out and may be a little old: in memory, with Redis behind it when one is configured.
//!
//! A [`Cache`] holds one kind of value; all kinds of a node share the memory of one [`Caches`], bounded in bytes. A value
//! is looked for in memory, then in Redis, then loaded, once however many ask for the same key at the same time. That
//! there is none is remembered too. Nothing is older than its time to live, whatever fails; [`Cache::invalidate`] ends
//! it earlier on every node while Redis is there. After any gap in hearing the others, the whole memory is dropped.
//!
//! Redis slow, gone, full or answering nonsense only means that it is not used: the memory goes on alone.

mod memory;
mod news;
mod remote;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::memory::{Entry, Memory};
use self::remote::Remote;
use crate::redis::Redis;

/// How one kind of value is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Name in keys and metrics, such as `twitch_users`; each kind has its own and keeps its type.
    pub name: &'static str,
    /// Longest age of a value, ±10 %.
    pub ttl: Duration,
    /// Longest age of the news that there is none, ±10 %.
    pub negative_ttl: Duration,
}

/// The memory that all kinds share, and what connects it to other nodes.
#[derive(Clone)]
pub struct Caches(Arc<Inner>);

struct Inner {
    memory: Arc<Memory>,
    /// `None`: no Redis is configured.
    remote: Option<Arc<Remote>>,
    /// Ends the listening to other nodes.
    _listening: DropGuard,
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Caches {
    /// Keeps at most `bytes_max` in memory and listens to other nodes in the background.
    pub fn start(redis: Option<Redis>, bytes_max: u64, background: &TaskTracker) -> Self {
        let (memory, stop) = (Arc::new(Memory::new(bytes_max)), CancellationToken::new());
        let remote = redis.map(|redis| Arc::new(Remote::new(redis)));
        if let Some(remote) = &remote {
            let listening = news::listen(Arc::clone(remote), Arc::clone(&memory));
            background.spawn(stop.clone().run_until_cancelled_owned(listening));
        }
        Self(Arc::new(Inner { memory, remote, _listening: stop.drop_guard() }))
    }

    /// The cache of one kind.
    pub fn of<T>(&self, keeping: Keeping) -> Cache<T> {
        Cache { caches: self.clone(), meters: Arc::new(Meters::new(keeping.name)), keeping, of: PhantomData }
    }

    /// What all values in memory weigh, as JSON with their keys.
    pub fn bytes(&self) -> u64 {
        self.0.memory.bytes()
    }
}

/// One kind of value. Cheap to clone.
pub struct Cache<T> {
    caches: Caches,
    keeping: Keeping,
    meters: Arc<Meters>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self {
            caches: self.caches.clone(),
            keeping: self.keeping,
            meters: Arc::clone(&self.meters),
            of: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("keeping", &self.keeping).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Cache<T> {
    /// The value of `key`; `None` where `load` says that there is none. `load` runs only when nobody knows, and for all
    /// who wait together. `T` must not itself be JSON's `null`.
    ///
    /// # Errors
    /// What `load` said; errors are not kept, the next caller loads anew.
    pub async fn get<E: Send + Sync + 'static>(
        &self,
        key: &str,
        load: impl Future<Output = Result<Option<T>, E>> + Send,
    ) -> Result<Option<Arc<T>>, Arc<E>> {
        let (memory, full_key) = (&self.caches.0.memory, self.full_key(key));
        if let Some(entry) = memory.get(&full_key).await {
            self.meters.count(true);
            return Ok(entry.value());
        }
        let changes_before = memory.n_changes();
        let found = memory.get_or_make(&full_key, Box::pin(self.find(&full_key, load))).await?;
        self.meters.count(!found.is_new);
        if found.is_new && memory.n_changes() != changes_before {
            // It may be from before the change that was told meanwhile.
            memory.forget(&full_key).await;
        }
        Ok(found.entry.value())
    }

    /// Puts values into memory that are not there yet, at the start.
    pub async fn warm(&self, values: impl IntoIterator<Item = (String, T)>) {
        for (key, value) in values {
            let full_key = self.full_key(&key);
            let made = async { Ok::<_, std::convert::Infallible>(self.entry(Some(value), &full_key).0) };
            drop(self.caches.0.memory.get_or_make(&full_key, made).await);
        }
    }

    /// Forgets every key that begins with `prefix` (empty: all of this kind), here at once and on the other nodes as
    /// soon as Redis tells them. Call it after the change was committed. While Redis is away the others keep what they
    /// have for its time to live.
    pub async fn invalidate(&self, prefix: &str) {
        let full_prefix = self.full_key(prefix);
        self.caches.0.memory.forget_all(&full_prefix).await;
        if let Some(remote) = &self.caches.0.remote {
            remote.forget_all(&full_prefix).await;
            // Who asked between the two may have read the old value from Redis.
            self.caches.0.memory.forget_all(&full_prefix).await;
        }
    }

    /// Looks behind the memory.
    async fn find<E>(
        &self,
        full_key: &str,
        load: impl Future<Output = Result<Option<T>, E>> + Send,
    ) -> Result<Entry, E> {
        let Some(remote) = &self.caches.0.remote else {
            return Ok(self.entry(load.await?, full_key).0);
        };
        let read = remote.read::<T>(full_key).await;
        if let Some(kept) = read.kept {
            return Ok(Entry::new(kept.value, full_key.len() + kept.json_bytes, kept.ttl));
        }
        let (entry, json) = self.entry(load.await?, full_key);
        if let (Some(version), Some(json)) = (read.version, json) {
            remote.write(full_key, json, entry.ttl, version).await;
        }
        Ok(entry)
    }

    /// An entry and its JSON; `None` where it has none, which then stays in this process.
    fn entry(&self, value: Option<T>, full_key: &str) -> (Entry, Option<String>) {
        let ttl = if value.is_some() { self.keeping.ttl } else { self.keeping.negative_ttl };
        let ttl = ttl.mul_f64(jitter(full_key));
        let json = serde_json::to_string(&value).ok();
        let bytes = full_key.len() + json.as_ref().map_or(0, String::len);
        (Entry::new(value, bytes, ttl), json)
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}:{key}", self.keeping.name)
    }
}

/// 0.9 to 1.1, by the key, so that what was loaded together does not end together.
fn jitter(full_key: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    full_key.hash(&mut hasher);
    0.9 + (hasher.finish() % 1_001) as f64 / 5_000.0
}

/// Hits and misses of one kind; the handles are made once, so that a hit stays cheap.
struct Meters {
    n_hits: AtomicU64,
    n_misses: AtomicU64,
    hits: metrics::Counter,
    misses: metrics::Counter,
    ratio: metrics::Gauge,
}

impl Meters {
    fn new(name: &'static str) -> Self {
        Self {
            n_hits: AtomicU64::new(0),
            n_misses: AtomicU64::new(0),
            hits: metrics::counter!("waddlebot_cache_hits_total", "service" => "waddlebot", "cache_name" => name),
            misses: metrics::counter!("waddlebot_cache_misses_total", "service" => "waddlebot", "cache_name" => name),
            ratio: metrics::gauge!("waddlebot_cache_hit_ratio", "service" => "waddlebot", "cache_name" => name),
        }
    }

    fn count(&self, is_hit: bool) {
        let (number, counter) =
            if is_hit { (&self.n_hits, &self.hits) } else { (&self.n_misses, &self.misses) };
        number.fetch_add(1, Ordering::Relaxed);
        counter.increment(1);
        let (hits, misses) = (self.n_hits.load(Ordering::Relaxed), self.n_misses.load(Ordering::Relaxed));
        self.ratio.set(hits as f64 / (hits + misses) as f64);
    }
}

#[cfg(test)]
mod tests;
