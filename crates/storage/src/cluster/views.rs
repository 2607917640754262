//! Views: who is on the rings, one version after the other.

use membership::ask::{Answer, Seat, View};
use membership::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use sqlx::types::chrono::{DateTime, Utc};

use super::lease::{LeaseConnection, QueryOf};
use super::{role_name, roles_of, time_of};
use crate::StorageError;
use crate::db::{Statement, sql};
use crate::rows::FromText;

/// Views that are kept, the newest.
pub const VIEWS_KEPT: i64 = 100;

/// A seat as the row's JSON has it.
#[derive(Serialize, Deserialize)]
struct SeatRow {
    node: String,
    incarnation: String,
    roles: Vec<String>,
    weight: u32,
}

/// Version, members and when; all absent before the first view.
pub(super) type ViewRow = (Option<i64>, Option<String>, Option<DateTime<Utc>>);

pub(super) fn view_of((version, members, at): ViewRow) -> Result<View, StorageError> {
    let (Some(version), Some(members), Some(at)) = (version, members, at) else { return Ok(View::default()) };
    let rows: Vec<SeatRow> = serde_json::from_str(&members).map_err(|error| unreadable(&error))?;
    let seat = |row: SeatRow| {
        let incarnation =
            Incarnation::from_text(&row.incarnation).ok_or_else(|| unreadable(&row.incarnation))?;
        let roles = roles_of(row.roles.iter().map(String::as_str));
        Ok(Seat { node: NodeId(row.node), incarnation, roles, weight: row.weight })
    };
    let members = rows.into_iter().map(seat).collect::<Result<_, StorageError>>()?;
    Ok(View { version, members, published_at: time_of(at) })
}

pub(super) async fn publish(
    lease: &mut LeaseConnection,
    me: Incarnation,
    version: i64,
    members: &[Seat],
) -> Result<Answer, StorageError> {
    let row = |seat: &Seat| SeatRow {
        node: seat.node.0.clone(),
        incarnation: seat.incarnation.to_string(),
        roles: seat.roles.iter().map(|role| role_name(*role).to_owned()).collect(),
        weight: seat.weight,
    };
    let json = serde_json::to_string(&members.iter().map(row).collect::<Vec<_>>())
        .map_err(|error| StorageError::invalid(error.to_string()))?;
    let bind = |query: QueryOf<(DateTime<Utc>,)>| query.bind(me.to_string()).bind(version).bind(json);
    if let Some((at,)) = lease.optional(&PUBLISH, bind).await? {
        let view = View { version: version + 1, members: members.to_vec(), published_at: time_of(at) };
        return Ok(Answer::Published(view));
    }
    let bind = |query: QueryOf<_>| query.bind(me.to_string());
    let (is_alive, version, members, at): (bool, _, _, _) = lease.one(&NEWEST, bind).await?;
    let view = view_of((version, members, at))?;
    Ok(if is_alive { Answer::Outdated(view) } else { Answer::Dead })
}

fn unreadable(what: &impl ToString) -> StorageError {
    StorageError::Corrupt { place: "views".into(), detail: what.to_string() }
}

/// Of two at once one finds the version there and changes nothing.
const PUBLISH: Statement = sql!("insert", "views",
    postgres: "WITH made AS (INSERT INTO views (version, members, published_at) SELECT $2 + 1, $3, clock_timestamp() \
     WHERE EXISTS (SELECT FROM nodes WHERE incarnation = $1 AND state <> 'dead') \
     AND COALESCE((SELECT MAX(version) FROM views), 0) = $2 \
     ON CONFLICT (version) DO NOTHING RETURNING version, published_at), \
     old AS (DELETE FROM views WHERE version <= (SELECT version FROM made) - 100) SELECT published_at FROM made");

const NEWEST: Statement = sql!("select", "views",
    postgres: "SELECT EXISTS (SELECT FROM nodes WHERE incarnation = $1 AND state <> 'dead'), \
     v.version, v.members, v.published_at FROM (SELECT 1) AS one LEFT JOIN \
     (SELECT version, members, published_at FROM views ORDER BY version DESC LIMIT 1) AS v ON TRUE");

pub(crate) const STATEMENTS: &[&Statement] = &[&PUBLISH, &NEWEST];
