//! The doorbell between processes: a Redis stream a partition, which carries ids and nothing else.
//!
//! Nothing is kept there. Streams are trimmed, entries are read without acknowledgement, and while Redis is away or slow
//! nobody waits for it: a reader finds in SQL what nobody rang for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use domain::{Partition, PartitionSet};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy};
use fred::types::streams::XReadResponse;
use storage::queue::Stored;
use tokio::sync::{Mutex, mpsc};

use super::Queue;

const STREAM: &str = "waddlebot:stream:queue:";
const GROUP: &str = "readers";

/// Entries kept in one stream, about.
const STREAM_LEN_MAX: i64 = 1_000;
/// Rings that may wait to be sent; more are dropped.
const RINGS_WAITING_MAX: usize = 4_096;
/// Rings sent together.
const RINGS_TOGETHER_MAX: usize = 512;
/// Ids of one entry; the reader asks SQL anyway.
const IDS_PER_ENTRY_MAX: usize = 64;
/// Longest wait for new entries, and so for a change of the owned partitions.
const READ_FOR: Duration = Duration::from_secs(1);
/// Between two attempts while Redis is away.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
const RECONNECT_MS_MIN: u32 = 50;
const RECONNECT_MS_MAX: u32 = 2_000;

/// Rings for partitions that other processes read, and hears their rings.
pub struct StreamBell {
    writer: Client,
    /// A connection of its own: it waits for entries.
    reader: Client,
    /// Longest wait for an answer to a ring.
    timeout: Duration,
    rings: mpsc::Sender<(Partition, i64)>,
    /// Held by the part that sends; a restarted one goes on with it.
    unsent: Mutex<mpsc::Receiver<(Partition, i64)>>,
}

impl fmt::Debug for StreamBell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBell").finish_non_exhaustive()
    }
}

impl StreamBell {
    /// A bell at that address. Its clients connect, and connect again, by themselves.
    ///
    /// # Errors
    /// When the address is none.
    pub fn connect(url: &str, timeout: Duration) -> Result<Self, Error> {
        let mut builder = Builder::from_config(Config::from_url(url)?);
        builder.set_policy(ReconnectPolicy::new_exponential(0, RECONNECT_MS_MIN, RECONNECT_MS_MAX, 2));
        let (writer, reader) = (builder.build()?, builder.build()?);
        for client in [&writer, &reader] {
            // Ends with the last handle on its client.
            drop(client.connect());
        }
        let (rings, unsent) = mpsc::channel(RINGS_WAITING_MAX);
        Ok(Self { writer, reader, timeout, rings, unsent: Mutex::new(unsent) })
    }

    /// Rings soon; a ring that finds no room is dropped.
    pub(super) fn ring(&self, message: &Stored) {
        if self.rings.try_send((message.partition, message.id)).is_err() {
            tracing::trace!(message.id = message.id, "too many rings wait, one is dropped");
        }
    }

    /// Sends rings and hears those of others, until it is dropped.
    pub(super) async fn run(&self, queue: &Queue, name: &str) {
        tokio::join!(self.send(), self.hear(queue, name));
    }

    async fn send(&self) {
        let mut unsent = self.unsent.lock().await;
        let mut rings = Vec::new();
        while unsent.recv_many(&mut rings, RINGS_TOGETHER_MAX).await > 0 {
            let mut entries: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
            for (partition, id) in rings.drain(..) {
                let ids = entries.entry(partition).or_default();
                if ids.len() < IDS_PER_ENTRY_MAX {
                    ids.push(id.to_string());
                }
            }
            match tokio::time::timeout(self.timeout, self.append(entries)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "Redis took no ring"),
                Err(_elapsed) => tracing::debug!("Redis took no ring in time"),
            }
        }
    }

    async fn append(&self, entries: BTreeMap<Partition, Vec<String>>) -> Result<(), Error> {
        let pipeline = self.writer.pipeline();
        for (partition, ids) in entries {
            let cap = ("MAXLEN", "~", STREAM_LEN_MAX);
            let () = pipeline.xadd(stream(partition), false, cap, "*", ("ids", ids.join(","))).await?;
        }
        pipeline.all().await
    }

    async fn hear(&self, queue: &Queue, name: &str) {
        let mut known = PartitionSet::NONE;
        loop {
            let owned = *queue.owned.borrow();
            if owned.is_empty() {
                tokio::time::sleep(READ_FOR).await;
                continue;
            }
            match self.read(owned, &mut known, name).await {
                Ok(rung) => queue.bell.ring(rung.and(owned)),
                Err(error) => {
                    // Also when the streams are gone, with their groups: they are made anew.
                    known = PartitionSet::NONE;
                    tracing::debug!(%error, "Redis gives no rings");
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Waits for entries of these partitions; empty when none came in time. `known` are those whose group was made.
    async fn read(
        &self,
        owned: PartitionSet,
        known: &mut PartitionSet,
        name: &str,
    ) -> Result<PartitionSet, Error> {
        for partition in owned.except(*known).iter() {
            let made: Result<(), Error> =
                self.reader.xgroup_create(stream(partition), GROUP, "$", true).await;
            match made {
                Err(error) if !error.details().contains("BUSYGROUP") => return Err(error),
                Ok(()) | Err(_) => *known = known.with(partition),
            }
        }
        let streams: Vec<String> = owned.iter().map(stream).collect();
        let ids = vec![">"; streams.len()];
        let block = u64::try_from(READ_FOR.as_millis()).ok();
        let entries: XReadResponse<String, String, String, String> =
            self.reader.xreadgroup_map(GROUP, name, Some(1_000), block, true, streams, ids).await?;
        Ok(entries.keys().filter_map(|stream| partition_of(stream)).collect())
    }
}

fn stream(partition: Partition) -> String {
    format!("{STREAM}{}", partition.number())
}

fn partition_of(stream: &str) -> Option<Partition> {
    stream.strip_prefix(STREAM)?.parse().ok().and_then(Partition::new)
}
