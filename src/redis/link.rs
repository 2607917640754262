//! One connection and the task that opens it again and again.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::ConnectHandle;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use ulid::Ulid;

use super::connect::Connector;
use super::report::Report;
use super::{Purpose, RedisError};

/// Wait before the first new attempt; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Longest wait before a new attempt, so that a server that is back is used again within 2 s.
const BACKOFF_MAX: Duration = Duration::from_millis(1_250);
/// Waits are stretched by up to this part, so that nodes do not come back all at once.
const JITTER: f64 = 0.2;
/// How often a connection that nobody uses is tried.
const PING_EVERY: Duration = Duration::from_secs(1);

/// An open connection.
#[derive(Clone, Debug)]
pub struct Live {
    pub client: Client,
    /// Counts the connections of this purpose, from 1. What was in Redis before may be gone.
    pub generation: u64,
}

/// One connection, or the lack of it.
pub(super) struct Link {
    pub purpose: Purpose,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    /// `None` while there is none.
    live: Option<Live>,
    /// Connections so far.
    generation: u64,
    /// Whether the first attempt has ended.
    tried: bool,
    /// Why the last one ended, until it was reported.
    given_up: Option<RedisError>,
}

impl Link {
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, state: watch::Sender::default() }
    }

    pub fn live(&self) -> Option<Live> {
        self.state.borrow().live.clone()
    }

    pub async fn tried(&self) {
        // Fails only without a sender, which is ours.
        drop(self.state.subscribe().wait_for(|state| state.tried).await);
    }

    pub async fn newer(&self, generation: u64) -> Live {
        let mut states = self.state.subscribe();
        let is_newer = |state: &State| state.live.as_ref().is_some_and(|live| live.generation > generation);
        let state = states.wait_for(is_newer).await.expect("the sender is a field beside this");
        state.live.clone().expect("was just looked at")
    }

    pub async fn lost(&self, generation: u64) {
        let is_lost = |state: &State| state.live.as_ref().is_none_or(|live| live.generation != generation);
        drop(self.state.subscribe().wait_for(is_lost).await);
    }

    /// Ends the connection of that generation for everybody, at once.
    pub fn give_up(&self, generation: u64, error: &RedisError) {
        self.state.send_if_modified(|state| {
            let is_it = state.live.as_ref().is_some_and(|live| live.generation == generation);
            if is_it {
                state.live = None;
                state.given_up = Some(error.clone());
            }
            is_it
        });
    }

    fn up(&self, client: Client) -> u64 {
        let mut generation = 0;
        self.state.send_modify(|state| {
            state.generation += 1;
            generation = state.generation;
            state.live = Some(Live { client, generation });
            (state.tried, state.given_up) = (true, None);
        });
        generation
    }

    fn why(&self) -> RedisError {
        self.state.borrow().given_up.clone().unwrap_or(RedisError::Away)
    }
}

/// Opens the connection, waits for its end, and begins anew, for ever.
pub(super) async fn serve(
    link: Arc<Link>,
    connector: Arc<Connector>,
    report: Arc<Report>,
    timeout: Duration,
) {
    // Other than in other processes, which may have lost the same server at the same moment.
    let mut rng =
        SmallRng::seed_from_u64(u64::from_le_bytes(*Ulid::new().to_bytes().last_chunk().expect("16 bytes")));
    let mut n_failed = 0;
    loop {
        let error = match connector.open(link.purpose).await {
            Ok((client, task)) => {
                n_failed = 0;
                // Before anybody hears of the connection: who waited for it may ask how Redis is.
                report.up(link.purpose);
                let generation = link.up(client.clone());
                watch_over(&link, Live { client, generation }, task, timeout).await;
                link.why()
            }
            Err(error) => {
                link.state.send_if_modified(|state| !std::mem::replace(&mut state.tried, true));
                error
            }
        };
        report.away(link.purpose, &error);
        tokio::time::sleep(wait(n_failed).mul_f64(1.0 + rng.random_range(0.0..JITTER))).await;
        n_failed += 1;
    }
}

/// Returns when the connection is lost, was given up, or leaves a PING without answer; then nobody uses it any more.
async fn watch_over(link: &Link, live: Live, task: ConnectHandle, timeout: Duration) {
    let mut task = AbortOnDrop(task);
    let lost = link.lost(live.generation);
    tokio::pin!(lost);
    loop {
        tokio::select! {
            ended = &mut task.0 => {
                let text = match ended {
                    Ok(Err(error)) => error.details().to_owned(),
                    Ok(Ok(())) | Err(_) => "the server closed it".to_owned(),
                };
                return link.give_up(live.generation, &RedisError::Broken(text));
            }
            () = &mut lost => return,
            () = tokio::time::sleep(PING_EVERY) => {}
        }
        let ping = tokio::time::timeout(timeout, live.client.ping::<()>(None)).await;
        let error = match ping {
            // A server that is loading, or out of memory, still answers.
            Ok(Ok(())) => continue,
            Ok(Err(error)) => RedisError::from(error),
            Err(_elapsed) => RedisError::Timeout,
        };
        link.give_up(live.generation, &error);
    }
}

/// The task of a connection, which would outlive its handle.
struct AbortOnDrop(ConnectHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn wait(n_failed: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(n_failed)).min(BACKOFF_MAX)
}
