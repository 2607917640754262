//! `/api/v1/memories/bookmarks/{community}/popular`, `/tags` and `/stats`.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use storage::bookmarks::{self, OFFSET_MAX, PAGE_MAX};
use utoipa::{IntoParams, ToSchema};

use super::{BookmarkLine, LIMIT_DEFAULT};
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::api::memories::OffsetPage;
use crate::hub::fields::Fields;
use crate::hub::input::Queried;
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

const POPULAR_DEFAULT: u32 = 10;

/// How many are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct PopularQuery {
    /// 1 to 100; 10 when absent.
    limit: Option<u32>,
}

/// Lists the bookmarks that were visited, the most visited first.
#[utoipa::path(get, path = "/api/v1/memories/bookmarks/{community}/popular", tag = "memories", params(PopularQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "The bookmarks.", body = Envelope<OffsetPage<BookmarkLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn popular(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<PopularQuery>,
) -> Answered<OffsetPage<BookmarkLine>> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", query.limit, POPULAR_DEFAULT, 1..=PAGE_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let rows = bookmarks::popular(read_after.lists(&hub), community_id, limit).await?;
    ok(OffsetPage { items: rows.into_iter().map(BookmarkLine::from).collect(), limit, offset: 0 })
}

/// A tag of bookmarks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct TagLine {
    tag: String,
    count: i64,
}

/// Which part of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct TagsQuery {
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists the tags in the order of their names.
#[utoipa::path(get, path = "/api/v1/memories/bookmarks/{community}/tags", tag = "memories", params(TagsQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of tags.", body = Envelope<OffsetPage<TagLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn tags(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<TagsQuery>,
) -> Answered<OffsetPage<TagLine>> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", query.limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    let offset = fields.number("offset", query.offset, 0, 0..=OFFSET_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let rows = bookmarks::tags(read_after.lists(&hub), community_id, limit, offset).await?;
    let items = rows.into_iter().map(|tag| TagLine { tag: tag.name, count: tag.n_bookmarks }).collect();
    ok(OffsetPage { items, limit, offset })
}

/// Figures of a community's bookmarks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct BookmarkStats {
    total_bookmarks: i64,
    total_tags: i64,
    total_visits: i64,
    /// The number given last; those missing below it were deleted.
    last_id: i64,
}

/// Shows figures of a community's bookmarks.
#[utoipa::path(get, path = "/api/v1/memories/bookmarks/{community}/stats", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The figures.", body = Envelope<BookmarkStats>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn stats(
    State(hub): State<Hub>,
    Path(community): Path<String>,
) -> Answered<BookmarkStats> {
    let community_id = community_of(&hub, &community).await?;
    let stats = bookmarks::stats(&hub.deps.db, community_id).await?;
    ok(BookmarkStats {
        total_bookmarks: stats.n_bookmarks,
        total_tags: stats.n_tags,
        total_visits: stats.n_visits,
        last_id: stats.last_number,
    })
}
