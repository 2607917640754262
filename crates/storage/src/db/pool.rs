//! A pool of connections that knows who waits for it and for how long.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use sqlx::Transaction;
use sqlx::pool::PoolConnection;

/// How busy a pool is, for `waddlebot_db_connections` and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGauge {
    /// `writer` and `readers` on `SQLite`; `main`, `replica-1`, … on `PostgreSQL`.
    pub pool: &'static str,
    pub in_use: u32,
    pub idle: u32,
    pub max: u32,
    /// Callers that wait for a connection right now.
    pub waiting: u32,
    /// Callers that waited in vain, since the start.
    pub n_timeouts: u64,
}

/// The driver's pool under a name. What is done with connections is done through the driver's own.
pub(crate) struct Pool<D: sqlx::Database> {
    name: &'static str,
    driver: sqlx::Pool<D>,
    waiting: AtomicU32,
    n_timeouts: AtomicU64,
}

impl<D: sqlx::Database> Pool<D> {
    pub fn new(name: &'static str, driver: sqlx::Pool<D>) -> Self {
        Self { name, driver, waiting: AtomicU32::new(0), n_timeouts: AtomicU64::new(0) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub async fn acquire(&self) -> Result<PoolConnection<D>, sqlx::Error> {
        let waiting = Waiting::new(&self.waiting);
        let got = self.driver.acquire().await;
        self.note(&waiting, &got);
        got
    }

    /// Begins a transaction with that statement.
    pub async fn begin(&self, statement: &'static str) -> Result<Transaction<'static, D>, sqlx::Error> {
        let waiting = Waiting::new(&self.waiting);
        let got = self.driver.begin_with(statement).await;
        self.note(&waiting, &got);
        got
    }

    pub fn gauge(&self) -> PoolGauge {
        let idle = u32::try_from(self.driver.num_idle()).unwrap_or(u32::MAX);
        PoolGauge {
            pool: self.name,
            in_use: self.driver.size().saturating_sub(idle),
            idle,
            max: self.driver.options().get_max_connections(),
            waiting: self.waiting.load(Ordering::Relaxed),
            n_timeouts: self.n_timeouts.load(Ordering::Relaxed),
        }
    }

    /// Notes how long a caller waited. What is awaited stays with the caller: handed over it would take its room twice in
    /// every actor's turn.
    fn note<T>(&self, waiting: &Waiting<'_>, got: &Result<T, sqlx::Error>) {
        metrics::histogram!("waddlebot_db_pool_wait_seconds", "service" => "waddlebot", "pool" => self.name)
            .record(waiting.since.elapsed().as_secs_f64());
        if matches!(got, Err(sqlx::Error::PoolTimedOut)) {
            self.n_timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<D: sqlx::Database> Deref for Pool<D> {
    type Target = sqlx::Pool<D>;

    fn deref(&self) -> &sqlx::Pool<D> {
        &self.driver
    }
}

/// Counts a caller as waiting for as long as it lives, however its wait ends.
struct Waiting<'a> {
    all: &'a AtomicU32,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(all: &'a AtomicU32) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self { all, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
