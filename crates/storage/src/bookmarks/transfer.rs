//! Bookmarks in the order in which they are exported.

use domain::CommunityId;

use super::{Bookmark, Row};
use crate::StorageError;
use crate::db::{Statement, Target, on, sql};
use crate::rows::page;

/// Most bookmarks of one page.
pub const TRANSFER_MAX: u32 = 500;

/// Bookmarks with higher numbers than `number`, the lowest first, at most [`TRANSFER_MAX`].
pub async fn after<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    number: i64,
    limit: u32,
) -> Result<Vec<Bookmark>, StorageError> {
    let limit = page(limit, TRANSFER_MAX);
    let rows = on!(on.into(), &AFTER, fetch_all as Row, community_id.to_string(), number, limit)?;
    Ok(rows.into_iter().map(Bookmark::from).collect())
}

const AFTER: Statement = sql!(
    "select",
    "bookmarks",
    "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND number > $2 ORDER BY number LIMIT 0 + $3"
)
.on_replicas();

/// For the tests that look at every text.
pub(crate) const STATEMENTS: &[&Statement] = &[&AFTER];
