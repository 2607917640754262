//! What all nodes share in Redis: values with their time to live, a version that every change raises, and the channel
//! that tells of changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{KeysInterface, PubsubInterface};
use fred::types::scan::ScanType;
use fred::types::scripts::Script;
use serde::de::DeserializeOwned;

use crate::redis::{Purpose, Redis, RedisError};

const PREFIX: &str = "waddlebot:cache:";
const VERSION: &str = "waddlebot:cache_version";
/// Each message is a prefix that begins with the name of a kind; the empty one means everything.
pub(super) const CHANNEL: &str = "waddlebot:cache_changes";
/// Keys that one round trip of forgetting looks at.
const SCAN_COUNT: u32 = 1_000;
/// Longer values stay in memory, so that one of them does not hold up the connection.
const JSON_BYTES_MAX: usize = 256 << 10;

/// The value, what is left of its time in ms, and the version.
const READ: &str =
    "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]) or '0'}";

/// Writes a value unless something changed since it was looked for, since it may be from before the change.
const WRITE: &str = "if (redis.call('GET', KEYS[2]) or '0') == ARGV[3] then \
                     return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end";

/// The part of the cache that lies in Redis.
pub(super) struct Remote {
    pub redis: Redis,
    read: Script,
    write: Script,
    /// A change could not be told: what lies in Redis may be older than it.
    owes_change: AtomicBool,
}

/// What Redis said of a key.
pub(super) struct Read<T> {
    pub kept: Option<Kept<T>>,
    /// For [`Remote::write`]. `None`: Redis is not there.
    pub version: Option<String>,
}

pub(super) struct Kept<T> {
    /// `None`: it is known that there is none.
    pub value: Option<T>,
    pub json_bytes: usize,
    /// What is left of its time.
    pub ttl: Duration,
}

impl Remote {
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            read: Script::from_lua(READ),
            write: Script::from_lua(WRITE),
            owes_change: AtomicBool::new(false),
        }
    }

    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Read<T> {
        if self.owes_change.load(Ordering::SeqCst) {
            return Read { kept: None, version: None };
        }
        let keys = vec![format!("{PREFIX}{key}"), VERSION.to_owned()];
        let script = &self.read;
        let run = async move |client: Client| {
            script
                .evalsha_with_reload::<(Option<String>, i64, String), _, _>(
                    &client,
                    keys,
                    Vec::<String>::new(),
                )
                .await
        };
        match self.redis.ask(Purpose::Cache, run).await {
            Ok((json, ttl_ms, version)) => {
                let kept = json.and_then(|json| {
                    let value = serde_json::from_str(&json).ok();
                    count("get", if value.is_some() { "hit" } else { "garbage" });
                    let ttl = Duration::from_millis(u64::try_from(ttl_ms).unwrap_or(0));
                    value.map(|value| Kept { value, json_bytes: json.len(), ttl })
                });
                Read { kept, version: Some(version) }
            }
            Err(error) => {
                count_error("get", &error);
                Read { kept: None, version: None }
            }
        }
    }

    pub async fn write(&self, key: &str, json: String, ttl: Duration, version: String) {
        if json.len() > JSON_BYTES_MAX {
            return;
        }
        let keys = vec![format!("{PREFIX}{key}"), VERSION.to_owned()];
        let args = vec![json, ttl.as_millis().max(1).to_string(), version];
        let script = &self.write;
        let run = async move |client: Client| {
            script.evalsha_with_reload::<Option<String>, _, _>(&client, keys, args).await
        };
        match self.redis.ask(Purpose::Cache, run).await {
            Ok(_) => count("set", "ok"),
            Err(error) => count_error("set", &error),
        }
    }

    /// Forgets what begins with `prefix` and tells everybody; what cannot be told now is made up for later.
    pub async fn forget_all(&self, prefix: &str) {
        match self.try_forget_all(prefix).await {
            Ok(()) => count("invalidate", "ok"),
            Err(error) => {
                self.owes_change.store(true, Ordering::SeqCst);
                count_error("invalidate", &error);
            }
        }
    }

    /// Makes up for changes that could not be told, by forgetting everything.
    pub async fn settle_debt(&self) -> Result<(), RedisError> {
        if self.owes_change.swap(false, Ordering::SeqCst) {
            let settled = self.try_forget_all("").await;
            if settled.is_err() {
                self.owes_change.store(true, Ordering::SeqCst);
            }
            return settled;
        }
        Ok(())
    }

    async fn try_forget_all(&self, prefix: &str) -> Result<(), RedisError> {
        let ask = &self.redis;
        ask.ask(Purpose::Cache, async |client| client.incr::<i64, _>(VERSION).await).await?;
        let pattern = format!("{PREFIX}{}*", escape(prefix));
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys) =
                ask.ask(Purpose::Cache, async |client| scan(&client, &cursor, &pattern).await).await?;
            if !keys.is_empty() {
                ask.ask(Purpose::Cache, async |client| client.unlink::<i64, _>(keys).await).await?;
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        let message = prefix.to_owned();
        ask.ask(Purpose::Cache, async |client| client.publish::<i64, _, _>(CHANNEL, message).await).await?;
        Ok(())
    }
}

async fn scan(client: &Client, cursor: &str, pattern: &str) -> Result<(String, Vec<String>), Error> {
    client.scan_page(cursor.to_owned(), pattern.to_owned(), Some(SCAN_COUNT), None::<ScanType>).await
}

/// Takes the meaning from letters that have one in patterns.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn count(operation: &'static str, status: &'static str) {
    metrics::counter!("waddlebot_cache_operations_total",
        "service" => "waddlebot", "operation" => operation, "status" => status)
    .increment(1);
}

/// Redis that is away is a state, which its own log line tells; anything else is counted as an error.
fn count_error(operation: &'static str, error: &RedisError) {
    count(operation, if *error == RedisError::Away { "away" } else { "error" });
    tracing::debug!(%error, operation, "the cache goes on without Redis");
}
