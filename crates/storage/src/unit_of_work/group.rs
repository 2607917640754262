//! Units of work that share a commit on `SQLite`: its one writer pays for a durable commit once per group.
//!
//! Who brings a unit puts it into the queue and starts a leader if nobody leads: it runs what waits in one transaction,
//! each unit behind a savepoint of its own, commits, and tells everybody. While it commits the next group gathers.

use std::any::Any;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{
    BEGIN, BEGIN_ATTEMPTS_MAX, Done, EFFECT_LIMIT, END, Effect, Entry, FORGET, OUTCOMES, Unit, check_fence,
    to_json,
};
use crate::StorageError;
use crate::db::{Db, Pools, Tx, on};
use crate::rows::micros;

/// Units that are begun and ended together: a turn to the writer's thread costs as much as a statement.
const BATCH_MAX: usize = 64;

/// Units of one commit, about.
const GROUP_MAX: usize = 256;

/// A group that ran so long is committed with what it has, so that nobody waits for many slow ones.
const GROUP_TIME_MAX: Duration = Duration::from_millis(20);

/// Units that may wait for the writer; more are refused as busy.
const WAITING_MAX: usize = 8_192;

/// The units that wait for the writer of one database.
#[derive(Default)]
pub(crate) struct Group {
    waiting: Mutex<VecDeque<Box<dyn Member>>>,
    /// Held by who leads.
    leading: tokio::sync::Mutex<()>,
}

impl Group {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Box<dyn Member>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, member: Box<dyn Member>) -> Result<(), StorageError> {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            return Err(StorageError::Busy);
        }
        waiting.push_back(member);
        Ok(())
    }

    fn put_back(&self, members: Vec<Box<dyn Member>>) {
        let mut waiting = self.waiting();
        for member in members.into_iter().rev() {
            waiting.push_front(member);
        }
    }

    /// The oldest that wait, at most a batch of them.
    fn take(&self) -> Vec<Box<dyn Member>> {
        let mut waiting = self.waiting();
        let n_taken = waiting.len().min(BATCH_MAX);
        waiting.drain(..n_taken).collect()
    }
}

/// A unit of any kind, as its leader sees it.
trait Member: Send {
    fn op(&self) -> &str;

    fn now(&self) -> DateTime<Utc>;

    /// Does the work and tells what is to be written with it. `None`: it failed, and its caller will hear why.
    fn work<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Option<Entry>>;

    /// Why it failed. `None`: it did not, or it panicked.
    fn failure(&self) -> Option<StorageError>;

    /// An earlier unit of the same id came to this outcome.
    fn repeat(&mut self, db: &Db, outcome: &str);

    /// Tells the caller how it ended.
    fn end(self: Box<Self>, committed: &Result<(), StorageError>);
}

/// How a unit ended before the commit: its result, or the panic of its work.
type Ran<T> = Result<Result<Done<T>, StorageError>, Box<dyn Any + Send>>;

struct Brought<T, F> {
    unit: Unit<F>,
    /// `None` until it ran.
    ran: Option<Ran<T>>,
    caller: oneshot::Sender<Ran<T>>,
}

impl<T, F> Member for Brought<T, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send,
{
    fn op(&self) -> &str {
        self.unit.op.as_str()
    }

    fn now(&self) -> DateTime<Utc> {
        self.unit.now
    }

    fn work<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Option<Entry>> {
        async move {
            let worked = tokio::time::timeout(EFFECT_LIMIT, async {
                check_fence(tx, self.unit.scope).await?;
                self.unit.work(tx).await
            });
            let (ran, entry) = match AssertUnwindSafe(worked).catch_unwind().await {
                Ok(Ok(Ok((done, entry)))) => (Ok(Ok(done)), Some(entry)),
                Ok(Ok(Err(error))) => (Ok(Err(error)), None),
                Ok(Err(_elapsed)) => (Ok(Err(StorageError::Timeout)), None),
                Err(panic) => (Err(panic), None),
            };
            self.ran = Some(ran);
            entry
        }
        .boxed()
    }

    fn failure(&self) -> Option<StorageError> {
        match &self.ran {
            Some(Ok(Err(error))) => Some(error.clone()),
            _ => None,
        }
    }

    fn repeat(&mut self, db: &Db, outcome: &str) {
        self.ran = Some(Ok(super::repeated(db, outcome)));
    }

    fn end(self: Box<Self>, committed: &Result<(), StorageError>) {
        let ran = match (self.ran, committed) {
            (Some(Ok(Ok(_))) | None, Err(error)) => Ok(Err(error.clone())),
            (Some(ran), _) => ran,
            // Its row was there and then was not.
            (None, Ok(())) => Ok(Err(StorageError::Busy)),
        };
        // Nobody listens any more when the caller was dropped; the effect stands all the same.
        drop(self.caller.send(ran));
    }
}

/// Runs a unit in a group and waits until that is durable.
pub(super) async fn run<T, F>(db: &Db, unit: Unit<F>) -> Result<Done<T>, StorageError>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
{
    let Pools::Lite { units, .. } = db.pools() else { return Err(StorageError::Closed) };
    let (caller, told) = oneshot::channel();
    units.push(Box::new(Brought { unit, ran: None, caller }))?;
    if units.leading.try_lock().is_ok() {
        let db = db.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "ends when nothing waits; whoever brings a unit must not wait for those of others"
        )]
        drop(tokio::spawn(async move { lead(&db).await }));
    }
    match told.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(StorageError::Closed),
    }
}

/// Leads until nothing waits, unless somebody else does.
async fn lead(db: &Db) {
    let Pools::Lite { units, .. } = db.pools() else { return };
    // Who pushes after a leader's last look may still find the lock taken: so the leader looks again behind it.
    while !units.waiting().is_empty() {
        let Ok(_leading) = units.leading.try_lock() else { return };
        loop {
            let first = units.take();
            if first.is_empty() {
                break;
            }
            run_group(db, units, first).await;
        }
    }
}

async fn run_group(db: &Db, units: &Group, first: Vec<Box<dyn Member>>) {
    let started = Instant::now();
    let mut members = Vec::new();
    let mut batch = first;
    let committed = match begin(db).await {
        Ok(mut tx) => loop {
            let ran = run_batch((db, units), &mut tx, &mut batch).await;
            members.append(&mut batch);
            if let Err(error) = ran {
                drop(tx);
                break Err(error);
            }
            if members.len() < GROUP_MAX && started.elapsed() < GROUP_TIME_MAX {
                batch = units.take();
            }
            if batch.is_empty() {
                break tx.commit().await;
            }
        },
        Err(error) => {
            members = batch;
            Err(error)
        }
    };
    for member in members {
        member.end(&committed);
    }
}

/// Does everything but the commit of some units. An error means that the whole transaction is lost.
///
/// Units for which no time is left come back to the queue; the first one always runs.
async fn run_batch(
    (db, units): (&Db, &Group),
    tx: &mut Tx,
    batch: &mut Vec<Box<dyn Member>>,
) -> Result<(), StorageError> {
    let started = Instant::now();
    let now = batch.iter().map(|member| member.now()).max().unwrap_or_default();
    let ops: Vec<&str> = batch.iter().map(|member| member.op()).collect();
    let ops = to_json(&ops)?;
    let fresh = on!(&mut *tx, &BEGIN, fetch_all as (String,), &ops, micros(now))?;
    let mut fresh: HashSet<String> = fresh.into_iter().map(|(op,)| op).collect();
    let (mut entries, mut repeats, mut n_ran) = (Vec::new(), Vec::new(), 0);
    tx.run("SAVEPOINT unit").await?;
    for (index, member) in batch.iter_mut().enumerate() {
        if index > 0 && started.elapsed() > GROUP_TIME_MAX {
            break;
        }
        n_ran += 1;
        // Of several with one id the first that does not fail works, the others repeat it.
        if !fresh.remove(member.op()) {
            repeats.push(index);
        } else if let Some(entry) = member.work(tx).await {
            entries.push(entry);
            tx.run("RELEASE unit; SAVEPOINT unit").await?;
        } else {
            fresh.insert(member.op().to_owned());
            // A full disk takes the whole transaction away: the failure that did it is the one to tell.
            tx.run("ROLLBACK TO unit").await.map_err(|lost| member.failure().unwrap_or(lost))?;
        }
    }
    tx.run("RELEASE unit").await?;
    units.put_back(batch.split_off(n_ran));
    if !fresh.is_empty() {
        let not_done: Vec<&String> = fresh.iter().collect();
        let not_done = to_json(&not_done)?;
        on!(&mut *tx, &FORGET, execute, not_done)?;
    }
    let entries = to_json(&entries)?;
    on!(&mut *tx, &END, execute, entries, micros(now))?;
    if !repeats.is_empty() {
        let ops: Vec<&str> = repeats.iter().map(|index| batch[*index].op()).collect();
        let ops = to_json(&ops)?;
        let outcomes = on!(tx, &OUTCOMES, fetch_all as (String, String), &ops)?;
        let outcomes: HashMap<String, String> = outcomes.into_iter().collect();
        for index in repeats {
            if let Some(outcome) = outcomes.get(batch[index].op()) {
                batch[index].repeat(db, outcome);
            }
        }
    }
    Ok(())
}

async fn begin(db: &Db) -> Result<Tx, StorageError> {
    let mut attempt = 1;
    loop {
        match db.begin().await {
            Err(StorageError::Busy) if attempt < BEGIN_ATTEMPTS_MAX => attempt += 1,
            begun => return begun,
        }
    }
}
