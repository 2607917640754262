//! Aliases: a channel's short names for longer commands.

use chrono::{DateTime, Utc};
use domain::ChannelId;
use ulid::Ulid;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id};
use crate::{StorageError, db};

/// Most aliases of one channel.
pub const ALIASES_MAX: u32 = 1_000;

/// One alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub id: Ulid,
    pub channel_id: ChannelId,
    /// In lower case, without its prefix.
    pub name: String,
    /// The command it stands for, with its variables.
    pub body: String,
    pub usage_count: i64,
}

type Row = (Text<Ulid>, Text<ChannelId>, String, String, i64);

impl From<Row> for Alias {
    fn from((id, channel_id, name, body, usage_count): Row) -> Self {
        Self { id: id.0, channel_id: channel_id.0, name, body, usage_count }
    }
}

/// Adds an alias. `None` when the channel has one of that name already.
///
/// # Errors
/// [`StorageError::Invalid`] when the channel has 1,000 aliases.
pub async fn add(
    tx: &mut Tx,
    channel_id: ChannelId,
    name: &str,
    body: &str,
    now: DateTime<Utc>,
) -> Result<Option<Ulid>, StorageError> {
    let channel = channel_id.to_string();
    let (n_aliases,) = on!(&mut *tx, &COUNT, fetch_one as (i64,), &channel)?;
    if n_aliases >= i64::from(ALIASES_MAX) {
        return Err(StorageError::invalid(format!("a channel has at most {ALIASES_MAX} aliases")));
    }
    let id = new_id(now)?;
    let n_added = on!(tx, &INSERT, execute, id.to_string(), channel, name, body, micros(now))?;
    Ok((n_added > 0).then_some(id))
}

/// Deletes an alias by its name. False when there is none.
pub async fn remove(tx: &mut Tx, channel_id: ChannelId, name: &str) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, channel_id.to_string(), name)? > 0)
}

/// Deletes an alias by its id and returns it. `None` when there is none.
pub async fn remove_by_id(tx: &mut Tx, id: Ulid) -> Result<Option<Alias>, StorageError> {
    let row = on!(tx, &DELETE_BY_ID, fetch_optional as Row, id.to_string())?;
    Ok(row.map(Alias::from))
}

/// Counts one use and returns the new count. `None` when the alias is gone.
pub async fn bump_count(tx: &mut Tx, id: Ulid) -> Result<Option<i64>, StorageError> {
    let row = on!(tx, &BUMP, fetch_optional as (i64,), id.to_string())?;
    Ok(row.map(|(count,)| count))
}

/// Adds what was used since the last time; names that are gone are left out.
pub async fn count_uses(
    db: &crate::Db,
    channel_id: ChannelId,
    uses: &[(String, i64)],
) -> Result<(), StorageError> {
    let mut tx = db.begin().await?;
    for (name, n) in uses {
        on!(&mut tx, &COUNT_USES, execute, channel_id.to_string(), name, n)?;
    }
    tx.commit().await
}

/// The alias of that name.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
    name: &str,
) -> Result<Option<Alias>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, channel_id.to_string(), name)?;
    Ok(row.map(Alias::from))
}

/// Every alias of a channel in the order of names, at most 1,000.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
) -> Result<Vec<Alias>, StorageError> {
    let rows = on!(on.into(), &LIST, fetch_all as Row, channel_id.to_string(), i64::from(ALIASES_MAX))?;
    Ok(rows.into_iter().map(Alias::from).collect())
}

const COUNT_USES: Statement = sql!(
    "update",
    "aliases",
    "UPDATE aliases SET usage_count = usage_count + $3 WHERE channel_id = $1 AND name = $2"
);

const COUNT: Statement = sql!("select", "aliases", "SELECT COUNT(*) FROM aliases WHERE channel_id = $1");

const INSERT: Statement = sql!(
    "insert",
    "aliases",
    "INSERT INTO aliases (id, channel_id, name, body, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5) \
     ON CONFLICT (channel_id, name) DO NOTHING"
);

const DELETE: Statement =
    sql!("delete", "aliases", "DELETE FROM aliases WHERE channel_id = $1 AND name = $2");

const DELETE_BY_ID: Statement = sql!(
    "delete",
    "aliases",
    "DELETE FROM aliases WHERE id = $1 RETURNING id, channel_id, name, body, usage_count"
);

const BUMP: Statement = sql!(
    "update",
    "aliases",
    "UPDATE aliases SET usage_count = usage_count + 1 WHERE id = $1 RETURNING usage_count"
);

const GET: Statement = sql!(
    "select",
    "aliases",
    "SELECT id, channel_id, name, body, usage_count FROM aliases WHERE channel_id = $1 AND name = $2"
);

const LIST: Statement = sql!(
    "select",
    "aliases",
    "SELECT id, channel_id, name, body, usage_count FROM aliases WHERE channel_id = $1 ORDER BY name LIMIT 0 + $2"
)
.on_replicas();

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&COUNT_USES, &COUNT, &INSERT, &DELETE, &DELETE_BY_ID, &BUMP, &GET, &LIST];
