//! What changed, for every node that holds a copy in memory.
//!
//! A change row is written in the transaction that changes. Its version rises by one per scope and kind and in
//! the order of the commits, so a reader keeps the highest one and ignores repeats.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CommunityId};

use crate::db::{Db, Statement, Tx, on, sql};
use crate::rows::{FromText, Text, micros, page};
use crate::{StorageError, db};

/// Longest page.
pub const PAGE_MAX: u32 = 1_000;

/// Whose copy in memory is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeScope {
    Global,
    Community(CommunityId),
    Channel(ChannelId),
}

/// What is to be loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    Accounts,
    Aliases,
    Channels,
    Commands,
    Modules,
    Roles,
    Settings,
    Timers,
    /// A kind of a newer version of the program: load everything of the scope.
    Other,
}

impl ChangeKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Aliases => "aliases",
            Self::Channels => "channels",
            Self::Commands => "commands",
            Self::Modules => "modules",
            Self::Roles => "roles",
            Self::Settings => "settings",
            Self::Timers => "timers",
            Self::Other => "other",
        }
    }
}

impl FromText for ChangeKind {
    fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "accounts" => Self::Accounts,
            "aliases" => Self::Aliases,
            "channels" => Self::Channels,
            "commands" => Self::Commands,
            "modules" => Self::Modules,
            "roles" => Self::Roles,
            "settings" => Self::Settings,
            "timers" => Self::Timers,
            _ => Self::Other,
        })
    }
}

impl std::fmt::Display for ChangeScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Community(id) => write!(f, "community:{id}"),
            Self::Channel(id) => write!(f, "channel:{id}"),
        }
    }
}

impl FromText for ChangeScope {
    fn from_text(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "global").then_some(Self::Global),
            Some(("community", id)) => CommunityId::parse(id).map(Self::Community),
            Some(("channel", id)) => ChannelId::parse(id).map(Self::Channel),
            Some(_) => None,
        }
    }
}

/// One thing that copies in memory must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    pub scope: ChangeScope,
    pub kind: ChangeKind,
}

impl Change {
    /// Whether a channel of that community must read anew.
    pub fn concerns(&self, channel_id: ChannelId, community_id: CommunityId) -> bool {
        match self.scope {
            ChangeScope::Global => true,
            ChangeScope::Community(id) => id == community_id,
            ChangeScope::Channel(id) => id == channel_id,
        }
    }

    pub const fn new(scope: ChangeScope, kind: ChangeKind) -> Self {
        Self { scope, kind }
    }
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    pub change: Change,
    /// Rises by one per scope and kind, in the order of the commits.
    pub version: i64,
}

/// One row as a reader gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub id: i64,
    pub made: Made,
    pub at: DateTime<Utc>,
}

/// Where a reader stands. Opaque: kept by the reader and handed back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeCursor {
    txid: i64,
    id: i64,
}

/// What is new since a cursor.
#[derive(Clone, Debug)]
pub struct ChangePage {
    /// May repeat rows of an earlier reading while a transaction was open; compare versions.
    pub rows: Vec<ChangeRow>,
    /// Where the rows behind these begin. `None`: there are none yet.
    pub more: Option<ChangeCursor>,
    /// Where the next reading begins once this one has read all `more` pages.
    pub next: ChangeCursor,
}

type Row = (i64, i64, Text<ChangeScope>, Text<ChangeKind>, i64, DateTime<Utc>);

/// Writes the change rows of one transaction, each scope and kind once, and tells their versions.
pub async fn append_all(
    tx: &mut Tx,
    changes: &[Change],
    now: DateTime<Utc>,
) -> Result<Vec<Made>, StorageError> {
    let mut changes = changes.to_vec();
    // One order for everybody, or two transactions could wait for each other's version rows.
    changes.sort_unstable();
    changes.dedup();
    let mut made = Vec::with_capacity(changes.len());
    for change in changes {
        let Change { scope, kind } = change;
        let scope = scope.to_string();
        let (version,) = on!(&mut *tx, &RAISE_VERSION, fetch_one as (i64,), &scope, kind.as_str())?;
        on!(&mut *tx, &INSERT, execute, &scope, kind.as_str(), version, micros(now))?;
        made.push(Made { change, version });
    }
    Ok(made)
}

/// The cursor of now: later calls of [`since`] give only what is committed after this one began.
pub async fn head(db: &Db) -> Result<ChangeCursor, StorageError> {
    let (txid, id) = on!(db, &HEAD, fetch_one as (i64, i64))?;
    Ok(ChangeCursor { txid, id })
}

/// What was committed since `cursor`, at most `limit` rows, in the order in which they may be applied.
///
/// On `PostgreSQL` ids may be committed out of order, so the next reading begins at the oldest transaction that was
/// still running when this one began: rows may come twice, and none is missed.
pub async fn since(db: &Db, cursor: ChangeCursor, limit: u32) -> Result<ChangePage, StorageError> {
    let limit = page(limit, PAGE_MAX);
    // Taken before the rows are read: what ends in between is read now and once more.
    let before = head(db).await?;
    let rows = on!(db, &SINCE, fetch_all as Row, cursor.txid, cursor.id, limit)?;
    let last = rows.last().map(|row| ChangeCursor { txid: row.1, id: row.0 });
    let is_full = i64::try_from(rows.len()).is_ok_and(|n_rows| n_rows >= limit);
    let rows = rows.into_iter().map(|(id, _txid, scope, kind, version, at)| ChangeRow {
        id,
        made: Made { change: Change { scope: scope.0, kind: kind.0 }, version },
        at,
    });
    Ok(ChangePage { rows: rows.collect(), more: last.filter(|_| is_full), next: before })
}

/// Deletes at most `limit` rows from before `older_than`, and returns how many.
pub async fn prune(db: &Db, older_than: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(older_than), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

const RAISE_VERSION: Statement = sql!(
    "insert",
    "change_versions",
    "INSERT INTO change_versions (scope, kind, version) VALUES ($1, $2, 1) \
     ON CONFLICT (scope, kind) DO UPDATE SET version = change_versions.version + 1 RETURNING version"
);

const INSERT: Statement =
    sql!("insert", "changes", "INSERT INTO changes (scope, kind, version, at) VALUES ($1, $2, $3, $4)");

const HEAD: Statement = sql!("select", "changes",
    sqlite: "SELECT 0, COALESCE(MAX(id), 0) FROM changes",
    postgres: "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT), CAST(0 AS BIGINT)");

const SINCE: Statement = sql!(
    "select",
    "changes",
    "SELECT id, txid, scope, kind, version, at FROM changes WHERE (txid, id) > ($1, $2) \
     ORDER BY txid, id LIMIT 0 + $3"
);

const PRUNE: Statement = sql!(
    "delete",
    "changes",
    "DELETE FROM changes WHERE id IN (SELECT id FROM changes WHERE at < $1 ORDER BY at LIMIT 0 + $2)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&RAISE_VERSION, &INSERT, &HEAD, &SINCE, &PRUNE];
