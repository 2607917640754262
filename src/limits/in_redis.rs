//! Windows that all nodes share: one atomic script in Redis a check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use fred::types::scripts::Script;
use ulid::Ulid;

use super::{Exceeded, Limit};
use crate::redis::{Purpose, Redis, RedisError};

const TAKE: &str = include_str!("take.lua");
const PREFIX: &str = "waddlebot:rate_limit";

/// The windows in Redis.
pub(super) struct SharedWindows {
    redis: Redis,
    take: Script,
    /// Makes the names of slots ours, whatever other nodes call theirs.
    process: Ulid,
    n_taken: AtomicU64,
    /// Generation of a connection and the run id of the server behind it; `None` before the first.
    server: Mutex<Option<(u64, Arc<str>)>>,
}

impl SharedWindows {
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            take: Script::from_lua(TAKE),
            process: Ulid::new(),
            n_taken: AtomicU64::new(0),
            server: Mutex::default(),
        }
    }

    /// Takes a slot, or says when one is free. The error means that it may have been taken or not.
    pub async fn take(&self, limit: &Limit, key: &str) -> Result<Result<(), Exceeded>, RedisError> {
        let run_id = self.run_id().await?;
        let slot = self.n_taken.fetch_add(1, Ordering::Relaxed);
        let keys = vec![format!("{PREFIX}:{}:{key}", limit.resource), format!("{PREFIX}:sentinel")];
        let args = vec![
            limit.slots.to_string(),
            limit.window.as_micros().to_string(),
            format!("{}-{slot}", self.process),
            run_id.to_string(),
        ];
        let script = &self.take;
        let run = async move |client: Client| {
            script.evalsha_with_reload::<Vec<i64>, _, _>(&client, keys, args).await
        };
        match self.redis.ask(Purpose::Limits, run).await?[..] {
            [1, _] => Ok(Ok(())),
            [0, wait_us] => {
                let retry_after = Duration::from_micros(wait_us.unsigned_abs()).min(limit.window);
                Ok(Err(Exceeded { retry_after }))
            }
            _ => Err(RedisError::Refused("the script answered something else".to_owned())),
        }
    }

    /// What tells this start of the server from others; asked once a connection.
    async fn run_id(&self) -> Result<Arc<str>, RedisError> {
        let live = self.redis.live(Purpose::Limits).ok_or(RedisError::Away)?;
        let known = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, run_id)) = known.filter(|(generation, _)| *generation == live.generation) {
            return Ok(run_id);
        }
        let run_id: Arc<str> = self
            .redis
            .ask(Purpose::Limits, async |client| {
                let info: String = client.info(Some(InfoKind::Server)).await?;
                let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
                let id = id.map(str::trim).filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                id.map(Arc::from).ok_or_else(|| Error::new(ErrorKind::NotFound, "INFO names no run_id"))
            })
            .await?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((live.generation, Arc::clone(&run_id)));
        Ok(run_id)
    }
}
