//! Channels: rows that keep their id whatever the platform renames.

use chrono::{DateTime, Utc};
use domain::{ChannelId, ChannelKey, CommunityId, Platform};

use crate::db::{Db, Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, page, text_or_empty};
use crate::{StorageError, communities, db};

/// Longest page.
pub const PAGE_MAX: u32 = 1_000;

/// Most channels of one import step, which is one transaction.
pub const ENSURE_MANY_MAX: usize = 500;

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: ChannelId,
    pub platform: Platform,
    /// The current name, as people write it.
    pub login: String,
    /// `None` until the platform told us.
    pub platform_id: Option<String>,
    pub community_id: CommunityId,
    /// Decides the node; frozen when the row was made.
    pub affinity_key: String,
    /// False once removed; its rows stay.
    pub is_active: bool,
    pub created_at: DateTime<Utc>,
}

type Row =
    (Text<ChannelId>, Text<Platform>, String, Option<String>, Text<CommunityId>, String, bool, DateTime<Utc>);

impl From<Row> for Channel {
    fn from(row: Row) -> Self {
        let (id, platform, login, platform_id, community_id, affinity_key, is_active, created_at) = row;
        Self {
            id: id.0,
            platform: platform.0,
            login,
            platform_id,
            community_id: community_id.0,
            affinity_key,
            is_active,
            created_at,
        }
    }
}

/// A channel after [`ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    pub channel: Channel,
    /// True when it was made, or was inactive before.
    pub is_new: bool,
}

/// Makes sure that an active channel of that key is there; makes a community too unless told which.
///
/// A channel that is there keeps its community.
pub async fn ensure(
    tx: &mut Tx,
    key: &ChannelKey,
    community: Option<CommunityId>,
    now: DateTime<Utc>,
) -> Result<Ensured, StorageError> {
    if let Some(channel) = by_key(&mut *tx, key).await? {
        return activate(tx, channel, now).await;
    }
    let community_id = match community {
        Some(community_id) => community_id,
        None => communities::create(tx, key.name(), now).await?,
    };
    let id = ChannelId(new_id(now)?).to_string();
    let (platform, community_text) = (key.platform().as_str(), community_id.to_string());
    let affinity_key = key.to_string();
    let n_made =
        on!(&mut *tx, &INSERT, execute, id, platform, key.name(), community_text, affinity_key, micros(now))?;
    if n_made == 0 && community.is_none() {
        // Another transaction made the channel meanwhile, in a community of its own.
        communities::discard(tx, community_id).await?;
    }
    let channel = by_key(tx, key).await?.ok_or(StorageError::Busy)?;
    Ok(Ensured { channel, is_new: n_made > 0 })
}

async fn activate(tx: &mut Tx, mut channel: Channel, now: DateTime<Utc>) -> Result<Ensured, StorageError> {
    let is_new = !channel.is_active;
    if is_new {
        on!(tx, &SET_ACTIVE, execute, channel.id.to_string(), true, micros(now))?;
        channel.is_active = true;
    }
    Ok(Ensured { channel, is_new })
}

/// [`ensure`] for an import; at most 500 keys, each with a community of its own.
///
/// # Errors
/// [`StorageError::Invalid`] for more than 500 keys.
pub async fn ensure_many(
    db: &Db,
    keys: &[ChannelKey],
    now: DateTime<Utc>,
) -> Result<Vec<Ensured>, StorageError> {
    if keys.len() > ENSURE_MANY_MAX {
        return Err(StorageError::invalid(format!("at most {ENSURE_MANY_MAX} channels at once")));
    }
    let mut tx = db.begin().await?;
    let mut ensured = Vec::with_capacity(keys.len());
    for key in keys {
        ensured.push(ensure(&mut tx, key, None, now).await?);
    }
    tx.commit().await?;
    Ok(ensured)
}

/// Stores what the platform calls the channel. False when the channel is unknown.
///
/// # Errors
/// [`StorageError::Conflict`] when another channel has that platform id.
pub async fn set_platform_id(
    tx: &mut Tx,
    id: ChannelId,
    platform_id: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let n_changed = on!(tx, &SET_PLATFORM_ID, execute, id.to_string(), platform_id, micros(now))?;
    Ok(n_changed > 0)
}

/// Marks a channel as removed; its rows stay. False when it was not active.
pub async fn deactivate(tx: &mut Tx, id: ChannelId, now: DateTime<Utc>) -> Result<bool, StorageError> {
    let n_changed = on!(tx, &SET_ACTIVE, execute, id.to_string(), false, micros(now))?;
    Ok(n_changed > 0)
}

/// The channel of that key, by login or by platform id; a login wins.
pub async fn by_key<'a>(
    on: impl Into<Target<'a>> + Send,
    key: &ChannelKey,
) -> Result<Option<Channel>, StorageError> {
    let row = on!(on.into(), &BY_KEY, fetch_optional as Row, key.platform().as_str(), key.name())?;
    Ok(row.map(Channel::from))
}

/// The channel of that id.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    id: ChannelId,
) -> Result<Option<Channel>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, id.to_string())?;
    Ok(row.map(Channel::from))
}

/// Channels after `after` in the order of their ids, removed ones too.
pub async fn list(db: &Db, after: Option<ChannelId>, limit: u32) -> Result<Vec<Channel>, StorageError> {
    let rows = on!(db, &LIST, fetch_all as Row, text_or_empty(after), page(limit, PAGE_MAX))?;
    Ok(rows.into_iter().map(Channel::from).collect())
}

/// Active channels after `after` in the order of their ids.
pub async fn active_all(db: &Db, after: Option<ChannelId>, limit: u32) -> Result<Vec<Channel>, StorageError> {
    let rows = on!(db, &LIST_ACTIVE, fetch_all as Row, text_or_empty(after), page(limit, PAGE_MAX))?;
    Ok(rows.into_iter().map(Channel::from).collect())
}

/// Active channels of a community on one platform in the order of their ids.
pub async fn of_community<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    platform: Platform,
    limit: u32,
) -> Result<Vec<Channel>, StorageError> {
    let (community, limit) = (community_id.to_string(), page(limit, PAGE_MAX));
    let rows = on!(on.into(), &OF_COMMUNITY, fetch_all as Row, community, platform.as_str(), limit)?;
    Ok(rows.into_iter().map(Channel::from).collect())
}

/// How many channels are active.
pub async fn count_active(db: &Db) -> Result<i64, StorageError> {
    let (n_active,) = on!(db, &COUNT_ACTIVE, fetch_one as (i64,))?;
    Ok(n_active)
}

const INSERT: Statement = sql!(
    "insert",
    "channels",
    "INSERT INTO channels (id, platform, login, community_id, affinity_key, is_active, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, TRUE, $6, $6) ON CONFLICT (platform, login) DO NOTHING"
);

const SET_ACTIVE: Statement = sql!(
    "update",
    "channels",
    "UPDATE channels SET is_active = $2, updated_at = $3 WHERE id = $1 AND is_active <> $2"
);

const SET_PLATFORM_ID: Statement =
    sql!("update", "channels", "UPDATE channels SET platform_id = $2, updated_at = $3 WHERE id = $1");

const BY_KEY: Statement = sql!(
    "select",
    "channels",
    "SELECT id, platform, login, platform_id, community_id, affinity_key, is_active, created_at FROM channels \
     WHERE platform = $1 AND (login = $2 OR platform_id = $2) \
     ORDER BY CASE WHEN login = $2 THEN 0 ELSE 1 END LIMIT 1"
);

const GET: Statement = sql!(
    "select",
    "channels",
    "SELECT id, platform, login, platform_id, community_id, affinity_key, is_active, created_at FROM channels \
     WHERE id = $1"
);

const LIST: Statement = sql!(
    "select",
    "channels",
    "SELECT id, platform, login, platform_id, community_id, affinity_key, is_active, created_at FROM channels \
     WHERE id > $1 ORDER BY id LIMIT 0 + $2"
);

const OF_COMMUNITY: Statement = sql!(
    "select",
    "channels",
    "SELECT id, platform, login, platform_id, community_id, affinity_key, is_active, created_at FROM channels \
     WHERE community_id = $1 AND platform = $2 AND is_active ORDER BY id LIMIT 0 + $3"
);

const LIST_ACTIVE: Statement = sql!(
    "select",
    "channels",
    "SELECT id, platform, login, platform_id, community_id, affinity_key, is_active, created_at FROM channels \
     WHERE is_active AND id > $1 ORDER BY id LIMIT 0 + $2"
);

const COUNT_ACTIVE: Statement = sql!("select", "channels", "SELECT COUNT(*) FROM channels WHERE is_active");

pub(crate) const STATEMENTS: &[&db::Statement] = &[
    &INSERT,
    &SET_ACTIVE,
    &SET_PLATFORM_ID,
    &BY_KEY,
    &GET,
    &LIST,
    &LIST_ACTIVE,
    &OF_COMMUNITY,
    &COUNT_ACTIVE,
];
