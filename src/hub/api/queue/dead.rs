//! `GET /api/v1/queue/dead`: messages that were given up, oldest first.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use storage::queue::DeadLetter;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::input::Queried;
use crate::hub::page::{Page, PageQuery, page_of, rows_of};
use crate::hub::router::Hub;

pub(in crate::hub) mod letter;

/// A message that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct DeadRow {
    /// The message's own id, the same since it was stored.
    id: i64,
    topic: String,
    key: String,
    message_id: String,
    attempts: i64,
    /// What the last attempt said.
    reason: String,
    /// The beginning of the body.
    excerpt: String,
    created_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
}

impl From<DeadLetter> for DeadRow {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { id, topic, key, message_id, attempts, reason, excerpt, created_at, died_at } =
            letter;
        Self { id, topic, key, message_id, attempts, reason, excerpt, created_at, died_at }
    }
}

/// Lists the dead letters.
#[utoipa::path(get, path = "/api/v1/queue/dead", tag = "operators", params(PageQuery),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of dead letters.", body = Envelope<Page<DeadRow>>),
    (status = 400, description = "A wrong limit or cursor.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    Queried(query): Queried<PageQuery>,
) -> Answered<Page<DeadRow>> {
    let limit = rows_of(query.limit)?;
    let cursor = query.cursor.map_or(Ok(0), |cursor| cursor.parse::<i64>());
    let after = cursor.map_err(|_| ApiError::invalid("cursor is not one of ours"))?;
    let letters = storage::queue::dead(&hub.deps.db, after, limit).await?;
    ok(page_of(letters.into_iter().map(DeadRow::from).collect(), limit, |row| row.id.to_string()))
}
