//! `/api/v1/memories/quotes`: what people of a community said.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::quotes::{self, NewQuote, OFFSET_MAX, PAGE_MAX, Quote, QuoteFilter};
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

pub(in crate::hub) mod quote;
pub(in crate::hub) mod summary;
pub(in crate::hub) mod vote;

/// Rows of a page when nobody says how many.
const LIMIT_DEFAULT: u32 = 50;

/// Longest name, category or search, in characters.
pub(in crate::hub) const NAME_CHARS_MAX: usize = 100;
const SEARCH_CHARS_MAX: usize = 500;

/// Longest quote, in characters.
pub(in crate::hub) const TEXT_CHARS_MAX: usize = 5_000;

/// A quote as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct QuoteLine {
    /// Its number in the community, as `!quote <number>` takes it.
    id: i64,
    quote_text: String,
    /// Null when nobody told.
    author_username: Option<String>,
    author_user_id: Option<String>,
    /// In lower case; null when it has none.
    category: Option<String>,
    /// What was played; null when that is unknown.
    game: Option<String>,
    /// `platform:user_id`, or `service`.
    created_by: String,
    /// Up minus down.
    votes: i64,
    upvotes: i64,
    downvotes: i64,
    created_at: DateTime<Utc>,
}

impl From<Quote> for QuoteLine {
    fn from(quote: Quote) -> Self {
        let named = |text: String| (!text.is_empty()).then_some(text);
        Self {
            id: quote.number,
            quote_text: quote.body,
            author_username: named(quote.author),
            author_user_id: quote.author_user_id,
            category: named(quote.category),
            game: quote.game,
            created_by: quote.created_by,
            votes: quote.votes.sum(),
            upvotes: quote.votes.up,
            downvotes: quote.votes.down,
            created_at: quote.created_at,
        }
    }
}

/// Which quotes are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct QuotesQuery {
    /// Words that all have to stand in the text, the author or the category; the best hits come first.
    search_query: Option<String>,
    category: Option<String>,
    /// The author's name.
    author: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// Rows before the page, 0 to 100,000.
    offset: Option<u32>,
}

/// Lists or searches a community's quotes, the newest or the best hit first.
#[utoipa::path(get, path = "/api/v1/memories/quotes/{community}", tag = "memories", params(QuotesQuery,
    ("community" = String, Path, description = "The community's id, or the key of one of its channels"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of quotes.", body = Envelope<OffsetPage<QuoteLine>>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path(community): Path<String>,
    Queried(query): Queried<QuotesQuery>,
) -> Answered<OffsetPage<QuoteLine>> {
    let mut fields = Fields::default();
    let is_search = query.search_query.as_ref().is_some_and(|words| !words.trim().is_empty());
    let mut text =
        |name: &str, given: Option<String>, max| fields.text(name, &given.unwrap_or_default(), 0..=max);
    let filter = QuoteFilter {
        words: text("search_query", query.search_query, SEARCH_CHARS_MAX),
        category: text("category", query.category, NAME_CHARS_MAX),
        author: text("author", query.author, NAME_CHARS_MAX),
    };
    let limit = fields.number("limit", query.limit, LIMIT_DEFAULT, 1..=PAGE_MAX);
    let offset = fields.number("offset", query.offset, 0, 0..=OFFSET_MAX);
    fields.check()?;
    let community_id = community_of(&hub, &community).await?;
    if is_search && filter.words.is_empty() {
        return ok(OffsetPage { items: Vec::new(), limit, offset });
    }
    let rows = quotes::list(read_after.lists(&hub), community_id, &filter, limit, offset).await?;
    ok(OffsetPage { items: rows.into_iter().map(QuoteLine::from).collect(), limit, offset })
}

/// A quote to keep; who keeps it is whom the call acts for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewQuoteBody {
    /// The community's id, or the key of one of its channels.
    #[schema(example = "twitch:ann")]
    community_id: String,
    /// 1 to 5,000 characters.
    quote_text: String,
    /// Who said it, at most 100 characters.
    #[serde(default)]
    author_username: Option<String>,
    #[serde(default)]
    author_user_id: Option<String>,
    /// At most 100 characters; kept in lower case.
    #[serde(default)]
    category: Option<String>,
}

/// Keeps a quote.
#[utoipa::path(post, path = "/api/v1/memories/quotes", tag = "memories", request_body = NewQuoteBody,
    params(("X-Acting-User" = Option<String>, Header, description = "Who keeps it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 201, description = "It is kept.", body = Envelope<QuoteLine>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope),
    (status = 409, description = "The community has as many quotes as it may.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(body): JsonBody<NewQuoteBody>,
) -> Answered<QuoteLine> {
    let mut fields = Fields::default();
    let mut new = NewQuote {
        body: fields.text("quote_text", &body.quote_text, 1..=TEXT_CHARS_MAX),
        author: fields.text("author_username", &body.author_username.unwrap_or_default(), 0..=NAME_CHARS_MAX),
        author_user_id: body.author_user_id.map(|id| fields.text("author_user_id", &id, 1..=NAME_CHARS_MAX)),
        category: fields
            .text("category", &body.category.unwrap_or_default(), 0..=NAME_CHARS_MAX)
            .to_lowercase(),
        created_by: caller.acting().to_string(),
        ..NewQuote::default()
    };
    fields.check()?;
    let community_id = community_of(&hub, &body.community_id).await?;
    let (now, acting) = (hub.deps.clock.now(), caller.acting().clone());
    let mut audit = AuditEntry { community_id: Some(community_id), ..caller.entry("quote.add", "") };
    let done = caller
        .change(&hub, "memories.quotes", Scope::Community(community_id), move |tx| {
            async move {
                new.person_id = person_of(tx, &acting).await?;
                let Some(number) = quotes::add(tx, community_id, &new, now).await? else {
                    return Ok(Effect::new(None));
                };
                audit.target = number.to_string();
                Ok(Effect::new(Some(number)).audited(audit))
            }
            .boxed()
        })
        .await?;
    let full = || {
        ApiError::conflict(format!("a community has at most {} quotes; delete one first", quotes::QUOTES_MAX))
    };
    let number = done.outcome.ok_or_else(full)?;
    let stored = quotes::get(&hub.deps.db, community_id, number).await?;
    let stored = stored.ok_or_else(|| ApiError::conflict(format!("quote {number} was deleted meanwhile")))?;
    Ok(Answer(StatusCode::CREATED, QuoteLine::from(stored)))
}

/// 404 of a number that no quote has.
fn no_such_quote() -> ApiError {
    ApiError::not_found(
        "there is no quote of that number in this community; GET the community's quotes to see which there are",
    )
}
