//! `[redis]`: the accelerator, which may vanish at any moment.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::section::TIME_MS;

/// Highest database number a server can be set up with that we accept; servers have 16 unless told otherwise.
const DATABASE_MAX: usize = 255;

/// The accelerator.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`; it may hold a password. `None`: everything in memory.
    pub url: Option<SecretString>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Number of the database of the cache.
    pub cache_db: u8,
    /// Number of the database of the rate limits.
    pub limits_db: u8,
    /// Number of the database of the streams.
    pub streams_db: u8,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("redis");
        let mut database = |key: &str, default| {
            u8::try_from(section.count(key, default, 0..=DATABASE_MAX)).unwrap_or(u8::MAX)
        };
        let (cache_db, limits_db, streams_db) =
            (database("cache_db", 0), database("limits_db", 1), database("streams_db", 2));
        Self {
            url: section.secret_url("url", |text| check(text).err()),
            timeout: section.duration_ms("timeout_ms", 100, TIME_MS),
            cache_db,
            limits_db,
            streams_db,
        }
    }
}

fn check(url: &str) -> Result<(), String> {
    let refused = || "must be redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS".to_owned();
    let url = Url::parse(url).map_err(|_| refused())?;
    if !matches!(url.scheme(), "redis" | "rediss") || url.host_str().is_none_or(str::is_empty) {
        return Err(refused());
    }
    if !matches!(url.path(), "" | "/") {
        return Err("must not name a database: cache_db, limits_db and streams_db do".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_redis_names_a_server_and_no_database() {
        for good in ["redis://h", "redis://h:6379/", "rediss://user:pass@h:6380", "redis://:pass@127.0.0.1"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "h:6379", "http://h", "redis://", "redis://h/3", "redis-cluster://h"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
