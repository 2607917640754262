//! Read replicas of `PostgreSQL`: which of them may answer a list, looked at each second from outside.
//!
//! A replica answers lists while the last look found it well: it answered in time, is in recovery, and is not too far
//! behind. Nobody reads from one unless the statement is marked with [`Statement::on_replicas`] and the caller asks
//! for [`Db::lists`]; everything else is the primary's.
//!
//! [`Statement::on_replicas`]: crate::Statement::on_replicas

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::position::{Lsn, Positions};
use super::{Db, Statement, Target, on, sql};
use crate::StorageError;
use crate::rows::Text;

/// Most replicas; each has its name in the metrics.
pub const REPLICAS_MAX: usize = 8;

pub(super) const NAMES: [&str; REPLICAS_MAX] =
    ["replica-1", "replica-2", "replica-3", "replica-4", "replica-5", "replica-6", "replica-7", "replica-8"];

/// A replica that takes longer to say how it is serves nothing.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest list query on a replica; then the primary is asked.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for the position behind a write. Without it the caller's lists go to the primary.
const POSITION_TIMEOUT: Duration = Duration::from_millis(500);

/// A look holds for so long: when nobody looks any more, nobody reads from replicas.
const LOOK_VALID: Duration = Duration::from_secs(5);

/// The replicas of one primary; empty on `SQLite`.
pub(crate) struct Replicas {
    all: Vec<Replica>,
    /// Asks the primary for its position on a connection of its own. `None` without replicas.
    primary: Option<Db>,
    positions: Mutex<Positions>,
    lag_max: Duration,
    /// Whose turn it is.
    turn: AtomicUsize,
}

/// One replica.
pub(super) struct Replica {
    name: &'static str,
    /// What lists run on.
    lists: Db,
    /// One connection for looking at it, so that many lists do not make it look ill.
    probe: Db,
    look: Mutex<Look>,
}

/// What the last look at a replica saw.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// `None` before the first one.
    at: Option<Instant>,
    replayed: Lsn,
    /// How far it is behind.
    state: Result<Duration, Unfit>,
}

/// Why a replica serves no lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has not replayed what was written before the first look, so nobody knows yet how far it is behind.
    Unknown,
    /// It did not answer within 500 ms.
    Silent,
    /// It is a server of its own: promoted, or never a replica.
    NotInRecovery,
    /// Further behind than `storage.replica_lag_max_ms`.
    Behind,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "it has not replayed what was written before the first look at it",
            Self::Silent => "it does not answer within 500 ms",
            Self::NotInRecovery => "it is no replica: the server is not in recovery",
            Self::Behind => "it is further behind than storage.replica_lag_max_ms",
        })
    }
}

/// How a replica is, for `doctor` and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaReport {
    /// `replica-1` and so on, in the order of the configuration; also its pool's name.
    pub name: &'static str,
    /// `PostgreSQL at host/database`.
    pub place: String,
    /// How far it is behind, or why it serves no lists.
    pub state: Result<Duration, Unfit>,
}

impl Replicas {
    /// No replicas.
    pub fn none() -> Self {
        Self {
            all: Vec::new(),
            primary: None,
            positions: Mutex::new(Positions::new(Duration::ZERO)),
            lag_max: Duration::ZERO,
            turn: AtomicUsize::new(0),
        }
    }

    /// Replicas as pairs of handles: one for lists, one for looking.
    pub fn new(primary: Db, replicas: Vec<(Db, Db)>, lag_max: Duration) -> Self {
        let all = NAMES.into_iter().zip(replicas).map(|(name, (lists, probe))| {
            let look = Look { at: None, replayed: Lsn::default(), state: Err(Unfit::Unknown) };
            Replica { name, lists, probe, look: Mutex::new(look) }
        });
        let positions = Mutex::new(Positions::new(lag_max));
        Self { all: all.collect(), primary: Some(primary), positions, lag_max, turn: AtomicUsize::new(0) }
    }

    /// The handles that lists run on.
    pub fn lists(&self) -> impl Iterator<Item = &Db> {
        self.all.iter().map(|replica| &replica.lists)
    }

    /// Closes every connection. A replica that hangs is not waited for.
    pub async fn close(&self) {
        let handles =
            self.all.iter().flat_map(|replica| [&replica.lists, &replica.probe]).chain(&self.primary);
        let closing = join_all(handles.map(|db| Box::pin(db.close())));
        drop(tokio::time::timeout(ANSWER_TIMEOUT, closing).await);
    }

    /// The next replica in turn that is well and has replayed `after`.
    pub(super) fn pick(&self, after: Option<Lsn>) -> Option<&Db> {
        let n_all = self.all.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..n_all).map(|n| &self.all[(first.wrapping_add(n)) % n_all]);
        in_turn.into_iter().find(|replica| replica.look().serves(after)).map(|replica| &replica.lists)
    }

    fn judge(&self, replayed: Lsn, now: Instant) -> Result<Duration, Unfit> {
        match self.positions().lag_of(replayed, now) {
            Ok(lag) if lag <= self.lag_max => Ok(lag),
            Err(at_least) if at_least <= self.lag_max => Err(Unfit::Unknown),
            Ok(_) | Err(_) => Err(Unfit::Behind),
        }
    }

    fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn serves(&self, after: Option<Lsn>) -> bool {
        self.state.is_ok()
            && self.at.is_some_and(|at| at.elapsed() <= LOOK_VALID)
            && after.is_none_or(|after| self.replayed >= after)
    }
}

impl Replica {
    fn look(&self) -> Look {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is in recovery, and how much it has replayed.
    async fn replayed(&self) -> Result<(bool, Lsn), StorageError> {
        let (in_recovery, replayed) = on!(&self.probe, &REPLAYED, fetch_one as (bool, Text<Lsn>))?;
        Ok((in_recovery, replayed.0))
    }

    /// Looks at it anew; a change of state is logged once.
    async fn check(&self, replicas: &Replicas) {
        let at = Instant::now();
        let answer = self.replayed().await;
        let (now, before) = (Instant::now(), self.look());
        let (replayed, state) = match answer {
            Err(_) => (before.replayed, Err(Unfit::Silent)),
            Ok(_) if now - at > ANSWER_TIMEOUT => (before.replayed, Err(Unfit::Silent)),
            Ok((false, _)) => (before.replayed, Err(Unfit::NotInRecovery)),
            Ok((true, replayed)) => (replayed, replicas.judge(replayed, now)),
        };
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Look { at: Some(at), replayed, state };
        if state.err() != before.state.err() {
            match state {
                Err(Unfit::Unknown) => {}
                Ok(_) => tracing::info!(replica = self.name, "{} serves lists", self.probe.place()),
                Err(why) => tracing::warn!(
                    replica = self.name,
                    "{} serves no lists, the primary does: {why}",
                    self.probe.place()
                ),
            }
        }
    }
}

impl Db {
    /// Whether lists may come from elsewhere.
    pub fn has_replicas(&self) -> bool {
        !self.inner.replicas.all.is_empty()
    }

    /// Where lists are read: on a replica that has replayed `after`, else on the primary.
    pub const fn lists(&self, after: Option<Lsn>) -> Target<'_> {
        Target::Lists { db: self, after }
    }

    /// A position behind everything committed so far, for [`Db::lists`]. `None` without replicas: nobody needs it.
    pub async fn position(&self) -> Option<Lsn> {
        if !self.has_replicas() {
            return None;
        }
        match tokio::time::timeout(POSITION_TIMEOUT, positions(self)).await {
            Ok(Ok((inserted, _))) => Some(inserted),
            // The write stands. Its caller reads from the primary until its next write.
            Ok(Err(_)) | Err(_) => Some(Lsn::MAX),
        }
    }

    /// Looks at every replica, which takes at most 2 s. Call it each second.
    pub async fn check_replicas(&self) {
        let replicas = &self.inner.replicas;
        let Some(primary) = &replicas.primary else { return };
        let asked_at = Instant::now();
        // Without an answer the positions grow old, and the replicas with them.
        if let Ok((_, written)) = positions(primary).await {
            replicas.positions().note(asked_at, written);
        }
        join_all(replicas.all.iter().map(|replica| replica.check(replicas))).await;
    }

    /// How the replicas were at the last look.
    pub fn replicas(&self) -> Vec<ReplicaReport> {
        let report = |replica: &Replica| ReplicaReport {
            name: replica.name,
            place: replica.probe.place().to_owned(),
            state: replica.look().state,
        };
        self.inner.replicas.all.iter().map(report).collect()
    }
}

/// Where the primary inserts, and what it has written so far: a commit that does not wait for the disk is inserted only.
async fn positions(primary: &Db) -> Result<(Lsn, Lsn), StorageError> {
    let (inserted, written) = on!(primary, &POSITIONS, fetch_one as (Text<Lsn>, Text<Lsn>))?;
    Ok((inserted.0, written.0))
}

const POSITIONS: Statement = sql!("select", "wal",
    sqlite: "SELECT '0/0', '0/0'",
    postgres: "SELECT CAST(pg_current_wal_insert_lsn() AS TEXT), CAST(pg_current_wal_lsn() AS TEXT)");

const REPLAYED: Statement = sql!("select", "wal",
    sqlite: "SELECT FALSE, '0/0'",
    postgres: "SELECT pg_is_in_recovery(), COALESCE(CAST(pg_last_wal_replay_lsn() AS TEXT), '0/0')");

pub(crate) const STATEMENTS: &[&Statement] = &[&POSITIONS, &REPLAYED];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_serves_while_it_is_fresh_and_well_and_far_enough() {
        let now = Instant::now();
        let at = |text: &str| text.parse::<Lsn>().expect("a position");
        let look = Look { at: Some(now), replayed: at("1/10"), state: Ok(Duration::ZERO) };
        assert!(look.serves(None) && look.serves(Some(at("1/10"))));
        assert!(!look.serves(Some(at("1/11"))) && !look.serves(Some(Lsn::MAX)));
        assert!(!Look { state: Err(Unfit::Behind), ..look }.serves(None));
        assert!(!Look { at: None, ..look }.serves(None));
        let long_ago = now.checked_sub(LOOK_VALID + Duration::from_millis(1));
        assert!(!Look { at: long_ago, ..look }.serves(None), "nobody looks any more");
    }
}
