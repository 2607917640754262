//! Shoutouts of a community: its own texts, who got one, and how many there were.

use chrono::{DateTime, Utc};
use domain::shoutout::ShoutoutTemplate;
use domain::{CommunityId, Platform};

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{self, micros};
use crate::{Db, StorageError};

pub mod listed;

/// Most rows of one history.
pub const PAGE_MAX: u32 = 100;

/// One shoutout that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shoutout {
    /// Where it was said.
    pub platform: String,
    pub target_user_id: String,
    pub target_login: String,
    pub message: String,
    /// `platform:user_id`, or `service`.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// A shoutout that is being said; the fields are those of [`Shoutout`].
#[derive(Clone, Debug)]
pub struct NewShoutout {
    pub platform: Platform,
    pub target_user_id: String,
    pub target_login: String,
    pub message: String,
    pub created_by: String,
}

/// All that a community ever said, also what is no longer in its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub n_shoutouts: i64,
    /// Different streamers.
    pub n_targets: i64,
    /// `None`: none yet, as with the last.
    pub first_at: Option<DateTime<Utc>>,
    pub last_at: Option<DateTime<Utc>>,
}

/// Which text: a community has one for each platform and for streamers who are live or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateKey {
    pub community_id: CommunityId,
    pub platform: Platform,
    pub is_live: bool,
}

type Row = (String, String, String, String, String, DateTime<Utc>);

impl From<Row> for Shoutout {
    fn from(row: Row) -> Self {
        let (platform, target_user_id, target_login, message, created_by, created_at) = row;
        Self { platform, target_user_id, target_login, message, created_by, created_at }
    }
}

/// Keeps a shoutout in the history and counts it.
pub async fn record(
    tx: &mut Tx,
    community_id: CommunityId,
    new: &NewShoutout,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let (community, target) = (community_id.to_string(), &new.target_user_id);
    let (n_of_target,) = on!(&mut *tx, &COUNT_TARGET, fetch_one as (i64,), community, target, micros(now))?;
    keep(tx, community_id, new, n_of_target == 1, now).await
}

/// Keeps a shoutout unless the target had one at `not_since` or later, by whomever. False: it had.
pub async fn record_unless(
    tx: &mut Tx,
    community_id: CommunityId,
    new: &NewShoutout,
    not_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let (community, target) = (community_id.to_string(), &new.target_user_id);
    let (at, not_since) = (micros(now), micros(not_since));
    let counted =
        on!(&mut *tx, &COUNT_TARGET_UNLESS, fetch_optional as (i64,), community, target, at, not_since)?;
    let Some((n_of_target,)) = counted else { return Ok(false) };
    keep(tx, community_id, new, n_of_target == 1, now).await?;
    Ok(true)
}

/// The target's row is counted, and locks what counts of them.
async fn keep(
    tx: &mut Tx,
    community_id: CommunityId,
    new: &NewShoutout,
    is_new_target: bool,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let (community, now) = (community_id.to_string(), micros(now));
    on!(&mut *tx, &COUNT, execute, &community, i64::from(is_new_target), now)?;
    on!(
        tx,
        &INSERT,
        execute,
        community,
        new.platform.as_str(),
        &new.target_user_id,
        &new.target_login,
        &new.message,
        &new.created_by,
        now
    )?;
    Ok(())
}

/// What was said last, the newest first, at most [`PAGE_MAX`].
pub async fn history<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    limit: u32,
) -> Result<Vec<Shoutout>, StorageError> {
    let limit = rows::page(limit, PAGE_MAX);
    let rows = on!(on.into(), &HISTORY, fetch_all as Row, community_id.to_string(), limit)?;
    Ok(rows.into_iter().map(Shoutout::from).collect())
}

/// The sums of a community.
pub async fn stats<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Stats, StorageError> {
    type Sums = (i64, i64, DateTime<Utc>, DateTime<Utc>);
    let row = on!(on.into(), &STATS, fetch_optional as Sums, community_id.to_string())?;
    Ok(row.map_or_else(Stats::default, |(n_shoutouts, n_targets, first_at, last_at)| Stats {
        n_shoutouts,
        n_targets,
        first_at: Some(first_at),
        last_at: Some(last_at),
    }))
}

/// The community's own text. `None`: it has none.
pub async fn template<'a>(
    on: impl Into<Target<'a>> + Send,
    key: TemplateKey,
) -> Result<Option<String>, StorageError> {
    let (community, platform) = (key.community_id.to_string(), key.platform.as_str());
    let row = on!(on.into(), &TEMPLATE, fetch_optional as (String,), community, platform, key.is_live)?;
    Ok(row.map(|(template,)| template))
}

/// The template that a shoutout is made from: the community's own, or the default.
pub async fn template_or_default<'a>(
    on: impl Into<Target<'a>> + Send,
    key: TemplateKey,
) -> Result<ShoutoutTemplate, StorageError> {
    let own = template(on, key).await?;
    // What was saved was read before; a variable that a later version drops is no reason to stay silent.
    let own = own.and_then(|text| ShoutoutTemplate::parse(&text).ok());
    Ok(own.unwrap_or_else(|| ShoutoutTemplate::default_for(key.platform, key.is_live)))
}

/// Sets the community's own text. The caller has read it as a template.
pub async fn set_template(
    tx: &mut Tx,
    key: TemplateKey,
    template: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let (community, platform) = (key.community_id.to_string(), key.platform.as_str());
    on!(tx, &SET_TEMPLATE, execute, community, platform, key.is_live, template, by, micros(now))?;
    Ok(())
}

/// Forgets the community's own text. False when it had none.
pub async fn remove_template(tx: &mut Tx, key: TemplateKey) -> Result<bool, StorageError> {
    let (community, platform) = (key.community_id.to_string(), key.platform.as_str());
    Ok(on!(tx, &REMOVE_TEMPLATE, execute, community, platform, key.is_live)? > 0)
}

/// Deletes at most `limit` rows of histories that are older, and returns how many. The sums stay.
pub async fn prune(db: &Db, older_than: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
    let mut tx = db.begin().await?;
    let n_pruned = on!(&mut tx, &PRUNE, execute, micros(older_than), i64::from(limit))?;
    tx.commit().await?;
    Ok(n_pruned)
}

const COUNT: Statement = sql!(
    "insert",
    "shoutout_books",
    "INSERT INTO shoutout_books (community_id, n_shoutouts, n_targets, first_at, last_at) \
     VALUES ($1, 1, 0 + $2, $3, $3) ON CONFLICT (community_id) \
     DO UPDATE SET n_shoutouts = shoutout_books.n_shoutouts + 1, \
     n_targets = shoutout_books.n_targets + excluded.n_targets, last_at = $3"
);

const COUNT_TARGET: Statement = sql!(
    "insert",
    "shoutout_targets",
    "INSERT INTO shoutout_targets (community_id, target_user_id, n_shoutouts, last_at) VALUES ($1, $2, 1, $3) \
     ON CONFLICT (community_id, target_user_id) \
     DO UPDATE SET n_shoutouts = shoutout_targets.n_shoutouts + 1, last_at = $3 RETURNING n_shoutouts"
);

const COUNT_TARGET_UNLESS: Statement = sql!(
    "insert",
    "shoutout_targets",
    "INSERT INTO shoutout_targets (community_id, target_user_id, n_shoutouts, last_at) VALUES ($1, $2, 1, $3) \
     ON CONFLICT (community_id, target_user_id) \
     DO UPDATE SET n_shoutouts = shoutout_targets.n_shoutouts + 1, last_at = $3 \
     WHERE shoutout_targets.last_at < $4 RETURNING n_shoutouts"
);

const INSERT: Statement = sql!(
    "insert",
    "shoutouts",
    "INSERT INTO shoutouts (community_id, platform, target_user_id, target_login, message, created_by, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)"
);

const HISTORY: Statement = sql!(
    "select",
    "shoutouts",
    "SELECT platform, target_user_id, target_login, message, created_by, created_at FROM shoutouts \
     WHERE community_id = $1 ORDER BY id DESC LIMIT 0 + $2"
)
.on_replicas();

const STATS: Statement = sql!(
    "select",
    "shoutout_books",
    "SELECT n_shoutouts, n_targets, first_at, last_at FROM shoutout_books WHERE community_id = $1"
);

const TEMPLATE: Statement = sql!(
    "select",
    "shoutout_templates",
    "SELECT template FROM shoutout_templates WHERE community_id = $1 AND platform = $2 AND is_live = $3"
);

const SET_TEMPLATE: Statement = sql!(
    "insert",
    "shoutout_templates",
    "INSERT INTO shoutout_templates (community_id, platform, is_live, template, updated_by, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (community_id, platform, is_live) \
     DO UPDATE SET template = $4, updated_by = $5, updated_at = $6"
);

const REMOVE_TEMPLATE: Statement = sql!(
    "delete",
    "shoutout_templates",
    "DELETE FROM shoutout_templates WHERE community_id = $1 AND platform = $2 AND is_live = $3"
);

const PRUNE: Statement = sql!(
    "delete",
    "shoutouts",
    "DELETE FROM shoutouts WHERE id IN (SELECT id FROM shoutouts WHERE created_at < $1 ORDER BY created_at \
     LIMIT 0 + $2)"
);

/// For the tests that look at every text.
pub(crate) const STATEMENTS: &[&Statement] = &[
    &COUNT,
    &COUNT_TARGET,
    &COUNT_TARGET_UNLESS,
    &INSERT,
    &HISTORY,
    &STATS,
    &TEMPLATE,
    &SET_TEMPLATE,
    &REMOVE_TEMPLATE,
    &PRUNE,
];
