//! Modules that ran in a channel when a process fell, so that the next owner does not fall over the same line.
//!
//! Nodes compare these times, so they are the database's own.

use domain::ChannelId;

use crate::cluster::LeaseConnection;
use crate::db::{self, Db, Statement, Target, Tx, on, sql};
use crate::{StorageError, cluster};

/// Most modules of one channel.
const MODULES_MAX: i64 = 1_000;

/// What ran when a process fell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub channel_id: ChannelId,
    pub module: String,
    /// The process that fell; reported twice it counts once.
    pub incarnation: String,
    /// For people.
    pub reason: String,
}

/// A module that is not trusted in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspected {
    pub module: String,
    /// Processes that it may have felled within the last ten minutes, or until it was switched off.
    pub n_falls: i64,
    /// Two of them within ten minutes: only an operator lets it run again.
    pub is_disabled: bool,
}

impl From<(String, i64, bool)> for Suspected {
    fn from((module, n_falls, is_disabled): (String, i64, bool)) -> Self {
        Self { module, n_falls, is_disabled }
    }
}

/// Notes a suspicion; `false` when it was known.
pub async fn report(tx: &mut Tx, suspicion: &Suspicion) -> Result<bool, StorageError> {
    let Suspicion { channel_id, module, incarnation, reason } = suspicion;
    let noted =
        on!(tx, &REPORT, fetch_optional as (bool,), channel_id.to_string(), module, incarnation, reason)?;
    Ok(noted.is_some())
}

/// Notes a suspicion over the lease's connection: the last thing that a process does.
///
/// # Errors
/// Those of [`cluster::ask`].
pub async fn accuse(lease: &mut LeaseConnection, suspicion: Suspicion) -> Result<(), StorageError> {
    let Suspicion { channel_id, module, incarnation, reason } = suspicion;
    let bind = |query: cluster::QueryOf<(bool,)>| {
        query.bind(channel_id.to_string()).bind(module).bind(incarnation).bind(reason)
    };
    lease.optional(&REPORT, bind).await.map(drop)
}

/// Who is not trusted in that channel now.
pub async fn of_channel<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
) -> Result<Vec<Suspected>, StorageError> {
    let rows =
        on!(on.into(), &OF_CHANNEL, fetch_all as (String, i64, bool), channel_id.to_string(), MODULES_MAX)?;
    Ok(rows.into_iter().map(Suspected::from).collect())
}

/// An operator trusts the module again.
pub async fn forgive(tx: &mut Tx, channel_id: ChannelId, module: &str) -> Result<(), StorageError> {
    on!(tx, &FORGIVE, execute, channel_id.to_string(), module)?;
    Ok(())
}

/// Removes at most `limit` suspicions that are a day old and disable nothing; returns how many.
pub async fn prune(db: &Db, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

const REPORT: Statement = sql!("insert", "suspects",
    sqlite: "INSERT INTO suspects (channel_id, module, incarnation, reason, disables, suspected_at) \
     SELECT $1, $2, $3, $4, EXISTS (SELECT 1 FROM suspects WHERE channel_id = $1 AND module = $2 \
     AND suspected_at > strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-10 minutes')), \
     strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') WHERE TRUE \
     ON CONFLICT (channel_id, module, incarnation) DO NOTHING RETURNING disables",
    postgres: "INSERT INTO suspects (channel_id, module, incarnation, reason, disables, suspected_at) \
     SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
     EXISTS (SELECT 1 FROM suspects WHERE channel_id = $1 AND module = $2 \
     AND suspected_at > clock_timestamp() - INTERVAL '10 minutes'), clock_timestamp() \
     ON CONFLICT (channel_id, module, incarnation) DO NOTHING RETURNING disables");

/// Two at the same moment do not see each other: then the number tells.
const OF_CHANNEL: Statement = sql!("select", "suspects",
    sqlite: "SELECT module, COUNT(*), MAX(CASE WHEN disables THEN 1 ELSE 0 END) = 1 OR COUNT(*) > 1 FROM suspects \
     WHERE channel_id = $1 AND (disables OR suspected_at > strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-10 minutes')) \
     GROUP BY module ORDER BY module LIMIT 0 + $2",
    postgres: "SELECT module, COUNT(*), MAX(CASE WHEN disables THEN 1 ELSE 0 END) = 1 OR COUNT(*) > 1 FROM suspects \
     WHERE channel_id = $1 AND (disables OR suspected_at > clock_timestamp() - INTERVAL '10 minutes') \
     GROUP BY module ORDER BY module LIMIT 0 + $2");

const FORGIVE: Statement =
    sql!("delete", "suspects", "DELETE FROM suspects WHERE channel_id = $1 AND module = $2");

const PRUNE: Statement = sql!("delete", "suspects",
    sqlite: "DELETE FROM suspects WHERE (channel_id, module, incarnation) IN (SELECT channel_id, module, incarnation \
     FROM suspects WHERE NOT disables AND suspected_at < strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 day') \
     ORDER BY suspected_at LIMIT 0 + $1)",
    postgres: "DELETE FROM suspects WHERE (channel_id, module, incarnation) IN (SELECT channel_id, module, incarnation \
     FROM suspects WHERE NOT disables AND suspected_at < clock_timestamp() - INTERVAL '1 day' \
     ORDER BY suspected_at LIMIT 0 + $1)");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&REPORT, &OF_CHANNEL, &FORGIVE, &PRUNE];
