//! The handle on Redis against a real server that is killed, stopped, locked and brought back.

use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, KeysInterface};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;
use waddlebot::redis::{Purpose, Redis, RedisError, RedisOptions, RedisState};

use crate::node::{Launch, PATIENCE, eventually};
use crate::redis_server::RedisServer;

fn connect(options: &RedisOptions) -> Redis {
    Redis::start(options, &TaskTracker::new()).expect("a good address")
}

async fn ping(redis: &Redis) -> Result<(), RedisError> {
    redis.ask(Purpose::Cache, async |client| client.ping::<()>(None).await).await
}

async fn is_up(redis: &Redis) {
    eventually("Redis is up", || async { redis.state() == RedisState::Up }).await;
}

#[tokio::test]
async fn redis_that_comes_back_is_a_new_generation() {
    let mut server = RedisServer::start().await;
    let redis = connect(&server.options());
    let first = tokio::time::timeout(PATIENCE, redis.newer(Purpose::Cache, 0)).await.expect("connects");
    assert_eq!(first.generation, 1);
    assert_eq!(ping(&redis).await, Ok(()));
    server.kill();
    tokio::time::timeout(PATIENCE, redis.lost(Purpose::Cache, 1)).await.expect("is seen");
    assert_eq!(ping(&redis).await, Err(RedisError::Away));
    assert!(matches!(redis.state(), RedisState::Away(_)), "{:?}", redis.state());
    server.start_again().await;
    let back = Instant::now();
    let second = tokio::time::timeout(PATIENCE, redis.newer(Purpose::Cache, 1)).await.expect("comes back");
    assert_eq!(second.generation, 2);
    println!("used again {:?} after it came back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(2));
    is_up(&redis).await;
}

#[tokio::test]
async fn redis_that_hangs_costs_one_wait_and_no_more() {
    let server = RedisServer::start().await;
    let redis = connect(&server.options());
    is_up(&redis).await;
    server.pause();
    assert_eq!(ping(&redis).await, Err(RedisError::Timeout));
    let started = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(ping(&redis).await, Err(RedisError::Away));
    }
    assert!(started.elapsed() < Duration::from_millis(90), "{:?}", started.elapsed());
    server.resume();
    let resumed = Instant::now();
    tokio::time::timeout(PATIENCE, redis.newer(Purpose::Cache, 1)).await.expect("comes back");
    println!("used again {:?} after it went on", resumed.elapsed());
    assert!(resumed.elapsed() < Duration::from_secs(2) + Duration::from_millis(500));
}

#[tokio::test]
async fn each_purpose_has_its_own_database() {
    let server = RedisServer::start().await;
    let redis = connect(&server.options());
    is_up(&redis).await;
    let set = async |client: fred::clients::Client| client.set::<(), _, _>("k", "v", None, None, false).await;
    redis.ask(Purpose::Limits, set).await.expect("is set");
    let get = async |client: fred::clients::Client| client.get::<Option<String>, _>("k").await;
    assert_eq!(redis.ask(Purpose::Cache, get).await, Ok(None));
    assert_eq!(redis.ask(Purpose::Streams, get).await, Ok(None));
    assert_eq!(redis.ask(Purpose::Limits, get).await, Ok(Some("v".to_owned())));
}

#[tokio::test]
async fn a_wrong_password_is_said_clearly_and_never_shown() {
    let mut server = RedisServer::start().await;
    server.set_password("the-right-one").await;
    let url = server.url().replace("the-right-one", "hunter2-wrong");
    let redis = connect(&RedisOptions { url: SecretString::from(url.clone()), ..server.options() });
    redis.settle(PATIENCE).await;
    assert_eq!(redis.state(), RedisState::Away(RedisError::Login));
    let node = Launch::new("").env("WADDLEBOT_REDIS__URL", &url).start().await;
    let (status, ready) = node.get("/readyz").await;
    assert_eq!(status, 200, "Redis decides nothing: {ready}");
    let said = ready["data"]["redis"].as_str().expect("a sentence").to_owned();
    assert!(said.contains("degraded") && said.contains("password"), "{said}");
    let log = node.log();
    assert_eq!(log.matches("refuses the login").count(), 1, "{log}");
    assert!(!format!("{log}{said}").contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_node_starts_without_its_redis() {
    let launch = Launch::new("").console().env("WADDLEBOT_REDIS__URL", "redis://127.0.0.1:1");
    let started = Instant::now();
    let mut node = launch.start().await;
    println!("ready after {:?}", started.elapsed());
    assert!(node.say("!ping").await.to_lowercase().contains("pong"));
    let log = node.log();
    assert_eq!(log.matches("redis::report: Redis is away").count(), 1, "{log}");
}
