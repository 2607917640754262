//! Bookmarks of a community: addresses under numbers that people say, found by their words and tags.

use chrono::{DateTime, Utc};
use domain::{CommunityId, PersonId};

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{self, micros};
use crate::words::{self, Wanted};
use crate::{StorageError, db};

mod page;
mod summary;
pub mod transfer;

pub use page::{PAGE_TOPIC, PageWanted, want_page};
pub(crate) use summary::STATEMENTS as SUMMARY_STATEMENTS;
pub use summary::{Stats, Tag, popular, stats, tags};

/// Most bookmarks of one community.
pub const BOOKMARKS_MAX: u32 = 10_000;

/// Most tags of one bookmark.
pub const TAGS_MAX: usize = 20;

/// Most rows of one page.
pub const PAGE_MAX: u32 = 100;

/// Most rows before a page.
pub const OFFSET_MAX: u32 = 100_000;

/// One bookmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// What people call it in its community; never given again.
    pub number: i64,
    pub url: String,
    /// Empty while nobody knows one.
    pub title: String,
    pub description: String,
    /// In lower case, in the order of the alphabet.
    pub tags: Vec<String>,
    pub visits: i64,
    /// `platform:user_id`, or `service`.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A bookmark to keep; the fields are those of [`Bookmark`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBookmark {
    pub url: String,
    /// The same for all spellings of one address.
    pub url_key: String,
    pub title: String,
    pub description: String,
    pub tags: Vec<String>,
    pub created_by: String,
    /// `None` when whoever made it is not stored.
    pub person_id: Option<PersonId>,
}

/// What [`add`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Kept(i64),
    /// The community has the address already, under this number.
    There(i64),
    /// The community has [`BOOKMARKS_MAX`].
    Full,
}

/// Which bookmarks are wanted; what is empty does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookmarkFilter {
    /// Words that all have to stand in the title, the tags, the description or the address.
    pub words: String,
    /// Any of these, in lower case.
    pub tags: Vec<String>,
    pub created_by: String,
}

type Row = (i64, String, String, String, String, i64, String, DateTime<Utc>, DateTime<Utc>);

impl From<Row> for Bookmark {
    fn from(row: Row) -> Self {
        let (number, url, title, description, tags, visits, created_by, created_at, updated_at) = row;
        // Only this file writes them.
        let tags = serde_json::from_str(&tags).unwrap_or_default();
        Self { number, url, title, description, tags, visits, created_by, created_at, updated_at }
    }
}

/// Keeps an address, unless the community has it already. Tags are sorted, in lower case and each once.
pub async fn add(
    tx: &mut Tx,
    community_id: CommunityId,
    new: &NewBookmark,
    now: DateTime<Utc>,
) -> Result<Added, StorageError> {
    let community = community_id.to_string();
    // The row is the lock of all that adds to and deletes from the community.
    let (n_bookmarks,) = on!(&mut *tx, &OPEN, fetch_one as (i64,), &community)?;
    let there = on!(&mut *tx, &BY_URL, fetch_optional as (i64,), &community, &new.url_key)?;
    if let Some((number,)) = there {
        return Ok(Added::There(number));
    }
    if n_bookmarks >= i64::from(BOOKMARKS_MAX) {
        return Ok(Added::Full);
    }
    let (number,) = on!(&mut *tx, &NUMBER, fetch_one as (i64,), &community)?;
    let tags = json(&new.tags)?;
    on!(
        &mut *tx,
        &INSERT,
        execute,
        &community,
        number,
        &new.url,
        &new.url_key,
        &new.title,
        &new.description,
        &tags,
        &new.created_by,
        new.person_id.map(|id| id.to_string()),
        micros(now),
        indexed(community_id, &new.title, &new.description, &tags, &new.url),
    )?;
    summary::tag(tx, &community, number, &tags).await?;
    Ok(Added::Kept(number))
}

/// What is to become of a bookmark; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    pub title: Option<String>,
    pub description: Option<String>,
    pub tags: Option<Vec<String>>,
}

/// Changes a bookmark and returns it. `None` when there is none of that number.
pub async fn rewrite(
    tx: &mut Tx,
    community_id: CommunityId,
    number: i64,
    rewrite: Rewrite,
    now: DateTime<Utc>,
) -> Result<Option<Bookmark>, StorageError> {
    let community = community_id.to_string();
    on!(&mut *tx, &LOCK, fetch_optional as (i64,), &community)?;
    let Some(old) = get(&mut *tx, community_id, number).await? else { return Ok(None) };
    let (old_tags, tags) = (json(&old.tags)?, json(rewrite.tags.as_ref().unwrap_or(&old.tags))?);
    if tags != old_tags {
        summary::untag(tx, &community, number, &old_tags).await?;
        summary::tag(tx, &community, number, &tags).await?;
    }
    let title = rewrite.title.unwrap_or(old.title);
    let description = rewrite.description.unwrap_or(old.description);
    let search = indexed(community_id, &title, &description, &tags, &old.url);
    on!(&mut *tx, &UPDATE, execute, &community, number, title, description, tags, micros(now), search)?;
    get(tx, community_id, number).await
}

/// Deletes a bookmark and returns it. `None` when there is none of that number.
pub async fn remove(
    tx: &mut Tx,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Bookmark>, StorageError> {
    let community = community_id.to_string();
    on!(&mut *tx, &LOCK, fetch_optional as (i64,), &community)?;
    let Some(bookmark) = get(&mut *tx, community_id, number).await? else { return Ok(None) };
    summary::untag(tx, &community, number, &json(&bookmark.tags)?).await?;
    on!(&mut *tx, &DELETE, execute, &community, number)?;
    on!(tx, &CLOSE_UP, execute, &community, bookmark.visits)?;
    Ok(Some(bookmark))
}

/// The bookmark of that number.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Bookmark>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, community_id.to_string(), number)?;
    Ok(row.map(Bookmark::from))
}

/// Counts a visit. False when there is none of that number.
pub async fn visit(tx: &mut Tx, community_id: CommunityId, number: i64) -> Result<bool, StorageError> {
    let community = community_id.to_string();
    let is_there = on!(&mut *tx, &VISIT, execute, &community, number)? > 0;
    if is_there {
        on!(tx, &VISITED, execute, community)?;
    }
    Ok(is_there)
}

/// Bookmarks that fit, the newest first; with words the best hit first. Words and tags are looked for among their newest
/// 1,000 hits.
///
/// Words are runs of letters and digits. What has none of them finds nothing; nothing that can be typed is an error.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    filter: &BookmarkFilter,
    limit: u32,
    offset: u32,
) -> Result<Vec<Bookmark>, StorageError> {
    let (on, community) = (on.into(), community_id.to_string());
    let (limit, offset) = (rows::page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let (tags, creator) = (json(&filter.tags)?, filter.created_by.as_str());
    let rows = if !filter.words.is_empty() {
        let Some(wanted) = Wanted::of(community_id, &filter.words) else { return Ok(Vec::new()) };
        let (lite, pg, rank) = (wanted.fts5(), wanted.tsquery(), wanted.rank());
        on!(on, &SEARCH, fetch_all as Row, community, limit, offset, tags, creator, lite, pg, rank)
    } else if !filter.tags.is_empty() {
        on!(on, &LIST_TAGGED, fetch_all as Row, community, limit, offset, tags, creator)
    } else if !creator.is_empty() {
        on!(on, &LIST_BY, fetch_all as Row, community, limit, offset, creator)
    } else {
        on!(on, &LIST, fetch_all as Row, community, limit, offset)
    };
    Ok(rows?.into_iter().map(Bookmark::from).collect())
}

fn json(tags: &[String]) -> Result<String, StorageError> {
    serde_json::to_string(tags)
        .map_err(|error| StorageError::invalid(format!("tags cannot be stored: {error}")))
}

fn indexed(community_id: CommunityId, title: &str, description: &str, tags: &str, url: &str) -> String {
    words::indexed(community_id, &[('A', title), ('B', tags), ('C', description), ('D', url)])
}

const OPEN: Statement = sql!(
    "insert",
    "bookmark_books",
    "INSERT INTO bookmark_books (community_id, n_bookmarks, last_number) VALUES ($1, 0, 0) \
     ON CONFLICT (community_id) DO UPDATE SET last_number = bookmark_books.last_number RETURNING n_bookmarks"
);

const LOCK: Statement = sql!("select", "bookmark_books",
    sqlite: "SELECT n_bookmarks FROM bookmark_books WHERE community_id = $1",
    postgres: "SELECT n_bookmarks FROM bookmark_books WHERE community_id = $1 FOR UPDATE");

const NUMBER: Statement = sql!(
    "update",
    "bookmark_books",
    "UPDATE bookmark_books SET n_bookmarks = n_bookmarks + 1, last_number = last_number + 1 \
     WHERE community_id = $1 RETURNING last_number"
);

const CLOSE_UP: Statement = sql!(
    "update",
    "bookmark_books",
    "UPDATE bookmark_books SET n_bookmarks = n_bookmarks - 1, n_visits = n_visits - $2 WHERE community_id = $1"
);

const BY_URL: Statement =
    sql!("select", "bookmarks", "SELECT number FROM bookmarks WHERE community_id = $1 AND url_key = $2");

/// `SQLite` finds the words by itself, see the migration's triggers.
const INSERT: Statement = sql!("insert", "bookmarks",
    sqlite: "INSERT INTO bookmarks (community_id, number, url, url_key, title, description, tags, created_by, person_id, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
    postgres: "INSERT INTO bookmarks (community_id, number, url, url_key, title, description, tags, created_by, \
     person_id, created_at, updated_at, search) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, CAST(CAST($11 AS TEXT) AS TSVECTOR))");

const UPDATE: Statement = sql!("update", "bookmarks",
    sqlite: "UPDATE bookmarks SET title = $3, description = $4, tags = $5, updated_at = $6 \
     WHERE community_id = $1 AND number = $2",
    postgres: "UPDATE bookmarks SET title = $3, description = $4, tags = $5, updated_at = $6, \
     search = CAST(CAST($7 AS TEXT) AS TSVECTOR) WHERE community_id = $1 AND number = $2");

const DELETE: Statement =
    sql!("delete", "bookmarks", "DELETE FROM bookmarks WHERE community_id = $1 AND number = $2");

const GET: Statement = sql!(
    "select",
    "bookmarks",
    "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND number = $2"
);

const VISIT: Statement = sql!(
    "update",
    "bookmarks",
    "UPDATE bookmarks SET visits = visits + 1 WHERE community_id = $1 AND number = $2"
);

const VISITED: Statement = sql!(
    "update",
    "bookmark_books",
    "UPDATE bookmark_books SET n_visits = n_visits + 1 WHERE community_id = $1"
);

const LIST: Statement = sql!(
    "select",
    "bookmarks",
    "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const LIST_BY: Statement = sql!(
    "select",
    "bookmarks",
    "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND created_by = $4 ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const LIST_TAGGED: Statement = sql!("select", "bookmarks",
    sqlite: "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND number IN (SELECT number FROM bookmark_tags WHERE community_id = $1 \
     AND tag IN (SELECT value FROM json_each($4)) ORDER BY number DESC LIMIT 1000) \
     AND ($5 = '' OR created_by = $5) ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3",
    postgres: "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at FROM bookmarks \
     WHERE community_id = $1 AND number IN (SELECT number FROM bookmark_tags WHERE community_id = $1 \
     AND tag = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST($4 AS JSONB)))) ORDER BY number DESC LIMIT 1000) \
     AND ($5 = '' OR created_by = $5) ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3")
.on_replicas();

/// As the search of quotes: the inner list bounds what is ranked.
const SEARCH: Statement = sql!("select", "bookmarks",
    sqlite: "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at \
     FROM (SELECT b.number, b.url, b.title, b.description, b.tags, b.visits, b.created_by, b.created_at, b.updated_at, \
     bm25(bookmarks_search, 10.0, 5.0, 2.0, 1.0) AS score \
     FROM bookmarks_search CROSS JOIN bookmarks b ON b.id = bookmarks_search.rowid \
     WHERE bookmarks_search MATCH $6 AND b.community_id = $1 AND ($5 = '' OR b.created_by = $5) \
     AND ($4 = '[]' OR EXISTS (SELECT 1 FROM bookmark_tags t WHERE t.community_id = $1 AND t.number = b.number \
     AND t.tag IN (SELECT value FROM json_each($4)))) \
     AND $7 <> $8 ORDER BY bookmarks_search.rowid DESC LIMIT 1000) AS hits \
     ORDER BY score, number DESC LIMIT 0 + $2 OFFSET 0 + $3",
    postgres: "SELECT number, url, title, description, tags, visits, created_by, created_at, updated_at \
     FROM (SELECT b.number, b.url, b.title, b.description, b.tags, b.visits, b.created_by, b.created_at, b.updated_at, \
     ts_rank('{0.1, 0.2, 0.5, 1.0}', b.search, CAST(CAST($8 AS TEXT) AS TSQUERY)) AS score FROM bookmarks b \
     WHERE b.search @@ CAST(CAST($7 AS TEXT) AS TSQUERY) AND b.community_id = $1 \
     AND ($5 = '' OR b.created_by = $5) AND (CAST($4 AS TEXT) = '[]' OR EXISTS (SELECT 1 FROM bookmark_tags t \
     WHERE t.community_id = $1 AND t.number = b.number \
     AND t.tag = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST($4 AS TEXT) AS JSONB)))))) \
     AND $6 <> '' ORDER BY b.id DESC LIMIT 1000) AS hits \
     ORDER BY score DESC, number DESC LIMIT 0 + $2 OFFSET 0 + $3")
.on_replicas();

pub(crate) const STATEMENTS: &[&db::Statement] = &[
    &OPEN,
    &LOCK,
    &NUMBER,
    &CLOSE_UP,
    &BY_URL,
    &INSERT,
    &UPDATE,
    &DELETE,
    &GET,
    &VISIT,
    &VISITED,
    &LIST,
    &LIST_BY,
    &LIST_TAGGED,
    &SEARCH,
];
