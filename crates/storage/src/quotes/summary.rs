//! Categories and figures of a community's quotes; kept as they change, so that asking reads few rows.

use chrono::{DateTime, Utc};
use domain::CommunityId;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::{StorageError, db};

/// A category with how many quotes it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub name: String,
    pub n_quotes: i64,
}

/// Figures of a community's quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub n_quotes: i64,
    pub n_categories: i64,
    /// The number given last; those missing below it were deleted.
    pub last_number: i64,
    /// Number and votes of the best one, of two the newer. `None` when there are no quotes.
    pub best: Option<(i64, i64)>,
    /// When the newest was kept. `None` when there are no quotes.
    pub newest_at: Option<DateTime<Utc>>,
}

/// A page of the categories in the order of names.
pub async fn categories<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    limit: u32,
    offset: u32,
) -> Result<Vec<Category>, StorageError> {
    let (limit, offset) =
        (i64::from(limit.clamp(1, super::PAGE_MAX)), i64::from(offset.min(super::OFFSET_MAX)));
    let community = community_id.to_string();
    let rows = on!(on.into(), &CATEGORIES, fetch_all as (String, i64), community, limit, offset)?;
    Ok(rows.into_iter().map(|(name, n_quotes)| Category { name, n_quotes }).collect())
}

/// The figures; all 0 for a community without quotes.
pub async fn stats<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Stats, StorageError> {
    type Row = (i64, i64, i64, Option<i64>, Option<i64>, Option<DateTime<Utc>>);
    let row = on!(on.into(), &STATS, fetch_optional as Row, community_id.to_string())?;
    let Some((n_quotes, last_number, n_categories, best, votes, newest_at)) = row else {
        return Ok(Stats::default());
    };
    Ok(Stats { n_quotes, n_categories, last_number, best: best.zip(votes), newest_at })
}

/// Counts a quote more or less of a category; one without quotes goes.
pub(super) async fn count_category(
    tx: &mut Tx,
    community: &str,
    category: &str,
    delta: i64,
) -> Result<(), StorageError> {
    if category.is_empty() {
        return Ok(());
    }
    on!(&mut *tx, &COUNT, execute, community, category, delta)?;
    if delta < 0 {
        on!(tx, &FORGET, execute, community, category)?;
    }
    Ok(())
}

const CATEGORIES: Statement = sql!(
    "select",
    "quote_categories",
    "SELECT category, n_quotes FROM quote_categories WHERE community_id = $1 \
     ORDER BY category LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const STATS: Statement = sql!(
    "select",
    "quote_books",
    "SELECT b.n_quotes, b.last_number, \
     (SELECT COUNT(*) FROM quote_categories c WHERE c.community_id = $1), best.number, \
     best.upvotes - best.downvotes, newest.created_at FROM quote_books b \
     LEFT JOIN quotes best ON best.id = (SELECT id FROM quotes WHERE community_id = $1 \
     ORDER BY upvotes - downvotes DESC, number DESC LIMIT 1) \
     LEFT JOIN quotes newest ON newest.id = (SELECT id FROM quotes WHERE community_id = $1 \
     ORDER BY number DESC LIMIT 1) WHERE b.community_id = $1"
);

const COUNT: Statement = sql!(
    "insert",
    "quote_categories",
    "INSERT INTO quote_categories (community_id, category, n_quotes) VALUES ($1, $2, $3) \
     ON CONFLICT (community_id, category) DO UPDATE SET n_quotes = quote_categories.n_quotes + excluded.n_quotes"
);

const FORGET: Statement = sql!(
    "delete",
    "quote_categories",
    "DELETE FROM quote_categories WHERE community_id = $1 AND category = $2 AND n_quotes <= 0"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&CATEGORIES, &STATS, &COUNT, &FORGET];
