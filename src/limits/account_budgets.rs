//! What one account of a platform may do in a time, over all nodes: permits are booked in SQL before they are used.
//!
//! Each node books small slices ahead of need and uses them without asking anybody. A slice counts in the database from
//! its booking until its end and one window longer, so that no death, pause or lost answer makes the account do more than it
//! may. While the database is away, nothing beyond what is in hand is used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use storage::Db;
use storage::budgets::{self, BudgetAsk};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::Limit;
use super::purse::{Purse, Request};

/// Distance of two bookings.
const BOOK_EVERY: Duration = Duration::from_millis(20);
/// How often somebody looks for slices that lapse.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// An answer that comes later is of no use.
const BOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The budgets of one account.
#[derive(Debug)]
pub struct AccountBudgets {
    inner: Mutex<Inner>,
    /// Notified when there may be something to book.
    wanted: Notify,
}

#[derive(Debug)]
struct Inner {
    /// `None`: not known yet, and nothing is booked.
    account: Option<String>,
    purses: Vec<Purse>,
}

/// One resource of the account.
#[derive(Clone, Debug)]
pub struct Share {
    budgets: Arc<AccountBudgets>,
    index: usize,
}

/// What is to be booked in one transaction.
struct Requests {
    account: String,
    /// The place of its purse beside each.
    of_purses: Vec<(usize, Request)>,
    /// In the same order.
    asks: Vec<BudgetAsk>,
}

impl AccountBudgets {
    /// Each limit with what is kept in hand of it while it is used now and then.
    pub fn new(limits: impl IntoIterator<Item = (Limit, u32)>) -> Arc<Self> {
        let purses = limits.into_iter().map(|(limit, reserve)| Purse::new(limit, reserve)).collect();
        Arc::new(Self { inner: Mutex::new(Inner { account: None, purses }), wanted: Notify::new() })
    }

    /// The share of the limit with that place in the list.
    pub fn share(self: &Arc<Self>, index: usize) -> Share {
        Share { budgets: Arc::clone(self), index }
    }

    /// Says whose budgets these are, as `platform:login`.
    pub fn serve(&self, account: String) {
        let mut inner = self.lock();
        if inner.account.as_ref() != Some(&account) {
            inner.purses.iter_mut().for_each(Purse::clear);
            inner.account = Some(account);
        }
    }

    /// Books what is wanted until `closed` is cancelled.
    pub async fn run(self: Arc<Self>, db: Db, closed: CancellationToken) {
        let mut is_failing = false;
        let work = async {
            loop {
                if let Some(Requests { account, of_purses: requests, asks }) = self.requests(Instant::now()) {
                    let answer =
                        tokio::time::timeout(BOOK_TIMEOUT, budgets::book(&db, &account, &asks)).await;
                    let failure = match answer {
                        Ok(Ok(booked)) => {
                            self.booked(&account, &requests, &booked);
                            None
                        }
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some("no answer in time".to_owned()),
                    };
                    if let Some(error) = &failure {
                        self.failed(&requests);
                        if !is_failing {
                            tracing::warn!(
                                account,
                                error,
                                "no permits of the account can be booked: it waits"
                            );
                        }
                    }
                    is_failing = failure.is_some();
                }
                tokio::time::sleep(BOOK_EVERY).await;
                drop(tokio::time::timeout(LOOK_EVERY, self.wanted.notified()).await);
            }
        };
        closed.run_until_cancelled(work).await;
    }

    /// What is to be booked now.
    fn requests(&self, now: Instant) -> Option<Requests> {
        let mut inner = self.lock();
        let account = inner.account.clone()?;
        let (mut requests, mut asks) = (Vec::new(), Vec::new());
        for (index, purse) in inner.purses.iter_mut().enumerate() {
            let Some(request) = purse.request(Ulid::new(), now) else { continue };
            asks.push(BudgetAsk {
                resource: purse.resource,
                terms: purse.terms,
                slice: request.slice,
                n: request.n,
                uses: request.uses.clone(),
            });
            requests.push((index, request));
        }
        drop(inner);
        (!asks.is_empty()).then_some(Requests { account, of_purses: requests, asks })
    }

    fn booked(&self, account: &str, requests: &[(usize, Request)], booked: &[domain::Booked]) {
        let (mut inner, now) = (self.lock(), Instant::now());
        if inner.account.as_deref() != Some(account) {
            return;
        }
        for ((index, request), booked) in requests.iter().zip(booked) {
            inner.purses[*index].booked(request, *booked, now);
        }
    }

    fn failed(&self, requests: &[(usize, Request)]) {
        let (mut inner, now) = (self.lock(), Instant::now());
        for (index, _) in requests {
            inner.purses[*index].failed(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// How many permits can be used now.
    pub fn free(&self, now: Instant) -> usize {
        self.budgets.lock().purses[self.index].free(now) as usize
    }

    /// Says how many are waited for; to be said again while that is so.
    pub fn want(&self, n: usize, now: Instant) {
        self.budgets.lock().purses[self.index].want(u32::try_from(n).unwrap_or(u32::MAX), now);
        if n > 0 {
            self.budgets.wanted.notify_one();
        }
    }

    /// Takes `n` permits. The caller asked [`Share::free`] before, at the same time, and nobody else takes of it.
    pub fn take(&self, n: usize, now: Instant) {
        self.budgets.lock().purses[self.index].take(u32::try_from(n).unwrap_or(u32::MAX), now);
        self.budgets.wanted.notify_one();
    }
}
