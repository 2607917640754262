//! Incarnations: join, live by a lease, be buried or leave.
//!
//! Whoever judges a row has locked it, and reads the clock behind the lock. Two rows are locked in the order of their
//! names, so of two nodes that bury each other one finds itself dead.

use membership::ask::{Answer, Evidence, Member, Newcomer, Seat, State};
use membership::{DbTime, Incarnation, NodeId};
use sqlx::types::chrono::{DateTime, Utc};

use super::lease::{LeaseConnection, QueryOf, lock_key};
use super::views::view_of;
use super::{role_name, roles_of, state_name, time_of};
use crate::StorageError;
use crate::db::{Statement, sql};
use crate::rows::Text;

pub(super) async fn join(lease: &mut LeaseConnection, new: &Newcomer) -> Result<Answer, StorageError> {
    let evidence =
        new.predecessor.map(|(victim, evidence)| EvidenceRow::new(victim, evidence)).transpose()?;
    let roles = new.roles.iter().map(|role| role_name(*role)).collect::<Vec<_>>().join(",");
    let bind = |query: QueryOf<(Option<DateTime<Utc>>, bool)>| {
        let query = query.bind(new.me.to_string()).bind(new.node.0.clone()).bind(new.address.clone());
        let query = query.bind(roles).bind(i64::from(new.weight));
        let query = query.bind(i64::from(new.protocol.0)).bind(i64::from(new.protocol.1)).bind(new.lease_us);
        EvidenceRow::bind(evidence.unwrap_or_default(), query)
    };
    let (lease_until, is_predecessor_dead) = lease.one(&JOIN, bind).await?;
    if let (Some((dead, _)), true) = (new.predecessor, is_predecessor_dead) {
        lease.end_sessions_of(dead).await?;
    }
    match lease_until {
        Some(lease_until) => Ok(joined(lease_until, new.lease_us)),
        None => not_joined(lease, new).await,
    }
}

/// Why there was no room for a new row.
async fn not_joined(lease: &mut LeaseConnection, new: &Newcomer) -> Result<Answer, StorageError> {
    type Row = (Text<Incarnation>, String, DateTime<Utc>, DateTime<Utc>);
    let bind = |query: QueryOf<Row>| query.bind(new.me.to_string()).bind(new.node.0.clone());
    match lease.optional(&THERE, bind).await? {
        // Whoever was in the way has gone between the two looks.
        None => Err(StorageError::Busy),
        Some((by, address, lease_until, now)) if by.0 != new.me => {
            let (now, lease_until) = (time_of(now), time_of(lease_until));
            Ok(Answer::Occupied { now, by: by.0, address, lease_until })
        }
        Some(_) => match extend(lease, new.me, new.lease_us).await? {
            Some((lease_until, _)) => Ok(joined(lease_until, new.lease_us)),
            None => Ok(Answer::Dead),
        },
    }
}

pub(super) async fn renew(
    lease: &mut LeaseConnection,
    me: Incarnation,
    lease_us: i64,
) -> Result<Answer, StorageError> {
    Ok(match extend(lease, me, lease_us).await? {
        Some((until, view)) => {
            let lease_until = time_of(until);
            Answer::Renewed { now: DbTime(lease_until.0 - lease_us), lease_until, view }
        }
        None => Answer::Dead,
    })
}

/// Extends the lease of an incarnation that is not dead, and tells the newest view's version.
async fn extend(
    lease: &mut LeaseConnection,
    me: Incarnation,
    lease_us: i64,
) -> Result<Option<(DateTime<Utc>, i64)>, StorageError> {
    let bind = |query: QueryOf<_>| query.bind(me.to_string()).bind(lease_us);
    let row: Option<(DateTime<Utc>, i64, String)> = lease.optional(&RENEW, bind).await?;
    Ok(row.map(|(until, view, _)| (until, view)))
}

pub(super) async fn look(lease: &mut LeaseConnection, me: Incarnation) -> Result<Answer, StorageError> {
    let rows = lease.all(&LOOK, |query: QueryOf<NodeRow>| query).await?;
    let Some((.., now, version, members, published_at)) = rows.first() else { return Ok(Answer::Dead) };
    let (now, view) = (time_of(*now), view_of((*version, members.clone(), *published_at))?);
    let members: Vec<Member> = rows.into_iter().map(member_of).collect();
    let is_alive = members.iter().any(|member| member.seat.incarnation == me);
    Ok(if is_alive { Answer::Look { now, members, view } } else { Answer::Dead })
}

pub(super) async fn enter(
    lease: &mut LeaseConnection,
    me: Incarnation,
    state: State,
) -> Result<Answer, StorageError> {
    let before = match state {
        State::Active => State::Joining,
        State::Draining => State::Active,
        State::Joining | State::Dead => return Err(never_back(state)),
    };
    let bind = |query: QueryOf<(bool, bool)>| {
        query.bind(me.to_string()).bind(state_name(before)).bind(state_name(state))
    };
    match lease.one(&ENTER, bind).await? {
        (_, true) => Ok(Answer::Entered),
        (true, false) => Err(never_back(state)),
        (false, false) => Ok(Answer::Dead),
    }
}

fn never_back(state: State) -> StorageError {
    StorageError::invalid(format!("no node comes to be {} from where this one is", state_name(state)))
}

pub(super) async fn bury(
    lease: &mut LeaseConnection,
    me: Incarnation,
    victim: Incarnation,
    evidence: Evidence,
) -> Result<Answer, StorageError> {
    let evidence = EvidenceRow::new(victim, evidence)?;
    let bind =
        |query: QueryOf<(Option<bool>, bool, bool)>| EvidenceRow::bind(evidence, query.bind(me.to_string()));
    match lease.one(&BURY, bind).await? {
        (None, ..) => Ok(Answer::Dead),
        (_, _, true) | (_, false, _) => {
            lease.end_sessions_of(victim).await?;
            Ok(Answer::Buried)
        }
        (Some(false), ..) => Ok(Answer::NotValid),
        (Some(true), ..) => Ok(Answer::Alive),
    }
}

pub(super) async fn leave(lease: &mut LeaseConnection, me: Incarnation) -> Result<Answer, StorageError> {
    let left = lease.optional(&LEAVE, |query: QueryOf<(i64,)>| query.bind(me.to_string())).await?;
    Ok(if left.is_some() { Answer::Left } else { Answer::Dead })
}

fn joined(lease_until: DateTime<Utc>, lease_us: i64) -> Answer {
    let lease_until = time_of(lease_until);
    Answer::Joined { now: DbTime(lease_until.0 - lease_us), lease_until }
}

/// Evidence as the statements take it; without a victim it buries nobody.
#[derive(Default)]
struct EvidenceRow {
    victim: Option<Incarnation>,
    is_refused: bool,
    lease_us: i64,
    /// The lapsed lease that was seen.
    seen: DateTime<Utc>,
}

impl EvidenceRow {
    fn new(victim: Incarnation, evidence: Evidence) -> Result<Self, StorageError> {
        let victim = Some(victim);
        Ok(match evidence {
            Evidence::Refused => Self { victim, is_refused: true, ..Self::default() },
            Evidence::Lapsed { lease_us, seen } => {
                let seen = DateTime::from_timestamp_micros(seen.0);
                let seen = seen.ok_or_else(|| StorageError::invalid("a lease beyond all time"))?;
                Self { victim, is_refused: false, lease_us, seen }
            }
        })
    }

    fn bind<R>(self, query: QueryOf<R>) -> QueryOf<R> {
        let query = query.bind(self.victim.map(|victim| victim.to_string())).bind(self.is_refused);
        query.bind(self.victim.map(lock_key)).bind(self.lease_us).bind(self.seen)
    }
}

/// A node, what time it is, and the newest view: version, members, when.
type NodeRow = (
    Text<Incarnation>,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    Text<State>,
    DateTime<Utc>,
    DateTime<Utc>,
    Option<i64>,
    Option<String>,
    Option<DateTime<Utc>>,
);

fn member_of(row: NodeRow) -> Member {
    let (incarnation, node_id, address, roles, weight, oldest, newest, state, lease_until, ..) = row;
    let protocol = |version| u16::try_from(version).unwrap_or_default();
    let weight = u32::try_from(weight).unwrap_or_default();
    let (node, roles) = (NodeId(node_id), roles_of(roles.split(',')));
    Member {
        seat: Seat { node, incarnation: incarnation.0, roles, weight },
        state: state.0,
        address,
        protocol: (protocol(oldest), protocol(newest)),
        lease_until: time_of(lease_until),
    }
}

/// The predecessor first, since the new row takes its place in the index. Who is dead for a week
/// and stands in no row of `owners` is forgotten.
const JOIN: Statement = sql!("insert", "nodes",
    postgres: "WITH old AS (DELETE FROM nodes WHERE state = 'dead' AND incarnation <> $1 \
     AND lease_until < clock_timestamp() - INTERVAL '7 days' \
     AND NOT EXISTS (SELECT FROM owners o WHERE o.incarnation = nodes.incarnation)), \
     buried AS (UPDATE nodes SET state = 'dead' WHERE incarnation = $9 AND node_id = $2 AND state <> 'dead' \
     AND CASE WHEN $10 THEN pg_try_advisory_xact_lock($11) \
     ELSE lease_until = $13 AND (lease_until < clock_timestamp() \
     OR lease_until > clock_timestamp() + ($12 + 1000000) * INTERVAL '1 microsecond') END RETURNING 1), \
     made AS (INSERT INTO nodes (incarnation, node_id, address, roles, weight, protocol_min, protocol_max, state, \
     lease_until, joined_at) SELECT $1, $2, $3, $4, $5, $6, $7, 'joining', \
     clock_timestamp() + $8 * INTERVAL '1 microsecond', clock_timestamp() FROM (SELECT COUNT(*) FROM buried) AS first \
     ON CONFLICT DO NOTHING RETURNING lease_until) \
     SELECT (SELECT lease_until FROM made), EXISTS (SELECT FROM buried) \
     OR EXISTS (SELECT FROM nodes WHERE incarnation = $9 AND state = 'dead')");

const THERE: Statement = sql!("select", "nodes",
    postgres: "SELECT incarnation, address, lease_until, clock_timestamp() FROM nodes \
     WHERE incarnation = $1 OR (node_id = $2 AND state <> 'dead') ORDER BY incarnation <> $1 DESC LIMIT 2");

/// Without waiting for the disk: a renewal that a crash of the server forgets only makes the lease end sooner.
const RENEW: Statement = sql!("update", "nodes",
    postgres: "UPDATE nodes SET lease_until = clock_timestamp() + $2 * INTERVAL '1 microsecond' \
     WHERE incarnation = $1 AND state <> 'dead' RETURNING lease_until, \
     COALESCE((SELECT MAX(version) FROM views), 0), set_config('synchronous_commit', 'off', TRUE)");

const LOOK: Statement = sql!("select", "nodes",
    postgres: "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now) \
     SELECT n.incarnation, n.node_id, n.address, n.roles, n.weight, n.protocol_min, n.protocol_max, n.state, \
     n.lease_until, clock.now, v.version, v.members, v.published_at FROM nodes n CROSS JOIN clock LEFT JOIN \
     (SELECT version, members, published_at FROM views ORDER BY version DESC LIMIT 1) AS v ON TRUE \
     WHERE n.state <> 'dead' ORDER BY n.node_id LIMIT 1000");

const ENTER: Statement = sql!("update", "nodes",
    postgres: "WITH entered AS (UPDATE nodes SET state = $3 WHERE incarnation = $1 AND state IN ($2, $3) RETURNING 1) \
     SELECT EXISTS (SELECT FROM nodes WHERE incarnation = $1 AND state <> 'dead'), EXISTS (SELECT FROM entered)");

const BURY: Statement = sql!("update", "nodes",
    postgres: "WITH both_rows AS (SELECT incarnation, state, lease_until FROM nodes WHERE incarnation IN ($1, $2) \
     ORDER BY incarnation FOR NO KEY UPDATE), \
     me AS (SELECT lease_until >= clock_timestamp() AS is_valid FROM both_rows \
     WHERE incarnation = $1 AND state <> 'dead'), \
     victim AS (SELECT incarnation, lease_until FROM both_rows WHERE incarnation = $2 AND state <> 'dead'), \
     buried AS (UPDATE nodes SET state = 'dead' FROM victim v, me WHERE nodes.incarnation = v.incarnation \
     AND CASE WHEN NOT me.is_valid THEN FALSE WHEN $3 THEN pg_try_advisory_xact_lock($4) \
     ELSE v.lease_until = $6 AND (v.lease_until < clock_timestamp() \
     OR v.lease_until > clock_timestamp() + ($5 + 1000000) * INTERVAL '1 microsecond') END RETURNING 1) \
     SELECT (SELECT is_valid FROM me), EXISTS (SELECT FROM victim), EXISTS (SELECT FROM buried)");

const LEAVE: Statement = sql!("update", "nodes",
    postgres: "WITH gone AS (UPDATE nodes SET state = 'dead' WHERE incarnation = $1 AND state <> 'dead' RETURNING 1), \
     freed AS (UPDATE owners SET released = TRUE WHERE incarnation = $1 AND NOT released \
     AND EXISTS (SELECT FROM gone) RETURNING 1) SELECT (SELECT COUNT(*) FROM freed) FROM gone");

pub(crate) const STATEMENTS: &[&Statement] = &[&JOIN, &THERE, &RENEW, &LOOK, &ENTER, &BURY, &LEAVE];
