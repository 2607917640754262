//! The accounts that the bot speaks with; their tokens are encrypted at rest.

use chrono::{DateTime, Utc};
use domain::{CommunityId, Platform};
use secrecy::SecretString;
use ulid::Ulid;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, text_or_empty};
use crate::vault::{Place, Vault};
use crate::{StorageError, db};

/// Most accounts of one platform.
const ACCOUNTS_MAX: i64 = 1_000;

/// One account, as it is used.
#[derive(Clone, Debug)]
pub struct BotAccount {
    pub id: Ulid,
    pub platform: Platform,
    pub login: String,
    /// `None` until the platform told us.
    pub platform_user_id: Option<String>,
    /// `None` for an account that every community may use.
    pub community_id: Option<CommunityId>,
    /// `None` when no token was stored.
    pub access_token: Option<SecretString>,
    /// `None` when the access token cannot be refreshed.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends; `None` when that is unknown.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What the configuration or the hub says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    pub platform: Platform,
    /// In lower case.
    pub login: String,
    /// `None` for an account that every community may use.
    pub community_id: Option<CommunityId>,
}

/// The tokens of an account.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access_token: SecretString,
    /// `None` when the access token cannot be refreshed.
    pub refresh_token: Option<SecretString>,
    /// `None` when it is unknown.
    pub expires_at: Option<DateTime<Utc>>,
}

type Row = (
    Text<Ulid>,
    Text<Platform>,
    String,
    Option<String>,
    Option<Text<CommunityId>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<DateTime<Utc>>,
);

/// Makes sure that the account is there and returns its id; tokens that are stored stay.
pub async fn ensure(tx: &mut Tx, name: &AccountName, now: DateTime<Utc>) -> Result<Ulid, StorageError> {
    let id = new_id(now)?.to_string();
    let community = name.community_id.map(|id| id.to_string());
    let (id,) = on!(
        tx,
        &ENSURE,
        fetch_one as (Text<Ulid>,),
        id,
        name.platform.as_str(),
        &name.login,
        community,
        micros(now)
    )?;
    Ok(id.0)
}

/// Stores new tokens, encrypted for this row. False when the account is gone.
pub async fn set_tokens(
    tx: &mut Tx,
    vault: &Vault,
    id: Ulid,
    tokens: &Tokens,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let row = id.to_string();
    let access = vault.seal(place(&row, "access_token"), &tokens.access_token)?;
    let refresh = match &tokens.refresh_token {
        Some(token) => Some(vault.seal(place(&row, "refresh_token"), token)?),
        None => None,
    };
    let expires_at = tokens.expires_at.map(micros);
    let n_changed =
        on!(tx, &SET_TOKENS, execute, &row, access, refresh, vault.key_id(), expires_at, micros(now))?;
    Ok(n_changed > 0)
}

/// Stores what the platform calls the account. False when the account is gone.
pub async fn set_platform_user_id(
    tx: &mut Tx,
    id: Ulid,
    platform_user_id: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    Ok(on!(tx, &SET_USER_ID, execute, id.to_string(), platform_user_id, micros(now))? > 0)
}

/// The account of that name with its tokens. `None` when there is none.
///
/// # Errors
/// [`StorageError::Invalid`] when a token does not open with this key or was copied from another row.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    vault: &Vault,
    name: &AccountName,
) -> Result<Option<BotAccount>, StorageError> {
    let community = text_or_empty(name.community_id);
    let row = on!(on.into(), &GET, fetch_optional as Row, name.platform.as_str(), &name.login, community)?;
    row.map(|row| open(row, vault)).transpose()
}

/// Every account of a platform, at most 1,000.
///
/// # Errors
/// As [`get`].
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    vault: &Vault,
    platform: Platform,
) -> Result<Vec<BotAccount>, StorageError> {
    let rows = on!(on.into(), &LIST, fetch_all as Row, platform.as_str(), ACCOUNTS_MAX)?;
    rows.into_iter().map(|row| open(row, vault)).collect()
}

/// Deletes an account with its tokens. False when it is gone already.
pub async fn remove(tx: &mut Tx, id: Ulid) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, id.to_string())? > 0)
}

fn open(row: Row, vault: &Vault) -> Result<BotAccount, StorageError> {
    let (id, platform, login, platform_user_id, community_id, access, refresh, expires_at) = row;
    let text = id.0.to_string();
    let unseal = |column, blob: Option<Vec<u8>>| {
        blob.map(|blob| vault.unseal(place(&text, column), &blob)).transpose()
    };
    Ok(BotAccount {
        id: id.0,
        platform: platform.0,
        login,
        platform_user_id,
        community_id: community_id.map(|id| id.0),
        access_token: unseal("access_token", access)?,
        refresh_token: unseal("refresh_token", refresh)?,
        expires_at,
    })
}

const fn place<'a>(row: &'a str, column: &'static str) -> Place<'a> {
    Place { table: "bot_accounts", row, column }
}

/// Gives the id that is there when the account is not new.
const ENSURE: Statement = sql!(
    "insert",
    "bot_accounts",
    "INSERT INTO bot_accounts (id, platform, login, community_id, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (platform, login, COALESCE(community_id, '')) \
     DO UPDATE SET updated_at = excluded.updated_at RETURNING id"
);

const SET_TOKENS: Statement = sql!(
    "update",
    "bot_accounts",
    "UPDATE bot_accounts SET access_token = $2, refresh_token = $3, key_id = $4, expires_at = $5, \
     updated_at = $6 WHERE id = $1"
);

const SET_USER_ID: Statement = sql!(
    "update",
    "bot_accounts",
    "UPDATE bot_accounts SET platform_user_id = $2, updated_at = $3 WHERE id = $1"
);

const GET: Statement = sql!(
    "select",
    "bot_accounts",
    "SELECT id, platform, login, platform_user_id, community_id, access_token, refresh_token, expires_at \
     FROM bot_accounts WHERE platform = $1 AND login = $2 AND COALESCE(community_id, '') = $3"
);

const LIST: Statement = sql!(
    "select",
    "bot_accounts",
    "SELECT id, platform, login, platform_user_id, community_id, access_token, refresh_token, expires_at \
     FROM bot_accounts WHERE platform = $1 ORDER BY login, id LIMIT 0 + $2"
);

const DELETE: Statement = sql!("delete", "bot_accounts", "DELETE FROM bot_accounts WHERE id = $1");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&ENSURE, &SET_TOKENS, &SET_USER_ID, &GET, &LIST, &DELETE];
