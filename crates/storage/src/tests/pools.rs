use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::{new_channel, write};
use crate::db::Pools;
use crate::testing::streaming::eventually;
use crate::testing::{self, on_both, start_of_tests};
use crate::{Db, Effect, OpId, Scope, StorageError, StorageOptions, channels, counters, unit_of_work};

/// What was logged on this thread.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines at level warn and above from now on, until the guard goes.
    fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn postgres_cuts_a_statement_at_its_limit() {
    let test = testing::postgres().await;
    let mut options = StorageOptions::new(&test.url);
    options.statement_timeout = Duration::from_millis(200);
    let db = Db::open(&options).await.unwrap();
    let started = Instant::now();
    let slow = write(&db, async |tx| tx.run_script("SELECT pg_sleep(20)").await).await;
    assert_eq!(slow.unwrap_err(), StorageError::Timeout);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn postgres_cuts_a_wait_for_a_lock_at_its_limit() {
    let test = testing::postgres().await;
    let community = new_channel(&test.db, "ann").await.community_id;
    let mut options = StorageOptions::new(&test.url);
    options.lock_timeout = Duration::from_millis(50);
    let db = Db::open(&options).await.unwrap();
    let mut holder = test.db.begin().await.unwrap();
    counters::add(&mut holder, community, "deaths", 1, start_of_tests()).await.unwrap();
    let started = Instant::now();
    let waiting =
        write(&db, async |tx| counters::add(tx, community, "deaths", 1, start_of_tests()).await).await;
    assert_eq!(waiting.unwrap_err(), StorageError::Timeout);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "not the statement's limit: {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_slow_query_is_warned_of_with_operation_and_table_and_no_value() {
    for url in [testing::sqlite().await, testing::postgres().await].iter().map(|test| &test.url) {
        let community = {
            let quick = Db::open(&StorageOptions::new(url)).await.unwrap();
            let (log, _logging) = Log::of_this_thread();
            let community = new_channel(&quick, "ann").await.community_id;
            assert_eq!(log.lines(), Vec::<serde_json::Value>::new(), "under the limit nothing is said");
            community
        };
        let mut options = StorageOptions::new(url);
        options.slow_query = Duration::ZERO;
        let slow = Db::open(&options).await.unwrap();
        let (log, _logging) = Log::of_this_thread();
        write(&slow, async |tx| counters::set(tx, community, "hunter", 42, start_of_tests()).await)
            .await
            .unwrap();
        let lines = log.lines();
        let line = lines.iter().find(|line| line["fields"]["db.table"] == "counters").expect("a warning");
        assert_eq!(
            (&line["level"], &line["fields"]["message"]),
            (&serde_json::json!("WARN"), &serde_json::json!("slow query"))
        );
        assert_eq!(line["fields"]["db.operation"], "insert");
        assert!(line["fields"]["duration_ms"].as_f64().unwrap() > 0.0);
        let told = format!("{lines:?}");
        assert!(!told.contains("hunter") && !told.contains("42,"), "{told}");
        assert!(!told.contains(&community.to_string()), "{told}");
    }
}

#[tokio::test]
async fn pools_say_how_busy_they_are() {
    on_both(|db| async move {
        let tx = db.begin().await.unwrap();
        // A connection that served the opening goes back to its pool in the background.
        eventually("one connection is in use", async || {
            db.pool_gauges().iter().map(|gauge| gauge.in_use).sum::<u32>() == 1
        })
        .await;
        drop(tx);
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_connection_is_counted_and_so_is_who_waits_in_vain() {
    let test = testing::postgres().await;
    let db =
        Db::open(&StorageOptions { max_connections: 1, ..StorageOptions::new(&test.url) }).await.unwrap();
    let held = db.begin().await.unwrap();
    let started = Instant::now();
    let watching = async {
        eventually("both callers wait", async || db.pool_gauges()[0].waiting == 2).await;
        started.elapsed()
    };
    let (first, second, seen_after) = tokio::join!(db.ping(), db.begin(), watching);
    assert!(seen_after < Duration::from_secs(3), "seen while they waited");
    assert!(first.unwrap_err().is_retryable() && second.unwrap_err().is_retryable());
    assert!(started.elapsed() < Duration::from_secs(10), "the wait is bounded");
    let gauge = db.pool_gauges()[0];
    assert_eq!((gauge.pool, gauge.waiting, gauge.n_timeouts), ("main", 0, 2));
    drop(held);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn units_that_wait_for_a_lock_leave_a_connection_to_read() {
    let test = testing::postgres().await;
    let channel = new_channel(&test.db, "ann").await;
    let mut options = StorageOptions::new(&test.url);
    options.max_connections = 4;
    let db = Db::open(&options).await.unwrap();
    let mut holder = test.db.begin().await.unwrap();
    holder.run("LOCK TABLE ops IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut units = tokio::task::JoinSet::new();
    for n in 0..10 {
        let db = db.clone();
        units.spawn(async move {
            let op = OpId::new(&Scope::Global, "test", &n.to_string(), "tests", 1).unwrap();
            let work = unit_of_work(&db, Scope::Global, &op, start_of_tests(), |_| {
                async move { Ok(Effect::new(())) }.boxed()
            });
            work.await.map(drop)
        });
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let Pools::Pg(pool) = test.db.pools() else { panic!("PostgreSQL") };
    let n_waiting = async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(&**pool).await.unwrap();
    eventually("three units wait for the lock", async || n_waiting().await == 3).await;
    let started = Instant::now();
    assert!(channels::get(&db, channel.id).await.unwrap().is_some());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    drop(holder);
    while let Some(ended) = units.join_next().await {
        // Those that waited too long say so; nobody hangs.
        drop(ended.unwrap());
    }
}
