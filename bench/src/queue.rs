//! Messages per second through the queue, stored and handled, and how long one takes from the one to the other.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::PartitionSet;
use futures_util::future::{BoxFuture, try_join_all};
use secrecy::SecretString;
use storage::queue::{Claimed, NewMessage};
use storage::{Db, StorageOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use waddlebot::messages::Clock;
use waddlebot::queue::{HandleError, Handler, Policy, Queue, ReaderSpec, StreamBell};
use waddlebot::redis::{Redis, RedisOptions, RedisState};

use crate::percentiles::Percentiles;

const TOPIC: &str = "bench";
const N_KEYS: usize = 1_000;
/// Longest wait for one series.
const SERIES_LIMIT: Duration = Duration::from_mins(2);
const REDIS_START_LIMIT: Duration = Duration::from_secs(10);
const REDIS_TIMEOUT: Duration = Duration::from_millis(100);

/// One series: so many messages, stored in batches of this size by so many callers at once.
struct Series {
    batch: usize,
    n_messages: usize,
    n_callers: usize,
    /// Messages on their way at most.
    window: usize,
}

const SERIES: [Series; 2] = [
    Series { batch: 1, n_messages: 4_000, n_callers: 16, window: 256 },
    Series { batch: 100, n_messages: 40_000, n_callers: 4, window: 1_000 },
];

/// Where messages are stored and read.
struct Place {
    name: &'static str,
    db: Db,
    /// `None`: storing and reading in one process, which needs no Redis.
    redis: Option<Redis>,
}

/// Measures `SQLite`, `PostgreSQL`, and `PostgreSQL` whose reader hears of messages by Redis; a Markdown table.
pub async fn run(postgres_url: &str, redis_url: &str) -> io::Result<String> {
    let folder = tempfile::tempdir()?;
    let sqlite_url = format!("sqlite://{}", folder.path().join("queue.db").display());
    let postgres = open(postgres_url).await?;
    let background = TaskTracker::new();
    let redis = Redis::start(&redis_options(redis_url), &background).map_err(io::Error::other)?;
    let deadline = Instant::now() + REDIS_START_LIMIT;
    while redis.state() != RedisState::Up {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("Redis: {:?}", redis.state())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let places = [
        Place { name: "SQLite", db: open(&sqlite_url).await?, redis: None },
        Place { name: "PostgreSQL", db: postgres.clone(), redis: None },
        Place { name: "PostgreSQL + Redis", db: postgres, redis: Some(redis.clone()) },
    ];
    let mut table = String::from(
        "| queue | batch | messages | messages/s | p50 ms | p99 ms |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for place in &places {
        for series in &SERIES {
            let (took, latencies) = measure(place, series).await?;
            let percentiles = Percentiles::of(latencies);
            let rate = series.n_messages as f64 / took.as_secs_f64();
            let Percentiles { p50_ms, p99_ms, .. } = percentiles;
            writeln!(
                table,
                "| {} | {} | {} | {rate:.0} | {p50_ms:.1} | {p99_ms:.1} |",
                place.name, series.batch, series.n_messages
            )
            .map_err(io::Error::other)?;
        }
    }
    Ok(table)
}

fn redis_options(url: &str) -> RedisOptions {
    let url = SecretString::from(url);
    RedisOptions { url, timeout: REDIS_TIMEOUT, databases: [0, 1, 2] }
}

/// A database with its tables.
pub(crate) async fn open(url: &str) -> io::Result<Db> {
    let db = Db::open(&StorageOptions::new(url)).await.map_err(io::Error::other)?;
    db.migrate(Clock::System.now()).await.map_err(io::Error::other)?;
    Ok(db)
}

/// Notes how long each message took; the body says when it was handed to the queue.
#[derive(Debug)]
struct Stopwatch {
    start: Instant,
    latencies: Mutex<Vec<Duration>>,
    room: Semaphore,
}

impl Handler for Stopwatch {
    fn topic(&self) -> &'static str {
        TOPIC
    }

    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>> {
        Box::pin(async move {
            let micros: u64 = message.body.parse().map_err(|_| HandleError::GiveUp("no time".to_owned()))?;
            let took = self.start.elapsed().saturating_sub(Duration::from_micros(micros));
            self.latencies.lock().expect("no thread panicked").push(took);
            self.room.add_permits(1);
            Ok(())
        })
    }
}

async fn measure(place: &Place, series: &Series) -> io::Result<(Duration, Vec<Duration>)> {
    let watch = Arc::new(Stopwatch {
        start: Instant::now(),
        latencies: Mutex::default(),
        room: Semaphore::new(series.window),
    });
    let stop = CancellationToken::new();
    let reading = queue(place, PartitionSet::ALL);
    let mut readers = JoinSet::new();
    readers.spawn(reader(&reading, vec![watch.clone()]).run(stop.clone()));
    let storing = if place.redis.is_some() {
        let storing = queue(place, PartitionSet::NONE);
        readers.spawn(reader(&storing, Vec::new()).run(stop.clone()));
        storing
    } else {
        reading
    };
    let stored = async {
        let callers = (0..series.n_callers).map(|caller| store(&storing, series, caller, &watch));
        try_join_all(callers).await?;
        // All room is back when the last message is handled.
        let room = u32::try_from(series.window).map_err(io::Error::other)?;
        drop(watch.room.acquire_many(room).await.map_err(io::Error::other)?);
        Ok::<_, io::Error>(watch.start.elapsed())
    };
    let took = tokio::time::timeout(SERIES_LIMIT, stored).await.map_err(io::Error::other)??;
    stop.cancel();
    readers.join_all().await;
    let latencies = std::mem::take(&mut *watch.latencies.lock().expect("no thread panicked"));
    Ok((took, latencies))
}

fn queue(place: &Place, owned: PartitionSet) -> Arc<Queue> {
    let bell = place.redis.clone().map(StreamBell::new);
    Arc::new(Queue::with_far_bell(place.db.clone(), watch::channel(owned).1, bell))
}

fn reader(queue: &Arc<Queue>, handlers: Vec<Arc<dyn Handler>>) -> ReaderSpec {
    let (policy, stop_claiming) = (Policy::default(), CancellationToken::new());
    ReaderSpec { queue: Arc::clone(queue), handlers, policy, stop_claiming }
}

/// Stores one caller's share, batch by batch.
async fn store(queue: &Queue, series: &Series, caller: usize, watch: &Stopwatch) -> io::Result<()> {
    let n_batches = series.n_messages / series.n_callers / series.batch;
    let room = u32::try_from(series.batch).map_err(io::Error::other)?;
    for round in 0..n_batches {
        watch.room.acquire_many(room).await.map_err(io::Error::other)?.forget();
        let now = watch.start.elapsed().as_micros();
        let messages: Result<Vec<_>, _> = (0..series.batch)
            .map(|n| {
                let key = (round * series.batch + n) * series.n_callers + caller;
                NewMessage::new(TOPIC, format!("key-{}", key % N_KEYS), Ulid::new().to_string(), &now)
            })
            .collect();
        queue.enqueue(&messages.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    }
    Ok(())
}
