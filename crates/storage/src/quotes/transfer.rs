//! Quotes in the order in which they are exported, and the question whether one is there already.

use domain::CommunityId;

use super::{Quote, Row};
use crate::StorageError;
use crate::db::{Statement, Target, on, sql};
use crate::rows::page;

/// Most quotes of one page.
pub const TRANSFER_MAX: u32 = 500;

/// Quotes with higher numbers than `number`, the lowest first, at most [`TRANSFER_MAX`].
pub async fn after<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    number: i64,
    limit: u32,
) -> Result<Vec<Quote>, StorageError> {
    let limit = page(limit, TRANSFER_MAX);
    let rows = on!(on.into(), &AFTER, fetch_all as Row, community_id.to_string(), number, limit)?;
    Ok(rows.into_iter().map(Quote::from).collect())
}

/// Whether the community has this very text of this author.
pub async fn is_there<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    body: &str,
    author: &str,
) -> Result<bool, StorageError> {
    let row = on!(on.into(), &SAME, fetch_optional as (i64,), community_id.to_string(), body, author)?;
    Ok(row.is_some())
}

const AFTER: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 AND number > $2 ORDER BY number LIMIT 0 + $3"
)
.on_replicas();

const SAME: Statement = sql!(
    "select",
    "quotes",
    "SELECT number FROM quotes WHERE community_id = $1 AND substr(body, 1, 64) = substr($2, 1, 64) \
     AND body = $2 AND author = $3 LIMIT 1"
);

/// For the tests that look at every text.
pub(crate) const STATEMENTS: &[&Statement] = &[&AFTER, &SAME];
