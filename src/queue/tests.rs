//! One suite for every way the queue runs: `SQLite`, `PostgreSQL`, `PostgreSQL` with Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::{CommunityId, PartitionSet};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use storage::queue::Claimed;
use storage::{Effect, OpId, Scope};
use ulid::Ulid;

use self::rig::{HARDLY_LOOKING, HASTY, Recorder, Rig, Seen, message, wait_until};
use super::{HandleError, Handler, Policy};

mod rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_reader_was_killed_is_taken_over_by_another() {
    Rig::on_each(async |rig| {
        let hung = Arc::new(Recorder::new(|_| HandleError::Retry("never".to_owned())).hanging());
        let dead = rig.reader_with(HASTY, hung.clone(), PartitionSet::ALL);
        rig.sender().enqueue(&[message("k", "m")]).await.unwrap();
        wait_until("the first reader is at it", async || hung.seen().len() == 1).await;
        dead.kill();
        let alive = Arc::new(Recorder::default());
        let _reader = rig.reader(alive.clone(), PartitionSet::ALL);
        rig.all_done().await;
        assert_eq!(alive.seen().iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_among_a_hundred_dies_alone_after_three_tries() {
    Rig::on_each(async |rig| {
        let handler = Arc::new(
            Recorder::new(|message: &Claimed| HandleError::Retry(message.message_id.clone())).failing("50"),
        );
        let _reader = rig.reader(handler.clone(), PartitionSet::ALL);
        // Ten keys: nine messages share the poison's key, most of them behind it.
        let messages: Vec<_> = (0..100).map(|n| message(&format!("k{}", n % 10), &n.to_string())).collect();
        let stored_at = Instant::now();
        rig.sender().enqueue(&messages).await.unwrap();
        rig.all_done().await;
        let seen = handler.seen();
        let (poison, good): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.message_id == "50");
        assert_eq!(poison.iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(good.len(), 99);
        let slowest = good.iter().map(|seen| seen.at.duration_since(stored_at)).max().unwrap();
        eprintln!("  the slowest of 99 waited {slowest:?}");
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        let dead = storage::queue::dead(&rig.db, 0, 10).await.unwrap();
        assert_eq!(
            dead.iter().map(|dead| (dead.reason.as_str(), dead.attempts)).collect::<Vec<_>>(),
            [("50", 3)]
        );
    })
    .await;
}

/// Adds one to a counter, once per message id.
#[derive(Debug)]
struct Counting {
    db: storage::Db,
    community: CommunityId,
    n_handled: AtomicUsize,
}

impl Handler for Counting {
    fn topic(&self) -> &'static str {
        "t"
    }

    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>> {
        Box::pin(async move {
            let (scope, community) = (Scope::Community(self.community), self.community);
            let op = OpId::new(&scope, "queue", &message.message_id, "test", 0).unwrap();
            let now = storage::testing::start_of_tests();
            let done = storage::unit_of_work(&self.db, scope, &op, now, move |tx| {
                async move { Ok(Effect::new(storage::counters::add(tx, community, "n", 1, now).await?)) }
                    .boxed()
            });
            done.await.map_err(|error| HandleError::Retry(error.to_string()))?;
            self.n_handled.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_duplicates_of_a_thousand_ids_have_a_thousand_effects() {
    Rig::on_each(async |rig| {
        let mut tx = rig.db.begin().await.unwrap();
        let now = storage::testing::start_of_tests();
        let community = storage::communities::create(&mut tx, "c", now).await.unwrap();
        tx.commit().await.unwrap();
        let handler = Arc::new(Counting { db: rig.db.clone(), community, n_handled: AtomicUsize::new(0) });
        let _reader = rig.reader(handler.clone(), PartitionSet::ALL);
        let sender = rig.sender();
        let deliveries = (0..40).map(|round| {
            let ids = (0..250).map(move |n| (round % 4) * 250 + n);
            let batch: Vec<_> = ids.map(|n| message(&format!("k{n}"), &n.to_string())).collect();
            let sender = sender.clone();
            async move { sender.enqueue(&batch).await.unwrap().len() }
        });
        let n_stored: usize = futures_util::future::join_all(deliveries).await.into_iter().sum();
        assert_eq!(n_stored, 1_000);
        rig.all_done().await;
        // Handed out once more, as after a reader that died before it could write down what it did.
        let mut tx = rig.db.begin().await.unwrap();
        let again = storage::queue::replay(&mut tx, "t", 0, 1_000).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(again.messages.len(), 1_000);
        rig.all_done().await;
        assert_eq!(handler.n_handled.load(Ordering::Relaxed), 2_000);
        assert_eq!(storage::counters::get(&rig.db, community, "n").await.unwrap(), Some(1_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_attempts_keep_the_order_of_their_key_although_some_fail() {
    Rig::on_each(async |rig| {
        let handler =
            Arc::new(Recorder::new(|_| HandleError::Retry("once".to_owned())).failing_once("k3-20"));
        let _reader = rig.reader(handler.clone(), PartitionSet::ALL);
        let sender = rig.sender();
        for round in 0..6 {
            let batch: Vec<_> = (0..10)
                .flat_map(|n| (0..20).map(move |key| (key, round * 10 + n)))
                .map(|(key, n)| message(&format!("k{key}"), &format!("k{key}-{n}")))
                .collect();
            sender.enqueue(&batch).await.unwrap();
        }
        rig.all_done().await;
        let mut next: HashMap<String, usize> = HashMap::new();
        for seen in handler.seen().iter().filter(|seen| seen.attempt == 1) {
            let n = next.entry(seen.key.clone()).or_default();
            assert_eq!(seen.message_id, format!("{}-{n}", seen.key));
            *n += 1;
        }
        assert!(next.len() == 20 && next.values().all(|n| *n == 60), "{next:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_killed_while_a_thousand_wait_all_are_handled() {
    Rig::on_each(async |rig| {
        let handler = Arc::new(Recorder::default());
        let sender = rig.sender();
        let batch = |from: usize| -> Vec<_> {
            (from..from + 500).map(|n| message(&format!("k{n}"), &n.to_string())).collect()
        };
        sender.enqueue(&batch(0)).await.unwrap();
        rig.kill_redis().await;
        sender.enqueue(&batch(500)).await.unwrap();
        let _reader = rig.reader(handler.clone(), PartitionSet::ALL);
        rig.all_done().await;
        assert_eq!(handler.seen().len(), 1_000, "each once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_by_redis_wakes_the_reader_long_before_it_looks_by_itself() {
    let rig = Rig::with_redis().await;
    let handler = Arc::new(Recorder::default());
    let _reader = rig.reader_with(HARDLY_LOOKING, handler.clone(), PartitionSet::ALL);
    let sender = rig.sender();
    for round in ["first", "after the streams and their groups were lost"] {
        let n_before = handler.seen().len();
        // A ring may come before the reader listens; the one that is heard brings all.
        wait_until("a ring is heard", async || {
            sender.enqueue(&[message("k", &Ulid::new().to_string())]).await.unwrap();
            tokio::time::timeout(Duration::from_millis(50), handler.sees_more_than(n_before)).await.is_ok()
        })
        .await;
        eprintln!("{round}: heard");
        rig.empty_redis().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_from_an_id_hands_out_the_later_ones_alone() {
    Rig::on_each(async |rig| {
        let handler = Arc::new(Recorder::default());
        let _reader = rig.reader(handler.clone(), PartitionSet::ALL);
        let batch: Vec<_> = (0..10).map(|n| message("k", &n.to_string())).collect();
        let mut stored = rig.sender().enqueue(&batch).await.unwrap();
        rig.all_done().await;
        stored.sort_by_key(|stored| stored.id);
        let mut tx = rig.db.begin().await.unwrap();
        storage::queue::replay(&mut tx, "t", stored[7].id, 1_000).await.unwrap();
        tx.commit().await.unwrap();
        rig.all_done().await;
        let again: Vec<_> = handler.seen().iter().skip(10).map(|seen| seen.message_id.clone()).collect();
        assert_eq!(again, ["7", "8", "9"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_or_hangs_fails_its_message_and_nothing_else() {
    Rig::on_each(async |rig| {
        let handler = Arc::new(Recorder::new(|_| panic!("as told")).failing("bad"));
        let panicking = rig.reader(handler.clone(), PartitionSet::ALL);
        rig.sender().enqueue(&[message("k", "bad"), message("k", "good")]).await.unwrap();
        rig.all_done().await;
        let dead = storage::queue::dead(&rig.db, 0, 10).await.unwrap();
        assert_eq!(
            dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(),
            ["its handler panicked"]
        );
        let hanging = Arc::new(Recorder::new(|_| HandleError::Retry(String::new())).hanging());
        panicking.kill();
        let _reader = rig.reader_with(HASTY, hanging, PartitionSet::ALL);
        rig.sender().enqueue(&[message("k", "slow")]).await.unwrap();
        rig.all_done().await;
        let dead = storage::queue::dead(&rig.db, 0, 10).await.unwrap();
        assert!(dead[1].reason.contains("longer than"), "{dead:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_partition_has_one_reader_and_changes_it_when_told() {
    Rig::on_each(async |rig| {
        let (low, high) =
            (PartitionSet::from_bits(u32::MAX.into()), PartitionSet::from_bits(!u64::from(u32::MAX)));
        let handlers = [Arc::new(Recorder::default()), Arc::new(Recorder::default())];
        let first = rig.reader(handlers[0].clone(), low);
        let second = rig.reader(handlers[1].clone(), high);
        let batch = |name: &str| -> Vec<_> {
            (0..200).map(|n| message(&format!("k{n}"), &format!("{name}{n}"))).collect()
        };
        rig.sender().enqueue(&batch("a")).await.unwrap();
        rig.all_done().await;
        for (handler, owned) in handlers.iter().zip([low, high]) {
            assert!(handler.seen().iter().all(|seen| owned.contains(seen.partition)));
        }
        assert_eq!(handlers[0].seen().len() + handlers[1].seen().len(), 200);
        first.own(PartitionSet::NONE);
        second.own(PartitionSet::ALL);
        // A claim that was under way when the partitions moved may still bring some.
        wait_until("the second one reads alone", async || {
            let n_first = handlers[0].seen().len();
            rig.sender().enqueue(&batch(&Ulid::new().to_string())).await.unwrap();
            rig.all_done().await;
            handlers[0].seen().len() == n_first
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_told_to_stop_finishes_what_runs_and_gives_back_the_rest() {
    Rig::on_each(async |rig| {
        let handler = Arc::new(Recorder::default().gated());
        let reader = rig.reader(handler.clone(), PartitionSet::ALL);
        let batch: Vec<_> = (0..10).map(|n| message("k", &n.to_string())).collect();
        rig.sender().enqueue(&batch).await.unwrap();
        wait_until("the first message runs", async || handler.seen().len() == 1).await;
        reader.stop_claiming();
        handler.open();
        reader.stop().await;
        let depth = storage::queue::depth(&rig.db).await.unwrap();
        assert_eq!(
            depth.iter().map(|depth| (depth.state.as_str(), depth.n_messages)).collect::<Vec<_>>(),
            [("waiting", 9)]
        );
    })
    .await;
}

#[test]
fn the_default_times_let_a_handler_end_before_its_lease() {
    let policy = Policy::default();
    assert!(policy.handler_timeout < policy.lease && policy.look_every < Duration::from_secs(5));
}
