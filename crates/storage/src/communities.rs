//! Communities: one streamer or group with its channels on several platforms.

use chrono::{DateTime, Utc};
use domain::CommunityId;

use crate::db::{Db, Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, page};
use crate::{StorageError, db};

/// Longest page.
pub const PAGE_MAX: u32 = 1_000;

/// One community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Community {
    pub id: CommunityId,
    pub name: String,
    pub created_at: DateTime<Utc>,
}

type Row = (Text<CommunityId>, String, DateTime<Utc>);

impl From<Row> for Community {
    fn from((id, name, created_at): Row) -> Self {
        Self { id: id.0, name, created_at }
    }
}

/// Makes a community.
pub async fn create(tx: &mut Tx, name: &str, now: DateTime<Utc>) -> Result<CommunityId, StorageError> {
    let id = CommunityId(new_id(now)?);
    on!(tx, &INSERT, execute, id.to_string(), name, micros(now))?;
    Ok(id)
}

/// Takes back a community that was made in this transaction and is not needed.
pub(crate) async fn discard(tx: &mut Tx, id: CommunityId) -> Result<(), StorageError> {
    on!(tx, &DELETE, execute, id.to_string())?;
    Ok(())
}

/// The community of that id.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    id: CommunityId,
) -> Result<Option<Community>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, id.to_string())?;
    Ok(row.map(Community::from))
}

/// Communities after `after` in the order of their ids.
pub async fn list(db: &Db, after: Option<CommunityId>, limit: u32) -> Result<Vec<Community>, StorageError> {
    let after = crate::rows::text_or_empty(after);
    let rows = on!(db, &LIST, fetch_all as Row, after, page(limit, PAGE_MAX))?;
    Ok(rows.into_iter().map(Community::from).collect())
}

const INSERT: Statement = sql!(
    "insert",
    "communities",
    "INSERT INTO communities (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3)"
);

const DELETE: Statement = sql!("delete", "communities", "DELETE FROM communities WHERE id = $1");

const GET: Statement =
    sql!("select", "communities", "SELECT id, name, created_at FROM communities WHERE id = $1");

const LIST: Statement = sql!(
    "select",
    "communities",
    "SELECT id, name, created_at FROM communities WHERE id > $1 ORDER BY id LIMIT 0 + $2"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&INSERT, &DELETE, &GET, &LIST];
