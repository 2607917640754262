//! Roles that a community gave: regular and editor.
//!
//! A role is granted to a login, since that is what people type. It is bound to the account when that account is
//! first seen; from then on only the account counts, so that whoever takes a freed login gets nothing.

use chrono::{DateTime, Utc};
use domain::{CommunityId, Level, PersonId, Platform};

use crate::db::{Statement, Target, Tx, on, sql};
use crate::persons::Identity;
use crate::rows::{Text, micros, page};
use crate::{StorageError, db};

/// Most roles of one community.
pub const ROLES_MAX: u32 = 10_000;

/// One granted role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub platform: Platform,
    /// The login it was granted to.
    pub login: String,
    /// `None` until the account was seen: then the login counts, later only this.
    pub platform_user_id: Option<String>,
    /// `None` until the account was seen.
    pub person_id: Option<PersonId>,
    /// `Regular` or `Editor`.
    pub level: Level,
    pub granted_by: String,
}

type Row = (Text<Platform>, String, Option<String>, Option<Text<PersonId>>, Text<Level>, String);

impl From<Row> for Role {
    fn from((platform, login, platform_user_id, person_id, level, granted_by): Row) -> Self {
        Self {
            platform: platform.0,
            login,
            platform_user_id,
            person_id: person_id.map(|id| id.0),
            level: level.0,
            granted_by,
        }
    }
}

/// Grants a role; a login has one role, the last one granted.
///
/// # Errors
/// [`StorageError::Invalid`] for another level than regular or editor, or when the community has 10,000 roles.
pub async fn set(
    tx: &mut Tx,
    community_id: CommunityId,
    role: &Role,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if !matches!(role.level, Level::Regular | Level::Editor) {
        return Err(StorageError::invalid(format!("{} is not a role that can be granted", role.level)));
    }
    let community = community_id.to_string();
    let (n_roles,) = on!(&mut *tx, &COUNT, fetch_one as (i64,), &community)?;
    if n_roles >= i64::from(ROLES_MAX) {
        return Err(StorageError::invalid(format!("a community has at most {ROLES_MAX} roles")));
    }
    on!(
        tx,
        &UPSERT,
        execute,
        community,
        role.platform.as_str(),
        &role.login,
        role.platform_user_id.as_deref(),
        role.person_id.map(|id| id.to_string()),
        role.level.as_str(),
        &role.granted_by,
        micros(now),
    )?;
    Ok(())
}

/// Takes a role of that level away. False when the login did not have it.
pub async fn remove(
    tx: &mut Tx,
    community_id: CommunityId,
    platform: Platform,
    login: &str,
    level: Level,
) -> Result<bool, StorageError> {
    let community = community_id.to_string();
    let n_removed = on!(tx, &DELETE, execute, community, platform.as_str(), login, level.as_str())?;
    Ok(n_removed > 0)
}

/// Every role of a community, at most 10,000.
pub async fn of_community<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Vec<Role>, StorageError> {
    let rows =
        on!(on.into(), &OF_COMMUNITY, fetch_all as Row, community_id.to_string(), i64::from(ROLES_MAX))?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// The level that a community's own rows give an account: owner of one of its channels, editor, regular, else everyone.
///
/// What a platform's badges give (moderator, vip, subscriber) comes with an event and is not stored.
pub async fn level_of<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    platform: Platform,
    platform_user_id: &str,
) -> Result<Level, StorageError> {
    let community = community_id.to_string();
    let rows = on!(
        on.into(),
        &LEVELS_OF,
        fetch_all as (Text<Level>,),
        community,
        platform.as_str(),
        platform_user_id
    )?;
    Ok(rows.into_iter().map(|(level,)| level.0).max().unwrap_or_default())
}

/// One page of the logins with that role, in the order of the alphabet, after `after`.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    level: Level,
    after: &str,
    limit: u32,
) -> Result<Vec<Role>, StorageError> {
    let (community, limit) = (community_id.to_string(), page(limit, 1_000));
    let rows = on!(on.into(), &LIST, fetch_all as Row, community, level.as_str(), after, limit)?;
    Ok(rows.into_iter().map(Role::from).collect())
}

/// Binds roles of a login to the account that has it now, where no account was known before.
pub(crate) async fn bind(
    tx: &mut Tx,
    identity: &Identity,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    on!(
        tx,
        &BIND,
        execute,
        identity.platform.as_str(),
        &identity.login,
        &identity.platform_user_id,
        person.to_string(),
        micros(now)
    )?;
    Ok(())
}

const COUNT: Statement = sql!("select", "roles", "SELECT COUNT(*) FROM roles WHERE community_id = $1");

/// Granting anew forgets the account of before, unless the new grant names one.
const UPSERT: Statement = sql!(
    "insert",
    "roles",
    "INSERT INTO roles (community_id, platform, login, platform_user_id, person_id, level, granted_by, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) \
     ON CONFLICT (community_id, platform, login) DO UPDATE SET platform_user_id = excluded.platform_user_id, \
     person_id = excluded.person_id, level = excluded.level, granted_by = excluded.granted_by, \
     updated_at = excluded.updated_at"
);

const DELETE: Statement = sql!(
    "delete",
    "roles",
    "DELETE FROM roles WHERE community_id = $1 AND platform = $2 AND login = $3 AND level = $4"
);

const OF_COMMUNITY: Statement = sql!(
    "select",
    "roles",
    "SELECT platform, login, platform_user_id, person_id, level, granted_by FROM roles \
     WHERE community_id = $1 ORDER BY platform, login LIMIT 0 + $2"
);

const LIST: Statement = sql!(
    "select",
    "roles",
    "SELECT platform, login, platform_user_id, person_id, level, granted_by FROM roles \
     WHERE community_id = $1 AND level = $2 AND login > $3 ORDER BY login LIMIT 0 + $4"
);

const LEVELS_OF: Statement = sql!(
    "select",
    "roles",
    "SELECT 'owner' FROM channels WHERE community_id = $1 AND platform = $2 AND platform_id = $3 AND is_active \
     UNION SELECT level FROM roles WHERE community_id = $1 AND platform = $2 AND platform_user_id = $3 LIMIT 3"
);

const BIND: Statement = sql!(
    "update",
    "roles",
    "UPDATE roles SET platform_user_id = $3, person_id = $4, updated_at = $5 \
     WHERE platform = $1 AND login = $2 AND platform_user_id IS NULL"
);

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&COUNT, &UPSERT, &DELETE, &OF_COMMUNITY, &LIST, &LEVELS_OF, &BIND];
