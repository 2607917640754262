//! The registry of commands: a channel's entry wins over its community's, that over a global one.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CommunityId, Level};
use ulid::Ulid;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, page, text_or_empty};
use crate::{StorageError, db};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// Most commands that one channel sees.
pub const EFFECTIVE_MAX: u32 = 2_000;

/// Longest page.
pub const PAGE_MAX: u32 = 100;

/// Where a command is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandScope {
    Global,
    Community(CommunityId),
    Channel(ChannelId),
}

impl CommandScope {
    /// The two columns; an absent id is NULL in the row and the empty text in the unique index.
    fn columns(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Global => (None, None),
            Self::Community(id) => (Some(id.to_string()), None),
            Self::Channel(id) => (None, Some(id.to_string())),
        }
    }
}

/// What a command is, apart from where and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The first word in lower case, without its prefix.
    pub command: String,
    pub module_name: String,
    pub description: String,
    pub usage: String,
    pub category: String,
    pub level: Level,
    pub cooldown_secs: i64,
    pub user_cooldown_secs: i64,
    /// The template of a custom command; empty for a module's own.
    pub response: String,
    pub is_enabled: bool,
}

impl CommandSpec {
    /// A custom command with the defaults of the registry.
    pub fn custom(command: impl Into<String>, response: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            module_name: "commands".into(),
            description: String::new(),
            usage: String::new(),
            category: "general".into(),
            level: Level::Everyone,
            cooldown_secs: 5,
            user_cooldown_secs: 0,
            response: response.into(),
            is_enabled: true,
        }
    }

    fn check(&self) -> Result<(), StorageError> {
        if self.command.is_empty() || self.command.len() > NAME_BYTES_MAX {
            return Err(StorageError::invalid(format!(
                "a command's name has 1 to {NAME_BYTES_MAX} characters"
            )));
        }
        Ok(())
    }
}

/// One entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub id: Ulid,
    pub scope: CommandScope,
    pub spec: CommandSpec,
    pub use_count: i64,
    /// False for an entry that is kept but no longer in force.
    pub is_active: bool,
    pub updated_at: DateTime<Utc>,
}

type Row = (
    Text<Ulid>,
    String,
    String,
    String,
    String,
    String,
    Text<Level>,
    i64,
    i64,
    String,
    i64,
    Option<Text<CommunityId>>,
    Option<Text<ChannelId>>,
    bool,
    bool,
    DateTime<Utc>,
);

impl From<Row> for Command {
    fn from(row: Row) -> Self {
        let (id, command, module_name, description, usage, category, level, cooldown_secs, ..) = row;
        let (user_cooldown_secs, response, use_count) = (row.8, row.9, row.10);
        let (community, channel, is_enabled, is_active, updated_at) =
            (row.11, row.12, row.13, row.14, row.15);
        Self {
            id: id.0,
            scope: match (community, channel) {
                (_, Some(channel)) => CommandScope::Channel(channel.0),
                (Some(community), None) => CommandScope::Community(community.0),
                (None, None) => CommandScope::Global,
            },
            spec: CommandSpec {
                command,
                module_name,
                description,
                usage,
                category,
                level: level.0,
                cooldown_secs,
                user_cooldown_secs,
                response,
                is_enabled,
            },
            use_count,
            is_active,
            updated_at,
        }
    }
}

/// Adds an entry. `None` when the scope has one of that name already.
pub async fn add(
    tx: &mut Tx,
    scope: CommandScope,
    spec: &CommandSpec,
    now: DateTime<Utc>,
) -> Result<Option<Ulid>, StorageError> {
    spec.check()?;
    let row = NewRow { id: new_id(now)?, scope, spec, now };
    let n_added = insert(tx, &INSERT, &row).await?;
    Ok((n_added > 0).then_some(row.id))
}

/// Puts a configured global command in force: made when it is missing, else brought to the configured text.
/// Whether it is enabled stays as people set it. True when anything changed.
pub async fn ensure_global_seed(
    tx: &mut Tx,
    spec: &CommandSpec,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    spec.check()?;
    let row = NewRow { id: new_id(now)?, scope: CommandScope::Global, spec, now };
    Ok(insert(tx, &SEED, &row).await? > 0)
}

/// A row about to be written.
struct NewRow<'a> {
    id: Ulid,
    scope: CommandScope,
    spec: &'a CommandSpec,
    now: DateTime<Utc>,
}

async fn insert(tx: &mut Tx, statement: &Statement, row: &NewRow<'_>) -> Result<u64, StorageError> {
    let (community, channel) = row.scope.columns();
    let NewRow { id, spec, now, .. } = row;
    on!(
        tx,
        statement,
        execute,
        id.to_string(),
        &spec.command,
        &spec.module_name,
        &spec.description,
        &spec.usage,
        &spec.category,
        spec.level.as_str(),
        spec.cooldown_secs,
        spec.user_cooldown_secs,
        &spec.response,
        community,
        channel,
        spec.is_enabled,
        micros(*now),
    )
}

/// Writes a changed entry; its scope and count stay. False when the entry is gone.
///
/// # Errors
/// [`StorageError::Conflict`] when the new name is taken in its scope.
pub async fn edit(
    tx: &mut Tx,
    id: Ulid,
    spec: &CommandSpec,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    spec.check()?;
    let n_changed = on!(
        tx,
        &UPDATE,
        execute,
        id.to_string(),
        &spec.command,
        &spec.module_name,
        &spec.description,
        &spec.usage,
        &spec.category,
        spec.level.as_str(),
        spec.cooldown_secs,
        spec.user_cooldown_secs,
        &spec.response,
        spec.is_enabled,
        micros(now),
    )?;
    Ok(n_changed > 0)
}

/// Deletes an entry. False when it is gone already.
pub async fn remove(tx: &mut Tx, id: Ulid) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, id.to_string())? > 0)
}

/// Enables or disables an entry. False when it is gone.
pub async fn set_enabled(
    tx: &mut Tx,
    id: Ulid,
    is_enabled: bool,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    Ok(on!(tx, &SET_ENABLED, execute, id.to_string(), is_enabled, micros(now))? > 0)
}

/// Counts one use and returns the new count. `None` when the entry is gone.
pub async fn bump_count(tx: &mut Tx, id: Ulid) -> Result<Option<i64>, StorageError> {
    let row = on!(tx, &BUMP, fetch_optional as (i64,), id.to_string())?;
    Ok(row.map(|(count,)| count))
}

/// The entry of that id.
pub async fn get<'a>(on: impl Into<Target<'a>> + Send, id: Ulid) -> Result<Option<Command>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, id.to_string())?;
    Ok(row.map(Command::from))
}

/// The entry of exactly that scope and name.
pub async fn by_name<'a>(
    on: impl Into<Target<'a>> + Send,
    scope: CommandScope,
    command: &str,
) -> Result<Option<Command>, StorageError> {
    let (community, channel) = scope.columns();
    let (channel, community) = (text_or_empty(channel), text_or_empty(community));
    let row = on!(on.into(), &BY_NAME, fetch_optional as Row, channel, community, command)?;
    Ok(row.map(Command::from))
}

/// What is in force in a channel, each name once and disabled entries too, at most 2,000 in the order of names.
pub async fn for_channel<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
    community_id: CommunityId,
) -> Result<Vec<Command>, StorageError> {
    let (channel, community) = (channel_id.to_string(), community_id.to_string());
    let rows = on!(on.into(), &EFFECTIVE, fetch_all as Row, channel, community, i64::from(EFFECTIVE_MAX))?;
    Ok(rows.into_iter().map(Command::from).collect())
}

/// One page of exactly that scope in the order of names, after the name `after`.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    scope: CommandScope,
    after: &str,
    limit: u32,
) -> Result<Vec<Command>, StorageError> {
    let (community, channel) = scope.columns();
    let (channel, community) = (text_or_empty(channel), text_or_empty(community));
    let rows = on!(on.into(), &LIST, fetch_all as Row, channel, community, after, page(limit, PAGE_MAX))?;
    Ok(rows.into_iter().map(Command::from).collect())
}

const INSERT: Statement = sql!(
    "insert",
    "commands",
    "INSERT INTO commands (id, command, module_name, description, usage, category, permission_level, \
     cooldown_seconds, user_cooldown_seconds, response, community_id, channel_id, is_enabled, is_active, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, TRUE, $14, $14) \
     ON CONFLICT (COALESCE(channel_id, ''), COALESCE(community_id, ''), command) DO NOTHING"
);

const SEED: Statement = sql!(
    "insert",
    "commands",
    "INSERT INTO commands (id, command, module_name, description, usage, category, permission_level, \
     cooldown_seconds, user_cooldown_seconds, response, community_id, channel_id, is_enabled, is_active, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, TRUE, $14, $14) \
     ON CONFLICT (COALESCE(channel_id, ''), COALESCE(community_id, ''), command) DO UPDATE SET \
     module_name = excluded.module_name, description = excluded.description, usage = excluded.usage, \
     category = excluded.category, permission_level = excluded.permission_level, \
     cooldown_seconds = excluded.cooldown_seconds, user_cooldown_seconds = excluded.user_cooldown_seconds, \
     response = excluded.response, is_active = TRUE, updated_at = excluded.updated_at \
     WHERE commands.module_name <> excluded.module_name OR commands.description <> excluded.description \
     OR commands.usage <> excluded.usage OR commands.category <> excluded.category \
     OR commands.permission_level <> excluded.permission_level \
     OR commands.cooldown_seconds <> excluded.cooldown_seconds \
     OR commands.user_cooldown_seconds <> excluded.user_cooldown_seconds \
     OR commands.response <> excluded.response OR NOT commands.is_active"
);

const UPDATE: Statement = sql!(
    "update",
    "commands",
    "UPDATE commands SET command = $2, module_name = $3, description = $4, usage = $5, category = $6, \
     permission_level = $7, cooldown_seconds = $8, user_cooldown_seconds = $9, response = $10, \
     is_enabled = $11, updated_at = $12 WHERE id = $1"
);

const DELETE: Statement = sql!("delete", "commands", "DELETE FROM commands WHERE id = $1");

const SET_ENABLED: Statement =
    sql!("update", "commands", "UPDATE commands SET is_enabled = $2, updated_at = $3 WHERE id = $1");

const BUMP: Statement = sql!(
    "update",
    "commands",
    "UPDATE commands SET use_count = use_count + 1 WHERE id = $1 RETURNING use_count"
);

const GET: Statement = sql!(
    "select",
    "commands",
    "SELECT id, command, module_name, description, usage, category, permission_level, cooldown_seconds, \
     user_cooldown_seconds, response, use_count, community_id, channel_id, is_enabled, is_active, updated_at \
     FROM commands WHERE id = $1"
);

const BY_NAME: Statement = sql!(
    "select",
    "commands",
    "SELECT id, command, module_name, description, usage, category, permission_level, cooldown_seconds, \
     user_cooldown_seconds, response, use_count, community_id, channel_id, is_enabled, is_active, updated_at \
     FROM commands WHERE COALESCE(channel_id, '') = $1 AND COALESCE(community_id, '') = $2 AND command = $3"
);

const LIST: Statement = sql!(
    "select",
    "commands",
    "SELECT id, command, module_name, description, usage, category, permission_level, cooldown_seconds, \
     user_cooldown_seconds, response, use_count, community_id, channel_id, is_enabled, is_active, updated_at \
     FROM commands WHERE COALESCE(channel_id, '') = $1 AND COALESCE(community_id, '') = $2 AND command > $3 \
     ORDER BY command LIMIT 0 + $4"
)
.on_replicas();

const EFFECTIVE: Statement = sql!(
    "select",
    "commands",
    "SELECT id, command, module_name, description, usage, category, permission_level, cooldown_seconds, \
     user_cooldown_seconds, response, use_count, community_id, channel_id, is_enabled, is_active, updated_at \
     FROM (SELECT commands.*, ROW_NUMBER() OVER (PARTITION BY command ORDER BY CASE \
     WHEN channel_id IS NOT NULL THEN 0 WHEN community_id IS NOT NULL THEN 1 ELSE 2 END) AS precedence \
     FROM commands WHERE is_active AND (channel_id = $1 OR community_id = $2 \
     OR (channel_id IS NULL AND community_id IS NULL))) AS seen \
     WHERE precedence = 1 ORDER BY command LIMIT 0 + $3"
)
.on_replicas();

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&INSERT, &SEED, &UPDATE, &DELETE, &SET_ENABLED, &BUMP, &GET, &BY_NAME, &LIST, &EFFECTIVE];
