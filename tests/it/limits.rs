//! Limits that several processes share, with Redis there, emptied, broken and gone.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_util::task::TaskTracker;
use waddlebot::limits::{Limit, Limiter};
use waddlebot::redis::{Redis, RedisOptions, RedisState};

use crate::node::{Launch, Node, eventually};
use crate::redis_server::RedisServer;

const CALLERS: usize = 64;
const SLOTS: usize = 60;
/// Short, so that a test sees several windows go by.
const SHORT: Limit = Limit { resource: "test", slots: 60, window: Duration::from_millis(1_500) };

async fn limiter(server: &RedisServer, n_nodes: u32) -> (Redis, Limiter) {
    // This is about counting, not about a machine that is slow for a moment.
    let options = RedisOptions { timeout: Duration::from_secs(2), ..server.options() };
    let redis = Redis::start(&options, &TaskTracker::new()).expect("a good address");
    eventually("Redis is up", || async { redis.state() == RedisState::Up }).await;
    (redis.clone(), Limiter::new(Some(redis), n_nodes))
}

async fn node(server: &RedisServer) -> Node {
    let launch = Launch::new("").env("WADDLEBOT_REDIS__URL", &server.url());
    // Two cores that compile and test at once answer late; this test is about counting.
    let launch = launch.env("WADDLEBOT_REDIS__TIMEOUT_MS", "10000");
    launch.env("WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP", &SLOTS.to_string()).start().await
}

/// How many of so many callers at once, spread over the nodes, were told 401 and 429.
async fn strangers(nodes: &[Node], n_callers: usize) -> (usize, usize) {
    let calls =
        (0..n_callers).map(|n| nodes[n % nodes.len()].raw_get("/api/v1/status", "x-service-key", "wrong"));
    let mut told = (0, 0);
    for answer in join_all(calls).await {
        match answer.status().as_u16() {
            401 => told.0 += 1,
            429 => {
                let secs = answer.headers().get("retry-after").expect("Retry-After").to_str().expect("text");
                assert!((1..=60).contains(&secs.parse::<u32>().expect("seconds")), "{secs}");
                told.1 += 1;
            }
            other => panic!("{other}"),
        }
    }
    told
}

#[tokio::test]
async fn of_64_callers_on_two_nodes_exactly_60_pass() {
    let mut server = RedisServer::start().await;
    server.age().await;
    let nodes = [node(&server).await, node(&server).await];
    let told = strangers(&nodes, CALLERS).await;
    println!("{CALLERS} callers, limit {SLOTS}, two processes: {} pass, {} are told to wait", told.0, told.1);
    assert_eq!(told, (SLOTS, CALLERS - SLOTS));
    assert_eq!(strangers(&nodes, CALLERS).await.0, 0);
    for node in &nodes {
        assert_eq!(node.get("/api/v1/status").await.0, 200, "who has the key is not limited");
        assert!(node.metric("waddlebot_rate_limit_exceeded_total").await >= 1.0);
    }
    server.command(1, &["FLUSHALL"]).await;
    assert_eq!(strangers(&nodes, CALLERS).await.0, 0, "an emptied Redis opens nothing");
    server.kill();
    assert_eq!(strangers(&nodes, CALLERS).await.0, 0, "a dead Redis opens nothing");
}

/// Takes until the limit was seen to be open and closed again; how many passed within each full window.
async fn most_in_a_window(limiters: &[&Limiter], until: Instant) -> usize {
    let mut passed: Vec<Instant> = Vec::new();
    while Instant::now() < until {
        for limiter in limiters {
            let at = Instant::now();
            if limiter.take(&SHORT, "k").await.is_ok() {
                passed.push(at);
            }
        }
        tokio::task::yield_now().await;
    }
    // A slot is taken a little after its time was noted, so windows are looked at a little shorter than they are.
    let window = SHORT.window.saturating_sub(Duration::from_millis(100));
    passed
        .iter()
        .map(|from| passed.iter().filter(|at| *at >= from && **at < *from + window).count())
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn two_handles_share_one_window_exactly() {
    let server = RedisServer::start().await;
    server.age().await;
    let (a, b) = (limiter(&server, 2).await.1, limiter(&server, 2).await.1);
    let most = most_in_a_window(&[&a, &b], Instant::now() + 3 * SHORT.window).await;
    println!("most within one window, shared: {most} of {SLOTS}");
    assert_eq!(most, SLOTS);
}

#[tokio::test]
async fn without_redis_a_node_never_passes_more_than_its_share() {
    let mut server = RedisServer::start().await;
    server.age().await;
    let (a, b) = (limiter(&server, 2).await.1, limiter(&server, 2).await.1);
    assert!(a.take(&SHORT, "k").await.is_ok());
    server.kill();
    let gone = Instant::now();
    assert!(a.take(&SHORT, "other").await.is_err(), "the window counts as spent");
    eventually("the window is over", || async { a.take(&SHORT, "k").await.is_ok() }).await;
    assert!(gone.elapsed() >= SHORT.window, "{:?}", gone.elapsed());
    let most = most_in_a_window(&[&a, &b], Instant::now() + 3 * SHORT.window).await;
    println!("most within one window, Redis dead, two nodes: {most} of {SLOTS}");
    assert!((SLOTS / 2..=SLOTS).contains(&most), "{most}");
    let alone = most_in_a_window(&[&b], Instant::now() + 3 * SHORT.window).await;
    assert!(alone <= SLOTS / 2, "{alone}");
    // Back again: what the node let through by itself is not forgotten.
    server.start_again().await;
    server.age().await;
    let back = Instant::now();
    let both = most_in_a_window(&[&a, &b], back + Duration::from_secs(2) + 3 * SHORT.window).await;
    assert!(both <= SLOTS, "{both}");
}

#[tokio::test]
async fn an_emptied_redis_counts_as_a_spent_window_for_everybody() {
    let server = RedisServer::start().await;
    let (a, b) = (limiter(&server, 2).await.1, limiter(&server, 2).await.1);
    let began = Instant::now();
    assert!(a.take(&SHORT, "k").await.is_err(), "nobody knows since when it counts");
    eventually("the window is over", || async { b.take(&SHORT, "k").await.is_ok() }).await;
    assert!(began.elapsed() >= SHORT.window);
    server.command(1, &["FLUSHALL"]).await;
    let emptied = Instant::now();
    assert!(b.take(&SHORT, "k").await.is_err() && a.take(&SHORT, "new").await.is_err());
    eventually("the window is over", || async { a.take(&SHORT, "k").await.is_ok() }).await;
    assert!(emptied.elapsed() >= SHORT.window);
}

#[tokio::test]
async fn a_redis_that_began_anew_from_an_old_copy_counts_as_emptied() {
    let server = RedisServer::start().await;
    server.command(1, &["SET", "waddlebot:rate_limit:sentinel", "0123456789abcdef 1"]).await;
    let (_redis, limiter) = limiter(&server, 1).await;
    assert!(limiter.take(&SHORT, "k").await.is_err());
}

#[tokio::test]
async fn a_redis_that_refuses_opens_no_limit() {
    let server = RedisServer::start().await;
    server.age().await;
    let (redis, limiter) = limiter(&server, 1).await;
    server.command(1, &["SET", "waddlebot:rate_limit:test:k", "of another type"]).await;
    let began = Instant::now();
    assert!(
        limiter.take(&SHORT, "k").await.is_err(),
        "from now on it counts alone, and begins with all spent"
    );
    eventually("it counts alone", || async { limiter.take(&SHORT, "k").await.is_ok() }).await;
    assert!(began.elapsed() >= SHORT.window);
    assert_eq!(redis.state(), RedisState::Up, "the connection is fine");
    let most = most_in_a_window(&[&limiter], Instant::now() + 2 * SHORT.window).await;
    assert!(most <= SLOTS, "{most}");
}

#[tokio::test]
async fn a_redis_without_memory_opens_no_limit() {
    let server = RedisServer::start().await;
    server.age().await;
    let (redis, limiter) = limiter(&server, 1).await;
    assert!(limiter.take(&SHORT, "k").await.is_ok());
    server.command(1, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let most = most_in_a_window(&[&limiter], Instant::now() + 3 * SHORT.window).await;
    assert!(most <= SLOTS, "{most}");
    assert_eq!(redis.state(), RedisState::Up, "the connection is fine");
}
