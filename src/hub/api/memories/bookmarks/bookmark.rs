//! `/api/v1/memories/bookmarks/{community}/{number}`: one bookmark.

use axum::extract::{Path, State};
use domain::CommunityId;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::bookmarks::{self, Rewrite};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use super::{BookmarkLine, DESCRIPTION_CHARS_MAX, TITLE_CHARS_MAX, no_such_bookmark, tags_of};
use crate::hub::acting::Right;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Shows a bookmark and counts a visit.
#[utoipa::path(get, path = "/api/v1/memories/bookmarks/{community}/{number}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The bookmark's number")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The bookmark, with this visit.", body = Envelope<BookmarkLine>),
    (status = 400, description = "A community that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such community or bookmark.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(
    State(hub): State<Hub>,
    Path((community, number)): Path<(String, String)>,
) -> Answered<BookmarkLine> {
    let community_id = community_of(&hub, &community).await?;
    let number = number_of(&number)?;
    let mut tx = hub.deps.db.begin().await?;
    bookmarks::visit(&mut tx, community_id, number).await?;
    let found = bookmarks::get(&mut tx, community_id, number).await?;
    tx.commit().await?;
    found.map_or_else(|| Err(no_such_bookmark()), |bookmark| ok(BookmarkLine::from(bookmark)))
}

/// What is to become of a bookmark; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct BookmarkChange {
    /// At most 500 characters; empty takes it away.
    #[serde(default)]
    title: Option<String>,
    /// At most 2,000 characters; empty takes it away.
    #[serde(default)]
    description: Option<String>,
    /// All tags from now on, at most 20 of at most 100 characters each.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Changes a bookmark; only who kept it, moderators and above may.
#[utoipa::path(put, path = "/api/v1/memories/bookmarks/{community}/{number}", tag = "memories",
    request_body = BookmarkChange,
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The bookmark's number"),
    ("X-Acting-User" = Option<String>, Header, description = "Who changes it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The bookmark as it is now.", body = Envelope<BookmarkLine>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User may not change it.", body = ErrorEnvelope),
    (status = 404, description = "No such community or bookmark.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn update(
    State(hub): State<Hub>,
    caller: Caller,
    Path((community, number)): Path<(String, String)>,
    JsonBody(body): JsonBody<BookmarkChange>,
) -> Answered<BookmarkLine> {
    let mut fields = Fields::default();
    let rewrite = Rewrite {
        title: body.title.map(|text| fields.text("title", &text, 0..=TITLE_CHARS_MAX)),
        description: body
            .description
            .map(|text| fields.text("description", &text, 0..=DESCRIPTION_CHARS_MAX)),
        tags: body.tags.map(|tags| tags_of(&mut fields, &tags)),
    };
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    let number = number_of(&number)?;
    let right = right_over(&hub, &caller, community_id, number).await?;
    let (now, audit) = (hub.deps.clock.now(), entry(&caller, community_id, "bookmark.change", number, right));
    let done = caller
        .change(&hub, "memories.bookmarks.bookmark.update", Scope::Community(community_id), move |tx| {
            async move {
                let changed = right.is_some()
                    && bookmarks::rewrite(tx, community_id, number, rewrite, now).await?.is_some();
                let effect = Effect::new(changed);
                Ok(if changed { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    let found = bookmarks::get(&hub.deps.db, community_id, number).await?.filter(|_| done.outcome);
    found.map_or_else(|| Err(no_such_bookmark()), |bookmark| ok(BookmarkLine::from(bookmark)))
}

/// The number of a deleted bookmark.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RemovedBookmark {
    id: i64,
}

/// Deletes a bookmark; only who kept it, moderators and above may.
#[utoipa::path(delete, path = "/api/v1/memories/bookmarks/{community}/{number}", tag = "memories",
    params(("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("number" = i64, Path, description = "The bookmark's number"),
    ("X-Acting-User" = Option<String>, Header, description = "Who deletes it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "It is gone.", body = Envelope<RemovedBookmark>),
    (status = 400, description = "A community or X-Acting-User that cannot be read.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User may not delete it.", body = ErrorEnvelope),
    (status = 404, description = "No such community or bookmark.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn remove(
    State(hub): State<Hub>,
    caller: Caller,
    Path((community, number)): Path<(String, String)>,
) -> Answered<RemovedBookmark> {
    let community_id = community_of(&hub, &community).await?;
    let number = number_of(&number)?;
    let right = right_over(&hub, &caller, community_id, number).await?;
    let audit = entry(&caller, community_id, "bookmark.remove", number, right);
    let done = caller
        .change(&hub, "memories.bookmarks.bookmark", Scope::Community(community_id), move |tx| {
            async move {
                let removed = right.is_some() && bookmarks::remove(tx, community_id, number).await?.is_some();
                let effect = Effect::new(removed);
                Ok(if removed { effect.audited(audit) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome { ok(RemovedBookmark { id: number }) } else { Err(no_such_bookmark()) }
}

/// Who kept it never changes. `None`: it is gone, which is a repeat, whose outcome is stored, or a 404.
async fn right_over(
    hub: &Hub,
    caller: &Caller,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Right>, ApiError> {
    let level = caller.acting().level_in(&hub.deps.db, community_id).await?;
    let found = bookmarks::get(&hub.deps.db, community_id, number).await?;
    found.map(|bookmark| caller.acting().right_over(level, &bookmark.created_by)).transpose()
}

fn entry(
    caller: &Caller,
    community_id: CommunityId,
    action: &'static str,
    number: i64,
    right: Option<Right>,
) -> AuditEntry {
    AuditEntry {
        community_id: Some(community_id),
        detail: serde_json::json!({ "right": right.map(|right| format!("{right:?}").to_lowercase()) }),
        ..caller.entry(action, number.to_string())
    }
}

/// Reads the number in a path.
fn number_of(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| no_such_bookmark())
}
