//! Quotes of a community: kept under numbers that people say, found by their words, drawn at random.
//!
//! Every writer locks the community's book first, so that numbers are never given twice and positions have no gap.

use chrono::{DateTime, Utc};
use domain::{CommunityId, PersonId};

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{micros, page};
use crate::{StorageError, db};

mod summary;
pub mod transfer;
mod votes;

use crate::words::{self, Wanted};
pub(crate) use summary::STATEMENTS as SUMMARY_STATEMENTS;
pub use summary::{Category, Stats, categories, stats};
pub(crate) use votes::STATEMENTS as VOTE_STATEMENTS;
pub use votes::{Vote, Votes, vote};

/// Most quotes of one community.
pub const QUOTES_MAX: u32 = 1_000_000;

/// Longest page.
pub const PAGE_MAX: u32 = 100;

/// Furthest page: what stands behind is found by its words, author or category.
pub const OFFSET_MAX: u32 = 100_000;

/// One quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What people call it in its community; never given again.
    pub number: i64,
    pub body: String,
    /// Who said it, as people write it; empty when nobody told.
    pub author: String,
    /// `None` when the author's account is not known.
    pub author_user_id: Option<String>,
    /// In lower case; empty when it has none.
    pub category: String,
    /// What was played then. `None`: unknown.
    pub game: Option<String>,
    /// Who kept it: `platform:user_id`, or `service`.
    pub created_by: String,
    pub votes: Votes,
    pub created_at: DateTime<Utc>,
}

/// A quote to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewQuote {
    pub body: String,
    pub author: String,
    pub author_user_id: Option<String>,
    /// In lower case.
    pub category: String,
    pub game: Option<String>,
    pub created_by: String,
    /// `None` when whoever kept it was never seen in a chat.
    pub person_id: Option<PersonId>,
}

/// Which quotes are wanted; what is empty does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuoteFilter {
    /// Words that all have to stand in the text, the author or the category, in any form of writing.
    pub words: String,
    pub category: String,
    pub author: String,
}

type Row = (i64, String, String, Option<String>, String, Option<String>, String, i64, i64, DateTime<Utc>);

impl From<Row> for Quote {
    fn from(row: Row) -> Self {
        let (number, body, author, author_user_id, category, game, created_by, up, down, created_at) = row;
        let votes = Votes { up, down };
        Self { number, body, author, author_user_id, category, game, created_by, votes, created_at }
    }
}

/// Keeps a quote and returns its number. `None` when the community has 1,000,000.
pub async fn add(
    tx: &mut Tx,
    community_id: CommunityId,
    new: &NewQuote,
    now: DateTime<Utc>,
) -> Result<Option<i64>, StorageError> {
    let community = community_id.to_string();
    let book = on!(&mut *tx, &OPEN, fetch_optional as (i64, i64), &community, i64::from(QUOTES_MAX))?;
    let Some((position, number)) = book else { return Ok(None) };
    on!(
        &mut *tx,
        &INSERT,
        execute,
        &community,
        number,
        position,
        &new.body,
        &new.author,
        new.author.to_lowercase(),
        new.author_user_id.as_deref(),
        &new.category,
        new.game.as_deref(),
        &new.created_by,
        new.person_id.map(|id| id.to_string()),
        micros(now),
        words::indexed(community_id, &[('A', &new.body), ('B', &new.author), ('C', &new.category)]),
    )?;
    summary::count_category(tx, &community, &new.category, 1).await?;
    Ok(Some(number))
}

/// Deletes a quote and returns it; the last one takes its position. `None` when there is none of that number.
pub async fn remove(
    tx: &mut Tx,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Quote>, StorageError> {
    let community = community_id.to_string();
    on!(&mut *tx, &LOCK, fetch_optional as (i64,), &community)?;
    let Some(quote) = get(&mut *tx, community_id, number).await? else { return Ok(None) };
    let (position,) = on!(&mut *tx, &DELETE, fetch_one as (i64,), &community, number)?;
    let (n_left,) = on!(&mut *tx, &CLOSE_UP, fetch_one as (i64,), &community)?;
    on!(&mut *tx, &MOVE, execute, &community, n_left + 1, position)?;
    summary::count_category(tx, &community, &quote.category, -1).await?;
    Ok(Some(quote))
}

/// The quote of that number.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Quote>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, community_id.to_string(), number)?;
    Ok(row.map(Quote::from))
}

/// Draws a quote, each as likely as the others whatever was deleted; `draw` is any random number. `None` when there
/// are none.
pub async fn random<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    draw: u64,
) -> Result<Option<Quote>, StorageError> {
    let draw = i64::try_from(draw >> 1).expect("63 bits");
    let row = on!(on.into(), &RANDOM, fetch_optional as Row, community_id.to_string(), draw)?;
    Ok(row.map(Quote::from))
}

/// Quotes that fit, the newest first; with words the best hit first, ranked among the newest 1,000 hits.
///
/// Words are runs of letters and digits. What has none of them finds nothing; nothing that can be typed is an error.
pub async fn list<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    filter: &QuoteFilter,
    limit: u32,
    offset: u32,
) -> Result<Vec<Quote>, StorageError> {
    let (on, community) = (on.into(), community_id.to_string());
    let (limit, offset) = (page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let (category, author) = (filter.category.to_lowercase(), filter.author.to_lowercase());
    let rows = if filter.words.is_empty() {
        match (category.is_empty(), author.is_empty()) {
            (true, true) => on!(on, &LIST, fetch_all as Row, community, limit, offset),
            (false, true) => on!(on, &LIST_CATEGORY, fetch_all as Row, community, limit, offset, category),
            (true, false) => on!(on, &LIST_AUTHOR, fetch_all as Row, community, limit, offset, author),
            (false, false) => {
                on!(on, &LIST_BOTH, fetch_all as Row, community, limit, offset, category, author)
            }
        }
    } else {
        let Some(wanted) = Wanted::of(community_id, &filter.words) else { return Ok(Vec::new()) };
        let (lite, pg, rank) = (wanted.fts5(), wanted.tsquery(), wanted.rank());
        on!(on, &SEARCH, fetch_all as Row, community, limit, offset, category, author, lite, pg, rank)
    };
    Ok(rows?.into_iter().map(Quote::from).collect())
}

/// Takes the next number and position; this row is the lock of all that writes a community's quotes.
const OPEN: Statement = sql!(
    "insert",
    "quote_books",
    "INSERT INTO quote_books (community_id, n_quotes, last_number) VALUES ($1, 1, 1) \
     ON CONFLICT (community_id) DO UPDATE SET n_quotes = quote_books.n_quotes + 1, \
     last_number = quote_books.last_number + 1 WHERE quote_books.n_quotes < $2 RETURNING n_quotes, last_number"
);

const LOCK: Statement = sql!("select", "quote_books",
    sqlite: "SELECT n_quotes FROM quote_books WHERE community_id = $1",
    postgres: "SELECT n_quotes FROM quote_books WHERE community_id = $1 FOR UPDATE");

const CLOSE_UP: Statement = sql!(
    "update",
    "quote_books",
    "UPDATE quote_books SET n_quotes = n_quotes - 1 WHERE community_id = $1 RETURNING n_quotes"
);

/// `SQLite` finds the words by itself, see the migration's triggers.
const INSERT: Statement = sql!("insert", "quotes",
    sqlite: "INSERT INTO quotes (community_id, number, position, body, author, author_key, author_user_id, category, \
     game, created_by, person_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    postgres: "INSERT INTO quotes (community_id, number, position, body, author, author_key, author_user_id, category, \
     game, created_by, person_id, created_at, search) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, CAST(CAST($13 AS TEXT) AS TSVECTOR))");

const DELETE: Statement =
    sql!("delete", "quotes", "DELETE FROM quotes WHERE community_id = $1 AND number = $2 RETURNING position");

const MOVE: Statement =
    sql!("update", "quotes", "UPDATE quotes SET position = $3 WHERE community_id = $1 AND position = $2");

const GET: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 AND number = $2"
);

const RANDOM: Statement = sql!(
    "select",
    "quotes",
    "SELECT q.number, q.body, q.author, q.author_user_id, q.category, q.game, \
     q.created_by, q.upvotes, q.downvotes, q.created_at FROM quote_books b JOIN quotes q ON q.community_id = b.community_id \
     AND q.position = 1 + $2 % NULLIF(b.n_quotes, 0) WHERE b.community_id = $1"
);

const LIST: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const LIST_CATEGORY: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 AND category = $4 ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const LIST_AUTHOR: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 AND author_key = $4 ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const LIST_BOTH: Statement = sql!(
    "select",
    "quotes",
    "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at FROM quotes \
     WHERE community_id = $1 AND category = $4 AND author_key = $5 \
     ORDER BY number DESC LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

/// The inner list bounds what is ranked, so that a word that stands everywhere costs no more than a rare one.
/// `CROSS` keeps `SQLite` from asking the index once for each quote of the community (measured: 2 s for 5,000).
const SEARCH: Statement = sql!("select", "quotes",
    sqlite: "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at \
     FROM (SELECT q.number, q.body, q.author, q.author_user_id, q.category, q.game, \
     q.created_by, q.upvotes, q.downvotes, q.created_at, \
     bm25(quotes_search, 10.0, 5.0, 2.0) AS score FROM quotes_search CROSS JOIN quotes q ON q.id = quotes_search.rowid \
     WHERE quotes_search MATCH $6 AND q.community_id = $1 AND ($4 = '' OR q.category = $4) \
     AND ($5 = '' OR q.author_key = $5) AND $7 <> $8 ORDER BY quotes_search.rowid DESC LIMIT 1000) AS hits \
     ORDER BY score, number DESC LIMIT 0 + $2 OFFSET 0 + $3",
    postgres: "SELECT number, body, author, author_user_id, category, game, \
     created_by, upvotes, downvotes, created_at \
     FROM (SELECT q.number, q.body, q.author, q.author_user_id, q.category, q.game, \
     q.created_by, q.upvotes, q.downvotes, q.created_at, \
     ts_rank('{0.0, 0.2, 0.5, 1.0}', q.search, CAST(CAST($8 AS TEXT) AS TSQUERY)) AS score FROM quotes q \
     WHERE q.search @@ CAST(CAST($7 AS TEXT) AS TSQUERY) AND q.community_id = $1 AND ($4 = '' OR q.category = $4) \
     AND ($5 = '' OR q.author_key = $5) AND $6 <> '' ORDER BY q.id DESC LIMIT 1000) AS hits \
     ORDER BY score DESC, number DESC LIMIT 0 + $2 OFFSET 0 + $3")
.on_replicas();

pub(crate) const STATEMENTS: &[&db::Statement] = &[
    &OPEN,
    &LOCK,
    &CLOSE_UP,
    &INSERT,
    &DELETE,
    &MOVE,
    &GET,
    &RANDOM,
    &LIST,
    &LIST_CATEGORY,
    &LIST_AUTHOR,
    &LIST_BOTH,
    &SEARCH,
];
