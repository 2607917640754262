//! Units of work that share a commit on `SQLite`: its one writer pays for a durable commit once per group.
//!
//! Who brings a unit puts it into the queue and leads if nobody does: the leader runs what waits in one transaction,
//! each unit behind a savepoint of its own, commits, and tells everybody. While it commits the next group gathers.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{BEGIN_ATTEMPTS_MAX, Done, EFFECT_LIMIT, Effect, Unit};
use crate::StorageError;
use crate::db::{Db, Pools, Tx};

/// Units of one commit.
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

    fn pop(&self) -> Option<Box<dyn Member>> {
        self.waiting().pop_front()
    }
}

/// A unit of any kind, as its leader sees it.
trait Member: Send {
    /// Does everything but the commit. An error means that the whole transaction is lost.
    fn run<'t>(&'t mut self, db: &'t Db, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StorageError>>;

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
    fn run<'t>(&'t mut self, db: &'t Db, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StorageError>> {
        async move {
            let applied = tokio::time::timeout(EFFECT_LIMIT, self.unit.apply(db, tx));
            let ran = match AssertUnwindSafe(applied).catch_unwind().await {
                Ok(Ok(Ok(done))) => Ok(done.ok_or(StorageError::Busy)),
                Ok(Ok(Err(error))) => Ok(Err(error)),
                Ok(Err(_elapsed)) => Ok(Err(StorageError::Timeout)),
                Err(panic) => Err(panic),
            };
            let keeps = matches!(&ran, Ok(Ok(done)) if !done.repeated);
            let undone = if keeps { Ok(()) } else { tx.undo_unit().await };
            // A full disk takes the whole transaction away: the failure that did it is the one to tell.
            let lost = undone.map_err(|error| match &ran {
                Ok(Err(first)) => first.clone(),
                _ => error,
            });
            self.ran = Some(ran);
            lost
        }
        .boxed()
    }

    fn end(self: Box<Self>, committed: &Result<(), StorageError>) {
        let ran = match (self.ran, committed) {
            (Some(Ok(Ok(_))) | None, Err(error)) => Ok(Err(error.clone())),
            (Some(ran), _) => ran,
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
    lead(db, units).await;
    match told.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(StorageError::Closed),
    }
}

/// Leads until nothing waits, unless somebody else does.
async fn lead(db: &Db, units: &Group) {
    // Who pushes after a leader's last look may still find the lock taken: so the leader looks again behind it.
    while !units.waiting().is_empty() {
        let Ok(_leading) = units.leading.try_lock() else { return };
        while let Some(first) = units.pop() {
            run_group(db, units, first).await;
        }
    }
}

async fn run_group(db: &Db, units: &Group, first: Box<dyn Member>) {
    let mut tx = match begin(db).await {
        Ok(tx) => tx,
        Err(error) => return first.end(&Err(error)),
    };
    let started = Instant::now();
    let mut members = Vec::new();
    let mut next = Some(first);
    let mut alive = Ok(());
    while let Some(mut member) = next.take() {
        alive = member.run(db, &mut tx).await;
        members.push(member);
        if alive.is_ok() && members.len() < GROUP_MAX && started.elapsed() < GROUP_TIME_MAX {
            next = units.pop();
        }
    }
    let committed = match alive {
        Ok(()) => tx.commit().await,
        Err(error) => {
            drop(tx);
            Err(error)
        }
    };
    for member in members {
        member.end(&committed);
    }
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
