//! The memory alone, without Redis.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::*;

const NAMES: Keeping =
    Keeping { name: "names", ttl: Duration::from_mins(1), negative_ttl: Duration::from_mins(1) };

fn caches(bytes_max: u64) -> Caches {
    Caches::start(None, bytes_max, &TaskTracker::new())
}

fn loaded(value: &str) -> impl Future<Output = Result<Option<String>, Infallible>> + Send {
    std::future::ready(Ok(Some(value.to_owned())))
}

async fn get(names: &Cache<String>, key: &str, else_load: &str) -> String {
    names.get(key, loaded(else_load)).await.unwrap().unwrap().to_string()
}

#[tokio::test]
async fn a_hundred_who_ask_at_once_cause_one_load() {
    let (names, n_loads) = (caches(1 << 20).of::<String>(NAMES), AtomicUsize::new(0));
    let ask = || {
        names.get("k", async {
            n_loads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            loaded("v").await
        })
    };
    let answers = join_all((0..100).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().as_ref().unwrap().as_str() == "v"));
    assert_eq!(n_loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn that_there_is_none_is_remembered_and_an_error_is_not() {
    let names = caches(1 << 20).of::<String>(NAMES);
    assert_eq!(names.get::<Infallible>("none", async { Ok(None) }).await.unwrap(), None);
    assert_eq!(names.get("none", loaded("late")).await.unwrap(), None);
    assert_eq!(*names.get("bad", async { Err("broken") }).await.unwrap_err(), "broken");
    assert_eq!(get(&names, "bad", "whole").await, "whole");
}

#[tokio::test]
async fn a_value_lives_its_time_and_no_longer() {
    let short = Keeping { ttl: Duration::from_millis(50), ..NAMES };
    let names = caches(1 << 20).of::<String>(short);
    let began = std::time::Instant::now();
    assert_eq!(get(&names, "k", "old").await, "old");
    while get(&names, "k", "new").await == "old" {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() >= Duration::from_millis(44), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_prefix_is_forgotten_and_other_keys_and_kinds_stay() {
    let caches = caches(1 << 20);
    let (names, others) =
        (caches.of::<String>(NAMES), caches.of::<String>(Keeping { name: "other", ..NAMES }));
    for key in ["a:1", "a:2", "b:1"] {
        get(&names, key, "old").await;
        get(&others, key, "old").await;
    }
    names.invalidate("a:").await;
    assert_eq!(get(&names, "a:1", "new").await, "new");
    assert_eq!(get(&names, "a:2", "new").await, "new");
    assert_eq!(get(&names, "b:1", "new").await, "old");
    assert_eq!(get(&others, "a:1", "new").await, "old");
}

#[tokio::test]
async fn what_was_loaded_before_a_change_does_not_stay() {
    let (names, read, told) = (caches(1 << 20).of::<String>(NAMES), Notify::new(), Notify::new());
    let load = names.get("k", async {
        read.notify_one();
        told.notified().await;
        loaded("from before").await
    });
    let change = async {
        read.notified().await;
        names.invalidate("k").await;
        told.notify_one();
    };
    tokio::join!(load, change).0.unwrap();
    assert_eq!(get(&names, "k", "from after").await, "from after");
}

#[tokio::test]
async fn the_memory_is_bounded_in_bytes() {
    let caches = caches(64 << 10);
    let names = caches.of::<String>(NAMES);
    for n in 0..1_000 {
        get(&names, &n.to_string(), &"x".repeat(1_000)).await;
    }
    caches.0.memory.settle().await;
    assert!(caches.bytes() <= 64 << 10, "{}", caches.bytes());
    assert!(caches.bytes() > 0);
}

#[tokio::test]
async fn a_warm_start_puts_no_newer_value_back() {
    let names = caches(1 << 20).of::<String>(NAMES);
    get(&names, "known", "newer").await;
    names.warm([("known".to_owned(), "older".to_owned()), ("k".to_owned(), "warm".to_owned())]).await;
    assert_eq!(get(&names, "k", "loaded").await, "warm");
    assert_eq!(get(&names, "known", "loaded").await, "newer");
}
