//! The reader of this process's partitions: claims what waits, runs handlers, writes down how they ended.
//!
//! One task. Handlers run beside each other in it, and beside at most one claim and one settling, so that batches grow
//! as large as the database is slow.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Partition, PartitionSet};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use storage::StorageError;
use storage::queue::{Claimed, Failure, Settled};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::claiming::{Claimer, Claims, Wish};
use super::in_flight::{Held, IN_FLIGHT_MAX, InFlight};
use super::{HandleError, Handler, Policy, Queue, meters};

/// Room that is worth a claim's commit.
const CLAIM_ROOM_MIN: usize = IN_FLIGHT_MAX / 4;

/// After the end was asked for: time for handlers that run to end, and for writing that down.
const END_WITHIN: Duration = Duration::from_secs(1);

/// What a reader is made of.
#[derive(Clone, Debug)]
pub struct ReaderSpec {
    pub queue: Arc<Queue>,
    pub handlers: Vec<Arc<dyn Handler>>,
    pub policy: Policy,
    /// Cancelled when the node stops: nothing is claimed any more, what runs is finished.
    pub stop_claiming: CancellationToken,
}

impl ReaderSpec {
    /// Reads until `stop` is cancelled, and a second longer for what still runs.
    ///
    /// # Cancel safety
    /// Dropped, it is a dead reader: its messages are handled again when their leases end.
    pub async fn run(self, stop: CancellationToken) {
        let queue = Arc::clone(&self.queue);
        let reader = Reader::new(self);
        let name = reader.claimer.name.clone();
        let far_rings = Box::pin(async {
            match &queue.far_bell {
                Some(far_bell) => far_bell.run(&queue, &name).await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            () = Box::pin(reader.run(&stop)) => {}
            () = far_rings => {}
            never = meters::sample(&queue) => match never {},
        }
    }
}

type Settling = BoxFuture<'static, (Settled, Result<Vec<i64>, StorageError>)>;
type Claiming = BoxFuture<'static, (Wish, Result<Claims, StorageError>)>;

struct Reader {
    spec: ReaderSpec,
    handlers: HashMap<&'static str, Arc<dyn Handler>>,
    claimer: Claimer,
    in_flight: InFlight,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// The message that was taken over from a dead reader and runs now; `None` when none does.
    lapsed: Option<i64>,
    /// What ended and is not yet written down.
    settled: Settled,
    /// How many the settling under way writes down.
    n_settling: usize,
    settling: Option<Settling>,
    claiming: Option<Claiming>,
    /// What is to be claimed.
    wish: Wish,
    /// The partition that the next claim begins with.
    turn: Partition,
    /// The database failed; it is left alone until the next look.
    is_resting: bool,
    /// The failure was told; another one is no news until something succeeded.
    is_told: bool,
}

/// How an attempt ended.
struct Ended {
    message: Claimed,
    result: Result<(), HandleError>,
}

impl Reader {
    fn new(spec: ReaderSpec) -> Self {
        let Policy { lease, handler_timeout, .. } = spec.policy;
        Self {
            handlers: spec.handlers.iter().map(|handler| (handler.topic(), Arc::clone(handler))).collect(),
            claimer: Claimer { db: spec.queue.db.clone(), name: Ulid::new().to_string(), lease },
            in_flight: InFlight::new(lease.saturating_sub(handler_timeout) / 2),
            running: FuturesUnordered::new(),
            lapsed: None,
            settled: Settled::default(),
            n_settling: 0,
            settling: None,
            claiming: None,
            wish: Wish::default(),
            turn: Partition::default(),
            is_resting: false,
            is_told: false,
            spec,
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        let (queue, stop_claiming) = (Arc::clone(&self.spec.queue), self.spec.stop_claiming.clone());
        let mut look = tokio::time::interval(self.spec.policy.look_every);
        let mut end = pin!(async {
            stop.cancelled().await;
            tokio::time::sleep(END_WITHIN).await;
        });
        loop {
            let is_stopping = stop_claiming.is_cancelled() || stop.is_cancelled();
            if is_stopping {
                self.settled.released.extend(self.in_flight.release_waiting());
            } else {
                self.begin_claim();
            }
            self.begin_settling();
            if stop.is_cancelled() && self.is_idle() {
                return;
            }
            tokio::select! {
                Some(ended) = self.running.next(), if !self.running.is_empty() => self.ended(ended),
                (settled, result) = done(&mut self.settling) => self.wrote(settled, result),
                (wish, result) = done(&mut self.claiming) => self.claimed(wish, result, is_stopping),
                rung = queue.bell.wait(), if !is_stopping => self.wish.first = self.wish.first.or(rung),
                _ = look.tick() => (self.is_resting, self.wish) = (false, Wish::EVERYTHING),
                () = stop_claiming.cancelled(), if !is_stopping => {}
                () = stop.cancelled(), if !is_stopping => {}
                () = &mut end => return,
            }
        }
    }

    fn is_idle(&self) -> bool {
        let under_way = self.settling.is_some() || self.claiming.is_some();
        self.running.is_empty() && self.settled.is_empty() && !under_way
    }

    fn begin_claim(&mut self) {
        let in_hand = self.in_flight.len() + self.settled.len() + self.n_settling;
        let room = IN_FLIGHT_MAX.saturating_sub(in_hand);
        if self.claiming.is_some() || self.is_resting || room < CLAIM_ROOM_MIN {
            return;
        }
        let (owned, full) = (*self.spec.queue.owned.borrow(), self.in_flight.full());
        let wish = Wish {
            first: self.wish.first.and(owned).except(full),
            lapsed: self.wish.lapsed && self.lapsed.is_none(),
            ..self.wish
        };
        if wish.is_empty() || owned.is_empty() {
            return;
        }
        self.wish = Wish { first: self.wish.first.and(full), ..Wish::default() };
        let claim = self.claimer.clone().claim(wish, owned, room, self.turn);
        self.claiming = Some(Box::pin(claim.map(move |result| (wish, result))));
    }

    fn claimed(&mut self, wish: Wish, result: Result<Claims, StorageError>, is_stopping: bool) {
        let claims = match result {
            Ok(claims) => claims,
            Err(error) => {
                self.rest("claim messages", &error);
                return;
            }
        };
        self.is_told = false;
        // A partition that gave something may have more.
        let gave: PartitionSet = claims.first.iter().map(|message| message.partition).collect();
        self.wish.first = self.wish.first.or(if claims.is_full { wish.first } else { gave });
        // The next claim goes on behind the last one, or partitions in front would starve those at the end.
        let place = |partition: &Partition| partition.distance_from(self.turn);
        self.turn = gave.iter().max_by_key(place).map_or(self.turn, Partition::next);
        self.wish.retries |= !claims.retries.is_empty();
        self.lapsed = claims.lapsed.as_ref().map(|message| message.id).or(self.lapsed);
        for message in claims.lapsed.into_iter().chain(claims.retries).chain(claims.first) {
            meters::claimed(&message);
            if is_stopping {
                self.settled.released.push(message.id);
            } else if let Some(held) = self.in_flight.admit(Held { message, claimed_at: claims.asked_at }) {
                self.start(held);
            }
        }
    }

    /// Leaves a database that failed alone until the next look.
    fn rest(&mut self, what: &str, error: &StorageError) {
        self.is_resting = true;
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(%error, "the queue's reader cannot {what}, trying again");
        }
    }

    fn start(&self, held: Held) {
        let handler = self.handlers.get(held.message.topic.as_str()).map(Arc::clone);
        self.running.push(Box::pin(attempt(handler, held.message, self.spec.policy.handler_timeout)));
    }

    /// Takes what ended, and all else that has ended by now, so that it is written down together.
    fn ended(&mut self, first: Ended) {
        let mut ended = Some(first);
        while let Some(Ended { message, result }) = ended {
            match result {
                Ok(()) => self.settled.done.push(message.id),
                Err(error) => self.settled.failed.push(failure(&message, &error)),
            }
            if self.lapsed == Some(message.id) {
                (self.lapsed, self.wish.lapsed) = (None, true);
            }
            let next = self.in_flight.ended(&message.key, message.partition);
            match next.run {
                // Told to stop between two turns: what has not begun goes back.
                Some(held) if self.spec.stop_claiming.is_cancelled() => {
                    self.settled.released.push(held.message.id);
                }
                Some(held) => self.start(held),
                None => {}
            }
            if !next.released.is_empty() {
                self.settled.released.extend(next.released);
                self.wish.first = self.wish.first.with(message.partition);
            }
            ended = self.running.next().now_or_never().flatten();
        }
    }

    fn begin_settling(&mut self) {
        if self.settling.is_some() || self.is_resting || self.settled.is_empty() {
            return;
        }
        let settled = std::mem::take(&mut self.settled);
        self.n_settling = settled.len();
        let (claimer, backoff) = (self.claimer.clone(), self.spec.policy.backoff);
        self.settling = Some(Box::pin(async move {
            let result = storage::queue::settle(&claimer.db, &claimer.name, &settled, backoff).await;
            (settled, result)
        }));
    }

    /// What could not be written down is tried again; when its lease ends before, it is handled again.
    fn wrote(&mut self, settled: Settled, result: Result<Vec<i64>, StorageError>) {
        self.n_settling = 0;
        match result {
            Ok(dead) => {
                for failure in settled.failed.iter().filter(|failure| dead.contains(&failure.id)) {
                    tracing::warn!(
                        message.id = failure.id,
                        reason = failure.reason,
                        "a message is a dead letter"
                    );
                }
            }
            Err(error) => {
                self.rest("write down what was handled", &error);
                self.settled.done.extend(settled.done);
                self.settled.failed.extend(settled.failed);
                self.settled.released.extend(settled.released);
            }
        }
    }
}

/// Runs one attempt to its end, its limit or its panic.
async fn attempt(handler: Option<Arc<dyn Handler>>, message: Claimed, limit: Duration) -> Ended {
    let started = Instant::now();
    let result = match handler {
        None => Err(HandleError::Retry(format!("this program has no handler of {}", message.topic))),
        Some(handler) => {
            let handling = AssertUnwindSafe(async { handler.handle(&message).await }).catch_unwind();
            match tokio::time::timeout(limit, handling).await {
                Ok(Ok(result)) => result,
                Ok(Err(_panic)) => Err(HandleError::Retry("its handler panicked".to_owned())),
                Err(_elapsed) => {
                    Err(HandleError::Retry(format!("its handler took longer than {} ms", limit.as_millis())))
                }
            }
        }
    };
    meters::handled(&message, started.elapsed());
    Ended { message, result }
}

fn failure(message: &Claimed, error: &HandleError) -> Failure {
    tracing::debug!(message.id = message.id, attempt = message.attempt, %error, "a message was not handled");
    let is_final = matches!(error, HandleError::GiveUp(_));
    Failure { id: message.id, reason: error.to_string(), is_final }
}

/// Waits for a future that may be there, and takes it out.
async fn done<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let output = future.await;
            *slot = None;
            output
        }
        None => std::future::pending().await,
    }
}
