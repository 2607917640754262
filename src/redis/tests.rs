//! The handle against a real server that goes and comes.

use fred::interfaces::{KeysInterface, PubsubInterface};
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::testing::{RedisServer, options, until};
use super::{Line, Redis, RedisError, RedisOptions};

fn kept(options: RedisOptions) -> (Redis, DropGuard) {
    let (redis, closed) = (Redis::new(options), CancellationToken::new());
    TaskTracker::new().spawn(redis.clone().keep(closed.clone()));
    (redis, closed.drop_guard())
}

async fn is_up(redis: &Redis, generation_min: u64) {
    until("redis is up", || async {
        let state = redis.state();
        state.is_up && state.generation >= generation_min
    })
    .await;
}

async fn set(redis: &Redis, key: &'static str) -> Result<(), RedisError> {
    redis.run(Line::Cache, |client| async move { client.set(key, 1, None, None, false).await }).await
}

#[tokio::test]
async fn each_use_has_its_database() {
    let server = RedisServer::start().await;
    let (redis, _kept) = kept(server.options());
    is_up(&redis, 1).await;
    for (line, number) in [(Line::Cache, "0"), (Line::Limits, "1"), (Line::Streams, "2")] {
        let set =
            redis.run(line, |client| async move { client.set::<(), _, _>("k", 1, None, None, false).await });
        set.await.unwrap();
        assert_eq!(server.cli(&["-n", number, "GET", "k"]).await, "1");
        server.cli(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_later_is_found_and_one_that_goes_is_missed_at_once() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    let (redis, _kept) = kept(server.options());
    until("the first attempt failed", || async { redis.state().trouble.is_some() }).await;
    assert_eq!(set(&redis, "k").await, Err(RedisError::Away));
    server.start_again(&[]).await;
    is_up(&redis, 1).await;
    set(&redis, "k").await.unwrap();
    server.kill().await;
    until("its end is noticed", || async { !redis.state().is_up }).await;
    assert_eq!(set(&redis, "k").await, Err(RedisError::Away));
    server.start_again(&[]).await;
    is_up(&redis, 2).await;
    set(&redis, "k").await.unwrap();
}

#[tokio::test]
async fn a_server_that_stands_still_costs_one_timeout_and_is_found_again() {
    let server = RedisServer::start().await;
    let (redis, _kept) = kept(server.options());
    is_up(&redis, 1).await;
    server.signal("STOP").await;
    assert_eq!(set(&redis, "k").await, Err(RedisError::Timeout));
    let started = std::time::Instant::now();
    assert_eq!(set(&redis, "k").await, Err(RedisError::Away));
    assert!(started.elapsed() < server.options().timeout, "{:?}", started.elapsed());
    server.signal("CONT").await;
    until("it works again", || async { set(&redis, "k").await.is_ok() }).await;
}

#[tokio::test]
async fn a_refusal_is_told_and_keeps_the_session() {
    let server = RedisServer::start().await;
    let (redis, _kept) = kept(server.options());
    is_up(&redis, 1).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = set(&redis, "k").await.unwrap_err();
    assert!(matches!(&error, RedisError::Refused(said) if said.starts_with("OOM")), "{error:?}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    set(&redis, "k").await.unwrap();
    assert_eq!(redis.state().generation, 1);
}

#[tokio::test]
async fn a_wrong_password_is_said_without_showing_it() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    server.start_again(&["--requirepass", "right-password"]).await;
    for url in [server.url(), format!("redis://:not-this-one@127.0.0.1:{}", server.port)] {
        let (redis, _kept) = kept(options(&url));
        until("it is said", || async { redis.state().trouble.is_some() }).await;
        let trouble = redis.state().trouble.unwrap();
        assert!(trouble.contains("password") && trouble.contains("redis.url"), "{trouble}");
        assert!(!format!("{trouble} {redis:?}").contains("not-this-one"), "{trouble}");
    }
    let (redis, _kept) = kept(options(&format!("redis://:right-password@127.0.0.1:{}", server.port)));
    is_up(&redis, 1).await;
}

#[tokio::test]
async fn messages_reach_a_subscriber_until_its_session_ends() {
    let mut server = RedisServer::start().await;
    let (redis, _kept) = kept(server.options());
    is_up(&redis, 1).await;
    let session = redis.session().unwrap();
    let mut messages = session.subscribe("news").await.unwrap();
    drop(session);
    redis
        .run(Line::Cache, |client| async move { client.publish::<i64, _, _>("news", "hello").await })
        .await
        .unwrap();
    let message = messages.recv().await.unwrap();
    assert_eq!((&*message.channel, message.value.as_str().as_deref()), ("news", Some("hello")));
    server.kill().await;
    assert!(messages.recv().await.is_err(), "a gap is told, not slept through");
}
