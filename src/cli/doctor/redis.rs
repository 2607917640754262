//! Whether Redis answers, when one is configured. Without it a node works all the same, so it is never a failure.

use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use tokio_util::task::TaskTracker;

use super::Finding;
use crate::config::Config;
use crate::redis::{Purpose, Redis, RedisState};
use crate::supervision::boot;

const NAME: &str = "redis";

/// Time for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects and asks once.
pub(super) async fn look(config: &Config) -> Finding {
    let Some(options) = boot::redis_options(config) else {
        return Finding::ok(NAME, "none is configured, which is fine: everything is in memory");
    };
    let redis = match Redis::start(&options, &TaskTracker::new()) {
        Ok(redis) => redis,
        Err(error) => return Finding::warn(NAME, format!("redis.url cannot be used: {error}")),
    };
    redis.settle(CONNECT_TIMEOUT).await;
    match redis.state() {
        RedisState::Up => {}
        RedisState::Connecting => return away("no answer within 3 s"),
        RedisState::Away(error) => return away(&error.to_string()),
    }
    let started = Instant::now();
    match redis.ask(Purpose::Cache, async |client| client.ping::<()>(None).await).await {
        Ok(()) => Finding::ok(NAME, format!("it answers in {:.1} ms", started.elapsed().as_secs_f64() * 1e3)),
        Err(error) => away(&error.to_string()),
    }
}

fn away(why: &str) -> Finding {
    Finding::warn(
        NAME,
        format!("{why}. The node works without it, but shares nothing with others: check redis.url"),
    )
}
