//! Tags and figures of a community's bookmarks; kept as they change, so that asking reads few rows.

use domain::CommunityId;

use super::{Bookmark, OFFSET_MAX, PAGE_MAX, Row};
use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::page;
use crate::{StorageError, db};

/// A tag with how many bookmarks it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub n_bookmarks: i64,
}

/// Figures of a community's bookmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub n_bookmarks: i64,
    pub n_tags: i64,
    pub n_visits: i64,
    /// The number given last; those missing below it were deleted.
    pub last_number: i64,
}

/// A page of the tags in the order of names.
pub async fn tags<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    limit: u32,
    offset: u32,
) -> Result<Vec<Tag>, StorageError> {
    let (limit, offset) = (page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let rows = on!(on.into(), &TAGS, fetch_all as (String, i64), community_id.to_string(), limit, offset)?;
    Ok(rows.into_iter().map(|(name, n_bookmarks)| Tag { name, n_bookmarks }).collect())
}

/// Bookmarks that were visited, the most visited first.
pub async fn popular<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    limit: u32,
) -> Result<Vec<Bookmark>, StorageError> {
    let limit = page(limit, PAGE_MAX);
    let rows = on!(on.into(), &POPULAR, fetch_all as Row, community_id.to_string(), limit)?;
    Ok(rows.into_iter().map(Bookmark::from).collect())
}

/// The figures; all 0 for a community without bookmarks.
pub async fn stats<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Stats, StorageError> {
    type Figures = (i64, i64, i64, i64);
    let row = on!(on.into(), &STATS, fetch_optional as Figures, community_id.to_string())?;
    let (n_bookmarks, n_visits, last_number, n_tags) = row.unwrap_or_default();
    Ok(Stats { n_bookmarks, n_tags, n_visits, last_number })
}

/// Notes the tags (a list in JSON) of a bookmark.
pub(super) async fn tag(tx: &mut Tx, community: &str, number: i64, tags: &str) -> Result<(), StorageError> {
    on!(&mut *tx, &TAG, execute, community, number, tags)?;
    on!(tx, &COUNT, execute, community, tags)?;
    Ok(())
}

/// Takes the tags of a bookmark back; one without bookmarks goes.
pub(super) async fn untag(tx: &mut Tx, community: &str, number: i64, tags: &str) -> Result<(), StorageError> {
    on!(&mut *tx, &UNTAG, execute, community, number, tags)?;
    on!(&mut *tx, &DISCOUNT, execute, community, tags)?;
    on!(tx, &FORGET, execute, community, tags)?;
    Ok(())
}

const TAG: Statement = sql!("insert", "bookmark_tags",
    sqlite: "INSERT INTO bookmark_tags (community_id, tag, number) SELECT $1, value, $2 FROM json_each($3)",
    postgres: "INSERT INTO bookmark_tags (community_id, tag, number) \
     SELECT $1, tag, $2 FROM jsonb_array_elements_text(CAST($3 AS JSONB)) AS tag");

const COUNT: Statement = sql!("insert", "bookmark_tag_counts",
    sqlite: "INSERT INTO bookmark_tag_counts (community_id, tag, n_bookmarks) SELECT $1, value, 1 FROM json_each($2) \
     WHERE TRUE ON CONFLICT (community_id, tag) DO UPDATE SET n_bookmarks = bookmark_tag_counts.n_bookmarks + 1",
    postgres: "INSERT INTO bookmark_tag_counts (community_id, tag, n_bookmarks) \
     SELECT $1, tag, 1 FROM jsonb_array_elements_text(CAST($2 AS JSONB)) AS tag \
     ON CONFLICT (community_id, tag) DO UPDATE SET n_bookmarks = bookmark_tag_counts.n_bookmarks + 1");

const UNTAG: Statement = sql!("delete", "bookmark_tags",
    sqlite: "DELETE FROM bookmark_tags WHERE community_id = $1 AND number = $2 \
     AND tag IN (SELECT value FROM json_each($3))",
    postgres: "DELETE FROM bookmark_tags WHERE community_id = $1 AND number = $2 \
     AND tag = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($3 AS JSONB))))");

const DISCOUNT: Statement = sql!("update", "bookmark_tag_counts",
    sqlite: "UPDATE bookmark_tag_counts SET n_bookmarks = n_bookmarks - 1 WHERE community_id = $1 \
     AND tag IN (SELECT value FROM json_each($2))",
    postgres: "UPDATE bookmark_tag_counts SET n_bookmarks = n_bookmarks - 1 WHERE community_id = $1 \
     AND tag = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($2 AS JSONB))))");

const FORGET: Statement = sql!("delete", "bookmark_tag_counts",
    sqlite: "DELETE FROM bookmark_tag_counts WHERE community_id = $1 AND n_bookmarks < 1 \
     AND tag IN (SELECT value FROM json_each($2))",
    postgres: "DELETE FROM bookmark_tag_counts WHERE community_id = $1 AND n_bookmarks < 1 \
     AND tag = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($2 AS JSONB))))");

const TAGS: Statement = sql!(
    "select",
    "bookmark_tag_counts",
    "SELECT tag, n_bookmarks FROM bookmark_tag_counts WHERE community_id = $1 \
     ORDER BY tag LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const POPULAR: Statement = sql!(
    "select",
    "bookmarks",
    "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND visits > 0 ORDER BY visits DESC, number DESC LIMIT 0 + $2"
)
.on_replicas();

const STATS: Statement = sql!(
    "select",
    "bookmark_books",
    "SELECT b.n_bookmarks, b.n_visits, b.last_number, \
     (SELECT COUNT(*) FROM bookmark_tag_counts c WHERE c.community_id = $1) FROM bookmark_books b \
     WHERE b.community_id = $1"
);

pub(crate) const STATEMENTS: &[&db::Statement] =
    &[&TAG, &COUNT, &UNTAG, &DISCOUNT, &FORGET, &TAGS, &POPULAR, &STATS];
