//! Persons: viewers behind their platform accounts.

use chrono::{DateTime, Utc};
use domain::{PersonId, Platform};

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id};
use crate::{StorageError, db, roles};

/// A platform account as the platform shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub platform: Platform,
    pub platform_user_id: String,
    /// In lower case.
    pub login: String,
    pub display_name: String,
}

/// The person of a platform account; the first time it makes one, later it follows a new name.
///
/// Roles that were granted to the login before anybody knew the account are bound to it here, once.
pub async fn touch(tx: &mut Tx, identity: &Identity, now: DateTime<Utc>) -> Result<PersonId, StorageError> {
    let (platform, user_id) = (identity.platform, identity.platform_user_id.as_str());
    let person = match by_identity(&mut *tx, platform, user_id).await? {
        Some(person) => person,
        None => create(tx, identity, now).await?,
    };
    on!(&mut *tx, &RENAME, execute, platform.as_str(), user_id, &identity.login, micros(now))?;
    roles::bind(tx, identity, person, now).await?;
    Ok(person)
}

async fn create(tx: &mut Tx, identity: &Identity, now: DateTime<Utc>) -> Result<PersonId, StorageError> {
    let id = PersonId(new_id(now)?).to_string();
    let Identity { platform, platform_user_id, login, display_name } = identity;
    on!(&mut *tx, &INSERT_PERSON, execute, &id, display_name, micros(now))?;
    let (person,) = on!(
        tx,
        &INSERT_IDENTITY,
        fetch_one as (Text<PersonId>,),
        platform.as_str(),
        platform_user_id,
        &id,
        login,
        micros(now)
    )?;
    Ok(person.0)
}

/// The person of a platform account. `None` when it was never seen.
pub async fn by_identity<'a>(
    on: impl Into<Target<'a>> + Send,
    platform: Platform,
    platform_user_id: &str,
) -> Result<Option<PersonId>, StorageError> {
    let row = on!(
        on.into(),
        &BY_IDENTITY,
        fetch_optional as (Text<PersonId>,),
        platform.as_str(),
        platform_user_id
    )?;
    Ok(row.map(|(person,)| person.0))
}

/// The account that had this login last. `None` when it was never seen.
pub async fn by_login<'a>(
    on: impl Into<Target<'a>> + Send,
    platform: Platform,
    login: &str,
) -> Result<Option<Identity>, StorageError> {
    let row = on!(on.into(), &BY_LOGIN, fetch_optional as (String, String), platform.as_str(), login)?;
    Ok(row.map(|(platform_user_id, display_name)| Identity {
        platform,
        platform_user_id,
        login: login.to_owned(),
        display_name,
    }))
}

const INSERT_PERSON: Statement = sql!(
    "insert",
    "persons",
    "INSERT INTO persons (id, display_name, created_at, updated_at) VALUES ($1, $2, $3, $3)"
);

/// Gives the person that is there when another transaction was first.
const INSERT_IDENTITY: Statement = sql!(
    "insert",
    "identities",
    "INSERT INTO identities (platform, platform_user_id, person_id, login, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $5) \
     ON CONFLICT (platform, platform_user_id) DO UPDATE SET updated_at = excluded.updated_at \
     RETURNING person_id"
);

const RENAME: Statement = sql!(
    "update",
    "identities",
    "UPDATE identities SET login = $3, updated_at = $4 \
     WHERE platform = $1 AND platform_user_id = $2 AND login <> $3"
);

const BY_IDENTITY: Statement = sql!(
    "select",
    "identities",
    "SELECT person_id FROM identities WHERE platform = $1 AND platform_user_id = $2"
);

const BY_LOGIN: Statement = sql!(
    "select",
    "identities",
    "SELECT i.platform_user_id, p.display_name FROM identities i JOIN persons p ON p.id = i.person_id \
     WHERE i.platform = $1 AND i.login = $2 ORDER BY i.updated_at DESC LIMIT 1"
);

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&INSERT_PERSON, &INSERT_IDENTITY, &RENAME, &BY_IDENTITY, &BY_LOGIN];
