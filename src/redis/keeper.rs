//! The task that connects, watches and connects again, for as long as the node runs.

use std::sync::Arc;
use std::time::Duration;

use domain::restart::Backoff;
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{Redis, RedisError, RedisState};

/// Pauses between attempts, for ever.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(250), max: Duration::from_secs(5) };
/// A wrong password is not cured by asking often; servers count and log each attempt.
const PASSWORD_PAUSE: Duration = Duration::from_secs(10);

impl Redis {
    /// Keeps the connections until `closed` is cancelled. Run once, in the background.
    pub async fn keep(self, closed: CancellationToken) {
        tokio::select! {
            () = closed.cancelled() => {}
            () = self.keep_on() => {}
        }
        self.0.session.store(None);
    }

    async fn keep_on(&self) {
        let mut rng: SmallRng = rand::make_rng();
        let (mut generation, mut attempt) = (0, 0);
        loop {
            let why = match Session::connect(&self.0.options, generation + 1).await {
                Ok((session, ended)) => {
                    (generation, attempt) = (generation + 1, 0);
                    let session = Arc::new(session);
                    self.up(&session);
                    tokio::select! {
                        why = ended => why,
                        why = session.watch_over() => why,
                    }
                }
                Err(why) => why,
            };
            self.down(generation, &why);
            let pause = if matches!(why, RedisError::Password(_)) {
                PASSWORD_PAUSE
            } else {
                BACKOFF.delay(attempt, rng.random())
            };
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    fn up(&self, session: &Arc<Session>) {
        tracing::info!(redis.generation = session.generation, "Redis is there");
        self.0.session.store(Some(Arc::clone(session)));
        self.0.state.send_replace(RedisState { generation: session.generation, is_up: true, trouble: None });
    }

    /// Says once what happened; another attempt that fails in the same way is no news.
    fn down(&self, generation: u64, why: &RedisError) {
        self.0.session.store(None);
        let trouble: Arc<str> = sentence(why).into();
        let news = RedisState { generation, is_up: false, trouble: Some(Arc::clone(&trouble)) };
        let former = self.0.state.send_replace(news);
        let is_password = |text: &Arc<str>| text.contains("redis.url");
        let is_news = former.trouble.as_ref().map(is_password) != Some(is_password(&trouble));
        match why {
            RedisError::Password(_) if is_news => tracing::error!("{trouble}"),
            _ if is_news => tracing::warn!("{trouble}; going on without it and trying again"),
            _ => {}
        }
    }
}

/// What is wrong and what to do.
fn sentence(why: &RedisError) -> String {
    match why {
        RedisError::Password(said) => {
            format!("Redis refuses the user name or password; set redis.url right ({said})")
        }
        RedisError::Away | RedisError::Timeout => "Redis does not answer in time".to_owned(),
        other => format!("Redis is away: {other}"),
    }
}
