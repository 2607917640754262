//! `/api/v1/memories/quotes/{community}/categories` and `/stats`.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use storage::quotes::{self, OFFSET_MAX, PAGE_MAX};
use utoipa::{IntoParams, ToSchema};

use super::LIMIT_DEFAULT;
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::api::memories::OffsetPage;
use crate::hub::fields::Fields;
use crate::hub::input::Queried;
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

/// A category of quotes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct CategoryLine {
    category: String,
    count: i64,
}

/// Which part of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct CategoriesQuery {
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists the categories in the order of their names.
#[utoipa::path(get, path = "/api/v1/memories/quotes/{community}/categories", tag = "memories", params(CategoriesQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of categories.", body = Envelope<OffsetPage<CategoryLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn categories(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<CategoriesQuery>,
) -> Answered<OffsetPage<CategoryLine>> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", query.limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    let offset = fields.number("offset", query.offset, 0, 0..=OFFSET_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let rows = quotes::categories(read_after.lists(&hub), community_id, limit, offset).await?;
    let items =
        rows.into_iter().map(|row| CategoryLine { category: row.name, count: row.n_quotes }).collect();
    ok(OffsetPage { items, limit, offset })
}

/// Figures of a community's quotes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct QuoteStats {
    total_quotes: i64,
    total_categories: i64,
    /// The number given last; those missing below it were deleted.
    last_id: i64,
    /// The quote with most votes; null when there are none.
    best_id: Option<i64>,
    best_votes: Option<i64>,
    /// When the newest was kept; null when there are none.
    newest_at: Option<DateTime<Utc>>,
}

/// Shows figures of a community's quotes.
#[utoipa::path(get, path = "/api/v1/memories/quotes/{community}/stats", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The figures.", body = Envelope<QuoteStats>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn stats(
    State(hub): State<Hub>,
    Path(community): Path<String>,
) -> Answered<QuoteStats> {
    let community_id = community_of(&hub, &community).await?;
    let stats = quotes::stats(&hub.deps.db, community_id).await?;
    ok(QuoteStats {
        total_quotes: stats.n_quotes,
        total_categories: stats.n_categories,
        last_id: stats.last_number,
        best_id: stats.best.map(|(number, _)| number),
        best_votes: stats.best.map(|(_, votes)| votes),
        newest_at: stats.newest_at,
    })
}
