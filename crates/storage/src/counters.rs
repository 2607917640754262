//! Counters of a community; every change is one statement, so none is lost between two channels.

use chrono::{DateTime, Utc};
use domain::CommunityId;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{micros, page};
use crate::{StorageError, db};

/// Longest page.
pub const PAGE_MAX: u32 = 1_000;

/// Values stay between minus and plus this; what would lead beyond stops there.
pub const VALUE_MAX: i64 = 1_000_000_000_000;

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// In lower case.
    pub name: String,
    pub value: i64,
}

impl From<(String, i64)> for Counter {
    fn from((name, value): (String, i64)) -> Self {
        Self { name, value }
    }
}

/// Makes a counter at 0. False when there is one of that name.
pub async fn create(
    tx: &mut Tx,
    community_id: CommunityId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    Ok(on!(tx, &INSERT, execute, community_id.to_string(), name, micros(now))? > 0)
}

/// Adds `delta` and returns the new value; a counter that is not there begins at 0.
pub async fn add(
    tx: &mut Tx,
    community_id: CommunityId,
    name: &str,
    delta: i64,
    now: DateTime<Utc>,
) -> Result<i64, StorageError> {
    let delta = delta.clamp(-VALUE_MAX, VALUE_MAX);
    let community = community_id.to_string();
    let (value,) = on!(tx, &ADD, fetch_one as (i64,), community, name, delta, micros(now), VALUE_MAX)?;
    Ok(value)
}

/// Sets the value; a counter that is not there is made.
pub async fn set(
    tx: &mut Tx,
    community_id: CommunityId,
    name: &str,
    value: i64,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let value = value.clamp(-VALUE_MAX, VALUE_MAX);
    on!(tx, &SET, execute, community_id.to_string(), name, value, micros(now))?;
    Ok(())
}

/// Deletes a counter. False when there is none.
pub async fn remove(tx: &mut Tx, community_id: CommunityId, name: &str) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, community_id.to_string(), name)? > 0)
}

/// The value of a counter. `None` when there is none of that name.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    name: &str,
) -> Result<Option<i64>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as (i64,), community_id.to_string(), name)?;
    Ok(row.map(|(value,)| value))
}

/// Counters in the order of names, after the name `after`.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    after: &str,
    limit: u32,
) -> Result<Vec<Counter>, StorageError> {
    let (community, limit) = (community_id.to_string(), page(limit, PAGE_MAX));
    let rows = on!(on.into(), &LIST, fetch_all as (String, i64), community, after, limit)?;
    Ok(rows.into_iter().map(Counter::from).collect())
}

const INSERT: Statement = sql!(
    "insert",
    "counters",
    "INSERT INTO counters (community_id, name, value, created_at, updated_at) VALUES ($1, $2, 0, $3, $3) \
     ON CONFLICT (community_id, name) DO NOTHING"
);

const ADD: Statement = sql!("insert", "counters",
    sqlite: "INSERT INTO counters (community_id, name, value, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $4) ON CONFLICT (community_id, name) DO UPDATE SET \
     value = MIN($5, MAX(-$5, counters.value + excluded.value)), updated_at = excluded.updated_at \
     RETURNING value",
    postgres: "INSERT INTO counters (community_id, name, value, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $4) ON CONFLICT (community_id, name) DO UPDATE SET \
     value = LEAST($5, GREATEST(-CAST($5 AS BIGINT), counters.value + excluded.value)), updated_at = excluded.updated_at \
     RETURNING value");

const SET: Statement = sql!(
    "insert",
    "counters",
    "INSERT INTO counters (community_id, name, value, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
     ON CONFLICT (community_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
);

const DELETE: Statement =
    sql!("delete", "counters", "DELETE FROM counters WHERE community_id = $1 AND name = $2");

const GET: Statement =
    sql!("select", "counters", "SELECT value FROM counters WHERE community_id = $1 AND name = $2");

const LIST: Statement = sql!(
    "select",
    "counters",
    "SELECT name, value FROM counters WHERE community_id = $1 AND name > $2 ORDER BY name LIMIT 0 + $3"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&INSERT, &ADD, &SET, &DELETE, &GET, &LIST];
