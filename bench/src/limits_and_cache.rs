//! What a limit and a cache cost: our one script beside the four round trips that `WaddleBot` describes, and both without
//! Redis. Everything runs in this process against a real redis-server.

use std::convert::Infallible;
use std::fmt::Write;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, SortedSetsInterface};
use fred::types::config::Config;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;
use waddlebot::cache::{Caches, Keeping};
use waddlebot::limits::{Limit, Limiter};
use waddlebot::redis::{Redis, RedisOptions, RedisState};

use crate::percentiles::Percentiles;

/// Callers at once, each with checks of its own in a row.
const CALLERS: usize = 32;
const CHECKS_EACH: usize = 1_000;
/// Different users or addresses.
const KEYS: u64 = 500;
const LIMIT: Limit = Limit { resource: "bench", slots: 60, window: Duration::from_secs(1) };
const HITS: u32 = 200_000;
const REDIS_HITS: usize = 5_000;
/// Longest wait for Redis, and for the first window.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures against the server at `redis_url`, whose databases 13 to 15 it uses; a Markdown table.
///
/// # Errors
/// When Redis does not answer.
pub(crate) async fn run(redis_url: &str) -> Result<String> {
    let options = RedisOptions {
        url: SecretString::from(redis_url.to_owned()),
        timeout: Duration::from_secs(5),
        databases: [13, 14, 15],
    };
    let background = TaskTracker::new();
    let redis = Redis::start(&options, &background).map_err(Error::other)?;
    redis.settle(PATIENCE).await;
    if redis.state() != RedisState::Up {
        return Err(Error::other(format!("no Redis: {:?}", redis.state())));
    }
    let mut table = String::from("| what | a second | p50 | p99 |\n|---|---|---|---|\n");
    let shared = Limiter::new(Some(redis.clone()), 1);
    first_window(&shared).await?;
    row(&mut table, "limit over nodes: one script", checks(async |key| take(&shared, key).await).await);
    let client = plain_client(redis_url).await?;
    let names = AtomicU64::new(0);
    let four =
        checks(async |key| four_round_trips(&client, key, names.fetch_add(1, Ordering::Relaxed)).await).await;
    row(&mut table, "the same as WaddleBot describes it: four round trips", four);
    let local = Limiter::new(None, 1);
    row(&mut table, "limit in the process, Redis away", checks(async |key| take(&local, key).await).await);
    cache_rows(&mut table, redis, &background).await;
    client.quit().await.map_err(Error::other)?;
    Ok(table)
}

/// A limiter begins with a window that counts as spent.
async fn first_window(limiter: &Limiter) -> Result<()> {
    let open = async { while limiter.take(&LIMIT, "first").await.is_err() {} };
    tokio::time::timeout(PATIENCE, open).await.map_err(|_| Error::other("the limit never opened"))
}

async fn take(limiter: &Limiter, key: u64) {
    // Whether it passes is not what is measured.
    _ = limiter.take(&LIMIT, &key.to_string()).await;
}

async fn plain_client(redis_url: &str) -> Result<Client> {
    let mut config = Config::from_url(redis_url).map_err(Error::other)?;
    config.database = Some(14);
    let client = Client::new(config, None, None, None);
    client.init().await.map_err(Error::other)?;
    Ok(client)
}

/// `ZREMRANGEBYSCORE`, `ZCARD`, `ZADD`, `EXPIRE`, one after the other: between them others pass too.
async fn four_round_trips(client: &Client, key: u64, name: u64) {
    let (key, now) = (format!("bench:four:{key}"), epoch().elapsed().as_secs_f64());
    let work = async {
        client.zremrangebyscore::<(), _, _, _>(&key, 0.0, now - LIMIT.window.as_secs_f64()).await?;
        if client.zcard::<u32, _>(&key).await? < LIMIT.slots {
            client.zadd::<(), _, _>(&key, None, None, false, false, (now, name.to_string())).await?;
            client.expire::<(), _>(&key, 1, None).await?;
        }
        Ok::<(), fred::error::Error>(())
    };
    work.await.expect("the server of this measurement answers");
}

/// Where the scores of this run begin.
fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Checks a second, and how long each took.
async fn checks(check: impl AsyncFn(u64)) -> (f64, Percentiles) {
    let caller = |caller: usize| {
        let check = &check;
        async move {
            let mut took = Vec::with_capacity(CHECKS_EACH);
            for n in 0..CHECKS_EACH {
                let key = (caller * CHECKS_EACH + n) as u64 * 7_919 % KEYS;
                let began = Instant::now();
                check(key).await;
                took.push(began.elapsed());
            }
            took
        }
    };
    let began = Instant::now();
    let took = futures_util::future::join_all((0..CALLERS).map(caller)).await.concat();
    (took.len() as f64 / began.elapsed().as_secs_f64(), Percentiles::of(took))
}

async fn cache_rows(table: &mut String, redis: Redis, background: &TaskTracker) {
    let keeping =
        Keeping { name: "bench", ttl: Duration::from_mins(10), negative_ttl: Duration::from_mins(10) };
    let load = || async { Ok::<_, Infallible>(Some("a value of some thirty letters".to_owned())) };
    let near = Caches::start(None, 64 << 20, background).of::<String>(keeping);
    drop(near.get("k", load()).await);
    let began = Instant::now();
    for _ in 0..HITS {
        drop(std::hint::black_box(near.get("k", load()).await));
    }
    let took = began.elapsed();
    let per_second = f64::from(HITS) / took.as_secs_f64();
    text(
        table,
        &format!(
            "| cache hit in memory | {per_second:.0} | {:.0} ns (mean) | |",
            took.as_secs_f64() * 1e9 / f64::from(HITS)
        ),
    );
    // What one node loaded is found by another, whose memory is empty.
    let one = Caches::start(Some(redis.clone()), 64 << 20, background).of::<String>(keeping);
    let other = Caches::start(Some(redis), 64 << 20, background).of::<String>(keeping);
    let keys: Vec<String> = (0..REDIS_HITS).map(|n| format!("far:{n}")).collect();
    for key in &keys {
        drop(one.get(key, load()).await);
    }
    let mut took = Vec::with_capacity(REDIS_HITS);
    let all = Instant::now();
    for key in &keys {
        let began = Instant::now();
        drop(other.get(key, load()).await);
        took.push(began.elapsed());
    }
    row(
        table,
        "cache hit in Redis, one at a time",
        (REDIS_HITS as f64 / all.elapsed().as_secs_f64(), Percentiles::of(took)),
    );
    one.invalidate("").await;
}

fn row(table: &mut String, what: &str, (per_second, took): (f64, Percentiles)) {
    let micros = |millis: f64| millis * 1e3;
    text(
        table,
        &format!(
            "| {what} | {per_second:.0} | {:.0} µs | {:.0} µs |",
            micros(took.p50_ms),
            micros(took.p99_ms)
        ),
    );
}

fn text(table: &mut String, line: &str) {
    writeln!(table, "{line}").expect("a String takes everything");
}
