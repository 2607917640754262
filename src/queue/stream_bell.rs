//! The doorbell between processes: a Redis stream a partition, which carries ids and nothing else.
//!
//! Nothing is kept there. Streams are trimmed, entries are read without acknowledgement, and while Redis is away or slow
//! nobody waits for it: a reader finds in SQL what nobody rang for.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Partition, PartitionSet};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::streams::XReadResponse;
use storage::queue::Stored;
use tokio::sync::{Mutex, mpsc};

use super::Queue;
use crate::redis::{Purpose, Redis, RedisError};

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
/// And for the answer that there are none.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts while Redis is away.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Rings for partitions that other processes read, and hears their rings.
#[derive(Debug)]
pub struct StreamBell {
    redis: Redis,
    rings: mpsc::Sender<(Partition, i64)>,
    /// Held by the part that sends; a restarted one goes on with it.
    unsent: Mutex<mpsc::Receiver<(Partition, i64)>>,
}

impl StreamBell {
    pub fn new(redis: Redis) -> Self {
        let (rings, unsent) = mpsc::channel(RINGS_WAITING_MAX);
        Self { redis, rings, unsent: Mutex::new(unsent) }
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
            if let Err(error) = self.redis.ask(Purpose::Streams, |client| append(client, entries)).await {
                tracing::debug!(%error, "Redis took no ring");
            }
        }
    }

    async fn hear(&self, queue: &Queue, name: &str) {
        let mut known = PartitionSet::NONE;
        // A connection of its own, since a read that waits holds up everybody behind it.
        let mut reader = None;
        loop {
            let owned = *queue.owned.borrow();
            if owned.is_empty() {
                tokio::time::sleep(READ_FOR).await;
                continue;
            }
            match self.read(&mut reader, owned, &mut known, name).await {
                Ok(rung) => queue.bell.ring(rung.and(owned)),
                Err(error) => {
                    // Also when the streams are gone, with their groups: they are made anew.
                    known = PartitionSet::NONE;
                    close(reader.take()).await;
                    tracing::debug!(%error, "Redis gives no rings");
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Waits for entries of these partitions; empty when none came in time. `known` are those whose group was made.
    async fn read(
        &self,
        reader: &mut Option<Client>,
        owned: PartitionSet,
        known: &mut PartitionSet,
        name: &str,
    ) -> Result<PartitionSet, RedisError> {
        let new: Vec<Partition> = owned.except(*known).iter().collect();
        if !new.is_empty() {
            self.redis.ask(Purpose::Streams, |client| make_groups(client, new)).await?;
            *known = owned;
        }
        let streams: Vec<String> = owned.iter().map(stream).collect();
        let ids = vec![">"; streams.len()];
        let block = u64::try_from(READ_FOR.as_millis()).ok();
        let client = match reader {
            Some(client) => client,
            None => reader.insert(self.redis.dedicated(Purpose::Streams).await?),
        };
        let reading = client.xreadgroup_map(GROUP, name, Some(1_000), block, true, streams, ids);
        let read = tokio::time::timeout(READ_WITHIN, reading).await;
        let entries: XReadResponse<String, String, String, String> =
            read.map_err(|_elapsed| RedisError::Timeout)??;
        Ok(entries.keys().filter_map(|stream| partition_of(stream)).collect())
    }
}

async fn close(reader: Option<Client>) {
    if let Some(client) = reader {
        // It is of no use any more; whether it says goodbye does not matter.
        drop(tokio::time::timeout(READ_WITHIN, client.quit()).await);
    }
}

async fn append(client: Client, entries: BTreeMap<Partition, Vec<String>>) -> Result<(), Error> {
    let pipeline = client.pipeline();
    for (partition, ids) in entries {
        let cap = ("MAXLEN", "~", STREAM_LEN_MAX);
        let () = pipeline.xadd(stream(partition), false, cap, "*", ("ids", ids.join(","))).await?;
    }
    pipeline.all().await
}

/// Makes the streams and their groups; those that are there stay.
async fn make_groups(client: Client, partitions: Vec<Partition>) -> Result<(), Error> {
    let pipeline = client.pipeline();
    for partition in partitions {
        let () = pipeline.xgroup_create(stream(partition), GROUP, "$", true).await?;
    }
    let made = pipeline.try_all::<()>().await;
    made.into_iter().find(|made| made.as_ref().is_err_and(|error| !is_there_already(error))).unwrap_or(Ok(()))
}

fn is_there_already(error: &Error) -> bool {
    error.details().contains("BUSYGROUP")
}

fn stream(partition: Partition) -> String {
    format!("{STREAM}{}", partition.number())
}

fn partition_of(stream: &str) -> Option<Partition> {
    stream.strip_prefix(STREAM)?.parse().ok().and_then(Partition::new)
}
