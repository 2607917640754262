//! Streamers of a community who get a shoutout by themselves.

use chrono::{DateTime, Utc};
use domain::CommunityId;

use crate::StorageError;
use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::micros;

/// Most streamers of one list.
pub const LISTED_MAX: i64 = 500;

/// What came of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Added {
    Added,
    AlreadyThere,
    /// The list has [`LISTED_MAX`].
    Full,
}

/// Puts a login (lower case) on the list.
pub async fn add(
    tx: &mut Tx,
    community_id: CommunityId,
    login: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Added, StorageError> {
    let community = community_id.to_string();
    let (n_listed,) = on!(&mut *tx, &COUNT, fetch_one as (i64,), &community)?;
    if n_listed >= LISTED_MAX {
        return Ok(Added::Full);
    }
    let n_added = on!(tx, &INSERT, execute, community, login, by, micros(now))?;
    Ok(if n_added > 0 { Added::Added } else { Added::AlreadyThere })
}

/// Takes a login from the list. False when it was not there.
pub async fn remove(tx: &mut Tx, community_id: CommunityId, login: &str) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, community_id.to_string(), login)? > 0)
}

/// All logins of the list, by name.
pub async fn all<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Vec<String>, StorageError> {
    let rows = on!(on.into(), &LIST, fetch_all as (String,), community_id.to_string(), LISTED_MAX)?;
    Ok(rows.into_iter().map(|(login,)| login).collect())
}

const COUNT: Statement =
    sql!("select", "shoutout_lists", "SELECT COUNT(*) FROM shoutout_lists WHERE community_id = $1");

const INSERT: Statement = sql!(
    "insert",
    "shoutout_lists",
    "INSERT INTO shoutout_lists (community_id, login, added_by, added_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (community_id, login) DO NOTHING"
);

const DELETE: Statement =
    sql!("delete", "shoutout_lists", "DELETE FROM shoutout_lists WHERE community_id = $1 AND login = $2");

const LIST: Statement = sql!(
    "select",
    "shoutout_lists",
    "SELECT login FROM shoutout_lists WHERE community_id = $1 ORDER BY login LIMIT 0 + $2"
);

/// For the tests that look at every text.
pub(crate) const STATEMENTS: &[&Statement] = &[&COUNT, &INSERT, &DELETE, &LIST];
