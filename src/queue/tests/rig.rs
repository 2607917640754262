//! Queues, readers and handlers for the suite.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Partition, PartitionSet};
use futures_util::future::BoxFuture;
use storage::Db;
use storage::queue::{Claimed, NewMessage};
use storage::testing::{self, TestDatabase};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::queue::{HandleError, Handler, Policy, Queue, ReaderSpec, StreamBell};
use crate::redis::testing::RedisServer;
use crate::redis::{Redis, RedisState};

/// Times of which none runs out by itself on a busy machine.
const POLICY: Policy = Policy {
    lease: Duration::from_mins(1),
    handler_timeout: Duration::from_secs(30),
    backoff: Duration::from_millis(50),
    look_every: Duration::from_millis(100),
};

/// Times for tests that wait for the end of a lease, or of a handler's time.
pub const HASTY: Policy =
    Policy { lease: Duration::from_millis(1_500), handler_timeout: Duration::from_millis(500), ..POLICY };

/// For tests in which nothing but a ring may wake the reader.
pub const HARDLY_LOOKING: Policy = Policy { look_every: Duration::from_mins(1), ..POLICY };

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One way in which the queue runs.
pub struct Rig {
    pub db: Db,
    /// `None` where the queue runs on SQL alone.
    redis: Option<(Mutex<RedisServer>, Redis)>,
    _database: TestDatabase,
}

impl Rig {
    /// Runs `test` on each of them.
    pub async fn on_each(test: impl AsyncFn(&Self)) {
        let alone =
            |database: TestDatabase| Self { db: database.db.clone(), redis: None, _database: database };
        let rigs = [
            ("sqlite", alone(testing::sqlite().await)),
            ("postgres", alone(testing::postgres().await)),
            ("postgres with redis", Self::with_redis().await),
        ];
        for (name, rig) in rigs {
            let started = Instant::now();
            test(&rig).await;
            eprintln!("on {name}: {:?}", started.elapsed());
        }
    }

    pub async fn with_redis() -> Self {
        let database = testing::postgres().await;
        let server = RedisServer::start().await;
        let redis = Redis::start(&server.options(), &TaskTracker::new()).expect("a good address");
        wait_until("Redis is there", async || redis.state() == RedisState::Up).await;
        Self { db: database.db.clone(), redis: Some((Mutex::new(server), redis)), _database: database }
    }

    pub async fn kill_redis(&self) {
        if let Some((server, _)) = &self.redis {
            server.lock().await.kill().await;
        }
    }

    pub async fn empty_redis(&self) {
        let (server, _) = self.redis.as_ref().expect("with Redis");
        assert_eq!(server.lock().await.cli(&["flushall"]).await, "OK");
    }

    fn queue(&self, owned: watch::Receiver<PartitionSet>) -> Arc<Queue> {
        let bell = self.redis.as_ref().map(|(_, redis)| StreamBell::new(redis.clone()));
        Arc::new(Queue::with_far_bell(self.db.clone(), owned, bell))
    }

    /// A queue whose process reads no partition; its rings go out as long as it is there.
    pub fn sender(&self) -> Arc<Queue> {
        let queue = self.queue(watch::channel(PartitionSet::NONE).1);
        let spec = spec(Arc::clone(&queue), Vec::new(), POLICY);
        #[expect(
            clippy::disallowed_methods,
            reason = "the test plays supervision; it ends with the test's runtime"
        )]
        drop(tokio::spawn(spec.run(CancellationToken::new())));
        queue
    }

    /// A running reader of those partitions.
    pub fn reader(&self, handler: Arc<dyn Handler>, owned: PartitionSet) -> Running {
        self.reader_with(POLICY, handler, owned)
    }

    pub fn reader_with(&self, policy: Policy, handler: Arc<dyn Handler>, owned: PartitionSet) -> Running {
        let (own, owned) = watch::channel(owned);
        let stop = CancellationToken::new();
        let spec = spec(self.queue(owned), vec![handler], policy);
        let stop_claiming = spec.stop_claiming.clone();
        #[expect(clippy::disallowed_methods, reason = "the test plays supervision")]
        let task = tokio::spawn(spec.run(stop.clone()));
        Running { task, own, stop, stop_claiming }
    }

    /// Waits until no message waits, is due again or runs.
    pub async fn all_done(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let depth = storage::queue::depth(&self.db).await.unwrap();
            if depth.iter().all(|depth| depth.state == "dead") {
                return;
            }
            assert!(Instant::now() < deadline, "still there: {depth:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn spec(queue: Arc<Queue>, handlers: Vec<Arc<dyn Handler>>, policy: Policy) -> ReaderSpec {
    ReaderSpec { queue, handlers, policy, stop_claiming: CancellationToken::new() }
}

/// A reader that runs; dropped, it is killed.
pub struct Running {
    task: JoinHandle<()>,
    own: watch::Sender<PartitionSet>,
    stop: CancellationToken,
    stop_claiming: CancellationToken,
}

impl Running {
    /// Ends it where it is, as the end of its process would.
    pub fn kill(self) {
        drop(self);
    }

    pub fn own(&self, partitions: PartitionSet) {
        self.own.send_replace(partitions);
    }

    pub fn stop_claiming(&self) {
        self.stop_claiming.cancel();
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An attempt that a handler saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub message_id: String,
    pub key: String,
    pub partition: Partition,
    pub attempt: i64,
    pub at: Instant,
}

/// A handler that notes what it sees, and does what it was told with some messages.
#[derive(Debug)]
pub struct Recorder {
    seen: std::sync::Mutex<Vec<Seen>>,
    error: fn(&Claimed) -> HandleError,
    /// Whose every attempt fails; `None`: nobody's.
    fails: Option<&'static str>,
    fails_once: Option<&'static str>,
    hangs: bool,
    /// Waited for by every attempt; `None`: nothing is.
    gate: Option<Notify>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(|_| HandleError::Retry(String::new()))
    }
}

impl Recorder {
    pub fn new(error: fn(&Claimed) -> HandleError) -> Self {
        let seen = std::sync::Mutex::default();
        Self { seen, error, fails: None, fails_once: None, hangs: false, gate: None }
    }

    pub fn failing(self, message_id: &'static str) -> Self {
        Self { fails: Some(message_id), ..self }
    }

    pub fn failing_once(self, message_id: &'static str) -> Self {
        Self { fails_once: Some(message_id), ..self }
    }

    pub fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    pub fn gated(self) -> Self {
        Self { gate: Some(Notify::new()), ..self }
    }

    pub fn open(&self) {
        self.gate.as_ref().expect("gated").notify_one();
    }

    pub async fn sees_more_than(&self, n: usize) {
        wait_until("a further message is handled", async || self.seen().len() > n).await;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Handler for Recorder {
    fn topic(&self) -> &'static str {
        "t"
    }

    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>> {
        Box::pin(async move {
            let (message_id, key) = (message.message_id.clone(), message.key.clone());
            let seen = Seen {
                message_id,
                key,
                partition: message.partition,
                attempt: message.attempt,
                at: Instant::now(),
            };
            self.seen.lock().unwrap().push(seen);
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            let id = Some(message.message_id.as_str());
            if id == self.fails || (id == self.fails_once && message.attempt == 1) {
                return Err((self.error)(message));
            }
            Ok(())
        })
    }
}

pub fn message(key: &str, message_id: &str) -> NewMessage {
    NewMessage::new("t", key, message_id, &serde_json::json!({ "id": message_id })).unwrap()
}

/// Looks often until `condition` holds.
pub async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
