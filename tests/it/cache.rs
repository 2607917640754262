//! Two nodes' caches over one Redis that is emptied, broken, stopped and killed.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use waddlebot::cache::{Cache, Caches, Keeping};
use waddlebot::redis::{Purpose, Redis, RedisState};

use crate::node::{PATIENCE, eventually};
use crate::redis_server::RedisServer;

const NAMES: Keeping =
    Keeping { name: "names", ttl: Duration::from_mins(1), negative_ttl: Duration::from_mins(1) };

/// One node's part of it.
struct Side {
    redis: Redis,
    names: Cache<String>,
}

impl Side {
    async fn new(server: &RedisServer) -> Self {
        let background = TaskTracker::new();
        let redis = Redis::start(&server.options(), &background).expect("a good address");
        let names = Caches::start(Some(redis.clone()), 1 << 20, &background).of(NAMES);
        let side = Self { redis, names };
        side.hears(server).await;
        side
    }

    /// Waits until a change that somebody else tells arrives here.
    async fn hears(&self, server: &RedisServer) {
        let channel = "waddlebot:cache_changes";
        eventually("Redis is up", || async { self.redis.state() == RedisState::Up }).await;
        eventually("it listens", || async {
            self.names
                .get("probe", async { Ok::<_, Infallible>(Some("old".to_owned())) })
                .await
                .expect("loads");
            server.command(0, &["DEL", "waddlebot:cache:names:probe"]).await;
            server.command(0, &["PUBLISH", channel, "names:probe"]).await;
            self.get("probe", "new").await == "new"
        })
        .await;
    }

    async fn get(&self, key: &str, else_load: &str) -> String {
        let load = async { Ok::<_, Infallible>(Some(else_load.to_owned())) };
        self.names.get(key, load).await.expect("loads").expect("is there").to_string()
    }
}

#[tokio::test]
async fn what_one_node_loaded_another_finds_and_a_change_reaches_both() {
    let server = RedisServer::start().await;
    let (a, b) = (Side::new(&server).await, Side::new(&server).await);
    assert_eq!(a.get("c:1", "old").await, "old");
    assert_eq!(b.get("c:1", "loaded anew").await, "old", "found in Redis");
    assert_eq!(b.get("d:1", "kept").await, "kept");
    let none = a.names.get("none", async { Ok::<_, Infallible>(None) }).await.expect("loads");
    assert_eq!(none, None);
    assert_eq!(
        b.names.get("none", async { Ok::<_, Infallible>(Some("x".to_owned())) }).await.expect("loads"),
        None
    );
    let changed = Instant::now();
    a.names.invalidate("c:").await;
    assert_eq!(a.get("c:1", "new").await, "new", "at once where it was changed");
    eventually("the other node hears of it", || async { b.get("c:1", "new").await == "new" }).await;
    println!("the other node heard of it within {:?}", changed.elapsed());
    assert_eq!(a.get("d:1", "lost").await, "kept", "another prefix stays");
}

#[tokio::test]
async fn a_gap_in_hearing_drops_the_memory() {
    let mut server = RedisServer::start().await;
    let side = Side::new(&server).await;
    assert_eq!(side.get("k", "old").await, "old");
    server.kill();
    eventually("it is gone", || async { side.redis.live(Purpose::Cache).is_none() }).await;
    assert_eq!(side.get("k", "new").await, "old", "the memory goes on alone");
    assert_eq!(side.get("l", "loaded").await, "loaded");
    server.start_again().await;
    eventually("the memory was dropped", || async { side.get("k", "new").await == "new" }).await;
}

#[tokio::test]
async fn a_change_while_redis_is_away_is_told_when_it_is_back() {
    let server = RedisServer::start().await;
    let (a, b) = (Side::new(&server).await, Side::new(&server).await);
    assert_eq!(a.get("k", "old").await, "old");
    assert_eq!(b.get("k", "?").await, "old");
    server.pause();
    a.names.invalidate("k").await;
    assert_eq!(a.get("k", "new").await, "new");
    server.resume();
    eventually("the others hear of it", || async { b.get("k", "new").await == "new" }).await;
    assert_eq!(a.get("k", "newer").await, "new");
}

#[tokio::test]
async fn a_redis_that_is_slow_full_or_mad_only_costs_what_it_kept() {
    let server = RedisServer::start().await;
    let side = Side::new(&server).await;
    server.command(0, &["SET", "waddlebot:cache:names:garbage", "{no json"]).await;
    assert_eq!(side.get("garbage", "loaded").await, "loaded");
    server.command(0, &["LPUSH", "waddlebot:cache:names:list", "of another type"]).await;
    assert_eq!(side.get("list", "loaded").await, "loaded");
    server.command(0, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(side.get("full", "loaded").await, "loaded");
    assert_eq!(side.get("full", "again").await, "loaded");
    server.command(0, &["CONFIG", "SET", "maxmemory", "0"]).await;
    server.pause();
    let began = Instant::now();
    for n in 0..100 {
        assert_eq!(side.get(&format!("slow:{n}"), "loaded").await, "loaded");
    }
    println!("100 misses while Redis hangs: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    server.resume();
    tokio::time::timeout(PATIENCE, side.redis.newer(Purpose::Cache, 1)).await.expect("is back by itself");
    side.hears(&server).await;
}
