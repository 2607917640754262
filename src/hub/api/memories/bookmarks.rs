//! `/api/v1/memories/bookmarks`: addresses that a community keeps.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::bookmarks::{
    self, Added, BOOKMARKS_MAX, Bookmark, BookmarkFilter, NewBookmark, OFFSET_MAX, PAGE_MAX, TAGS_MAX,
};
use storage::{AuditEntry, Effect, Scope};
use utoipa::{IntoParams, ToSchema};

use super::{OffsetPage, person_of};
use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::{JsonBody, Queried};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

pub(in crate::hub) mod bookmark;
pub(in crate::hub) mod summary;

/// Rows of a page when nobody says how many.
const LIMIT_DEFAULT: u32 = 50;

pub(in crate::hub) const TITLE_CHARS_MAX: usize = 500;
pub(in crate::hub) const DESCRIPTION_CHARS_MAX: usize = 2_000;
const TAG_CHARS_MAX: usize = 100;
pub(in crate::hub) const SEARCH_CHARS_MAX: usize = 500;

/// A bookmark as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct BookmarkLine {
    /// Its number in the community, as `!bookmarks <number>` takes it.
    id: i64,
    url: String,
    /// The address where nobody gave a title and the page has none.
    title: String,
    /// Null when there is none.
    description: Option<String>,
    /// In lower case.
    tags: Vec<String>,
    visits: i64,
    /// `platform:user_id`, or `service`.
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Bookmark> for BookmarkLine {
    fn from(bookmark: Bookmark) -> Self {
        let has_title = !bookmark.title.is_empty();
        Self {
            id: bookmark.number,
            title: if has_title { bookmark.title } else { bookmark.url.clone() },
            url: bookmark.url,
            description: (!bookmark.description.is_empty()).then_some(bookmark.description),
            tags: bookmark.tags,
            visits: bookmark.visits,
            created_by: bookmark.created_by,
            created_at: bookmark.created_at,
            updated_at: bookmark.updated_at,
        }
    }
}

/// Tags as they are kept: in lower case, sorted, each once.
pub(in crate::hub) fn tags_of(fields: &mut Fields, tags: &[String]) -> Vec<String> {
    if tags.len() > TAGS_MAX {
        fields.wrong("tags", format!("must be at most {TAGS_MAX}"));
        return Vec::new();
    }
    let mut kept: Vec<String> =
        tags.iter().map(|tag| fields.text("tags", tag, 1..=TAG_CHARS_MAX).to_lowercase()).collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// Which bookmarks are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct BookmarksQuery {
    /// Words that all have to stand in the title, the tags, the description or the address; the best hits come first.
    search_query: Option<String>,
    /// Any of these, separated by commas.
    tags: Option<String>,
    /// `platform:user_id`, or `service`.
    created_by: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists or searches a community's bookmarks, the newest or the best hit first.
#[utoipa::path(get, path = "/api/v1/memories/bookmarks/{community}", tag = "memories", params(BookmarksQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of bookmarks.", body = Envelope<OffsetPage<BookmarkLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<BookmarksQuery>,
) -> Answered<OffsetPage<BookmarkLine>> {
    let mut fields = Fields::default();
    let is_search = query.search_query.as_ref().is_some_and(|words| !words.trim().is_empty());
    let given = query.tags.unwrap_or_default();
    let given: Vec<String> =
        given.split(',').filter(|tag| !tag.trim().is_empty()).map(str::to_owned).collect();
    let filter = BookmarkFilter {
        words: fields.text("search_query", &query.search_query.unwrap_or_default(), 0..=SEARCH_CHARS_MAX),
        tags: tags_of(&mut fields, &given),
        created_by: fields.text("created_by", &query.created_by.unwrap_or_default(), 0..=SEARCH_CHARS_MAX),
    };
    let limit = fields.number("limit", query.limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    let offset = fields.number("offset", query.offset, 0, 0..=OFFSET_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    if is_search && filter.words.is_empty() {
        return ok(OffsetPage { items: Vec::new(), limit, offset });
    }
    let rows = bookmarks::list(read_after.lists(&hub), community_id, &filter, limit, offset).await?;
    ok(OffsetPage { items: rows.into_iter().map(BookmarkLine::from).collect(), limit, offset })
}

/// An address to keep; who keeps it is whom the call acts for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewBookmarkBody {
    /// The community's id, or the key of one of its channels.
    #[schema(example = "twitch:ann")]
    community_id: String,
    /// `http` or `https`, on the public internet, at most 2,000 bytes.
    #[schema(example = "https://example.org/guide")]
    url: String,
    /// At most 500 characters.
    #[serde(default)]
    title: Option<String>,
    /// At most 2,000 characters.
    #[serde(default)]
    description: Option<String>,
    /// At most 20 of at most 100 characters each; kept in lower case.
    #[serde(default)]
    tags: Vec<String>,
    /// Whether the page is asked, afterwards, for what is not given.
    #[serde(default = "yes")]
    auto_fetch_metadata: bool,
}

const fn yes() -> bool {
    true
}

/// Keeps an address. Its page is asked for a title in the background: the answer does not wait for it.
#[utoipa::path(post, path = "/api/v1/memories/bookmarks", tag = "memories", request_body = NewBookmarkBody,
    params(("X-Acting-User" = Option<String>, Header, description = "Who keeps it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 201, description = "It is kept.", body = Envelope<BookmarkLine>),
    (status = 200, description = "The community has it already.", body = Envelope<BookmarkLine>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope),
    (status = 409, description = "The community has as many bookmarks as it may.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(body): JsonBody<NewBookmarkBody>,
) -> Answered<BookmarkLine> {
    let mut fields = Fields::default();
    let checked = hub.deps.urls.checked(&body.url);
    let checked = checked.map_err(|refused| fields.wrong("url", refused.to_string())).ok();
    let mut new = NewBookmark {
        title: fields.text("title", &body.title.unwrap_or_default(), 0..=TITLE_CHARS_MAX),
        description: fields.text(
            "description",
            &body.description.unwrap_or_default(),
            0..=DESCRIPTION_CHARS_MAX,
        ),
        tags: tags_of(&mut fields, &body.tags),
        created_by: caller.acting().to_string(),
        ..NewBookmark::default()
    };
    fields.check()?;
    let Some(checked) = checked else { return Err(ApiError::invalid("url cannot be read")) };
    (new.url, new.url_key) = (checked.url, checked.same_as);
    let wants_page = body.auto_fetch_metadata && (new.title.is_empty() || new.description.is_empty());
    let community_id = community_of(&hub, &body.community_id).await?;
    let (now, acting) = (hub.deps.clock.now(), caller.acting().clone());
    let mut audit = AuditEntry { community_id: Some(community_id), ..caller.entry("bookmark.add", "") };
    let done = caller
        .change(&hub, "memories.bookmarks", Scope::Community(community_id), move |tx| {
            async move {
                new.person_id = person_of(tx, &acting).await?;
                Ok(match bookmarks::add(tx, community_id, &new, now).await? {
                    Added::Kept(number) => {
                        if wants_page {
                            bookmarks::want_page(tx, community_id, number).await?;
                        }
                        audit.target = number.to_string();
                        Effect::new(Some((number, true))).audited(audit)
                    }
                    Added::There(number) => Effect::new(Some((number, false))),
                    Added::Full => Effect::new(None),
                })
            }
            .boxed()
        })
        .await?;
    let full =
        || ApiError::conflict(format!("a community has at most {BOOKMARKS_MAX} bookmarks; delete one first"));
    let (number, is_new) = done.outcome.ok_or_else(full)?;
    let stored = bookmarks::get(&hub.deps.db, community_id, number).await?;
    let stored =
        stored.ok_or_else(|| ApiError::conflict(format!("bookmark {number} was deleted meanwhile")))?;
    Ok(Answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, BookmarkLine::from(stored)))
}

/// 404 of a number that no bookmark has.
fn no_such_bookmark() -> ApiError {
    ApiError::not_found(
        "there is no bookmark of that number in this community; GET the community's bookmarks to see which there are",
    )
}
