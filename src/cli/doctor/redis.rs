//! Whether Redis answers, where one is configured.

use super::Finding;
use crate::config::Config;
use crate::redis::Redis;
use crate::supervision::boot::redis_options;

const NAME: &str = "redis";

/// Connects once. `None` when no Redis is configured: nothing is missing then.
///
/// A Redis that is away is a warning: the node works without it.
pub(super) async fn look(config: &Config) -> Option<Finding> {
    let options = redis_options(config)?;
    Some(match Redis::probe(&options).await {
        Ok(took) => Finding::ok(NAME, format!("answers in {} µs", took.as_micros())),
        Err(error) => Finding::warn(
            NAME,
            format!(
                "{error}; the node works alone meanwhile; check that the server runs and redis.url is right"
            ),
        ),
    })
}
