//! The cluster as operators see it.

use membership::OwnedKey;
use sqlx::types::chrono::{DateTime, Utc};

use crate::StorageError;
use crate::db::{Db, Statement, on, sql};

/// A node that is not dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    pub node: String,
    /// 32 hexadecimal digits.
    pub incarnation: String,
    /// What other nodes dial.
    pub address: String,
    /// Parted by commas.
    pub roles: String,
    /// joining, active or draining.
    pub state: String,
    /// What is left of its lease; negative when it has lapsed.
    pub lease_left_ms: i64,
    pub joined_at: DateTime<Utc>,
    pub n_channels: i64,
    /// Versions of the protocol between nodes that it speaks, both included.
    pub protocol: (i64, i64),
}

/// Who is there, on the ring, and owns how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterReport {
    /// The database's clock.
    pub now: DateTime<Utc>,
    /// The newest view; 0 before the first.
    pub view: i64,
    /// Active channels, whoever owns them.
    pub n_channels: i64,
    pub nodes: Vec<NodeReport>,
}

/// Who owns a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerReport {
    pub node: String,
    pub epoch: i64,
}

type NodeRow = (String, String, String, String, String, i64, DateTime<Utc>, i64, i64, i64);

/// Looks at the whole cluster; reads every row of `owners`, so it is for people.
///
/// # Errors
/// Those of the storage; a retry helps where it says so.
pub async fn report(db: &Db) -> Result<ClusterReport, StorageError> {
    let (now, view, n_channels) = on!(db, &STATE, fetch_one as (DateTime<Utc>, i64, i64))?;
    let nodes = on!(db, &NODES, fetch_all as NodeRow)?;
    let node = |row: NodeRow| {
        let (node, incarnation, address, roles, state, lease_left_ms, joined_at, n_channels, oldest, newest) =
            row;
        let protocol = (oldest, newest);
        NodeReport {
            node,
            incarnation,
            address,
            roles,
            state,
            lease_left_ms,
            joined_at,
            n_channels,
            protocol,
        }
    };
    Ok(ClusterReport { now, view, n_channels, nodes: nodes.into_iter().map(node).collect() })
}

/// A living node that speaks no version of the protocol between nodes that a program of these versions, both included, speaks:
/// its id and its own versions. `None`: all can talk to it.
///
/// # Errors
/// Those of the storage; a retry helps where it says so.
pub async fn stranger(
    db: &Db,
    (oldest, newest): (u16, u16),
) -> Result<Option<(String, i64, i64)>, StorageError> {
    on!(db, &STRANGER, fetch_optional as (String, i64, i64), i64::from(oldest), i64::from(newest))
}

/// The owner of a key. `None` while nobody owns it.
///
/// # Errors
/// Those of the storage; a retry helps where it says so.
pub async fn owner(db: &Db, key: &OwnedKey) -> Result<Option<OwnerReport>, StorageError> {
    let row = on!(db, &OWNER, fetch_optional as (String, i64), &key.0)?;
    Ok(row.map(|(node, epoch)| OwnerReport { node, epoch }))
}

const STATE: Statement = sql!("select", "views",
    postgres: "SELECT clock_timestamp(), COALESCE((SELECT MAX(version) FROM views), 0), \
     (SELECT COUNT(*) FROM channels WHERE is_active)");

const NODES: Statement = sql!("select", "nodes",
    postgres: "SELECT n.node_id, n.incarnation, n.address, n.roles, n.state, \
     CAST(EXTRACT(EPOCH FROM n.lease_until - clock_timestamp()) * 1000 AS BIGINT), n.joined_at, \
     (SELECT COUNT(*) FROM owners o WHERE o.incarnation = n.incarnation AND NOT o.released AND o.key LIKE 'channel:%'), \
     n.protocol_min, n.protocol_max \
     FROM nodes n WHERE n.state <> 'dead' ORDER BY n.node_id LIMIT 1000");

const STRANGER: Statement = sql!("select", "nodes",
    postgres: "SELECT node_id, protocol_min, protocol_max FROM nodes WHERE state <> 'dead' \
     AND lease_until > clock_timestamp() AND (protocol_max < $1 OR protocol_min > $2) ORDER BY node_id LIMIT 1");

const OWNER: Statement =
    sql!("select", "owners", "SELECT node_id, epoch FROM owners WHERE key = $1 AND NOT released");

pub(crate) const STATEMENTS: &[&Statement] = &[&STATE, &NODES, &STRANGER, &OWNER];
