//! `[redis]`: the accelerator, which may vanish at any moment.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::section::TIME_MS;

/// Redis's own default has 16; servers may have more.
const DATABASES: std::ops::RangeInclusive<usize> = 0..=255;

/// The accelerator: with it things are faster and shared between nodes, without it everything works on its node.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://…`, or `rediss://…` for TLS; it may hold a password. `None`: everything in memory.
    pub url: Option<SecretString>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Database number of the cache.
    pub cache_db: u8,
    /// Database number of the limits.
    pub limits_db: u8,
    /// Database number of the queue's streams.
    pub streams_db: u8,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("redis");
        let url = section.secret_url("url", refusal);
        let timeout = section.duration_ms("timeout_ms", 100, TIME_MS);
        let [cache_db, limits_db, streams_db] = [("cache_db", 0), ("limits_db", 1), ("streams_db", 2)]
            .map(|(key, number)| u8::try_from(section.count(key, number, DATABASES)).unwrap_or(u8::MAX));
        Self { url, timeout, cache_db, limits_db, streams_db }
    }
}

/// What is wrong with an address. `None` for a good one.
fn refusal(text: &str) -> Option<String> {
    let allowed = "must be redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS; user, password and port may be left out";
    let Ok(url) = Url::parse(text) else { return Some(allowed.to_owned()) };
    if !matches!(url.scheme(), "redis" | "rediss") || url.host_str().is_none_or(str::is_empty) {
        return Some(allowed.to_owned());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Some(
            "must end with the port; the databases are cache_db, limits_db and streams_db".to_owned(),
        );
    }
    None
}
