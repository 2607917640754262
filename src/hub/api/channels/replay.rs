//! `POST /api/v1/channels/{key}/replay`: recorded lines through today's configuration.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;
use crate::messages::{ReplayAsk, ReplayPage};

/// Which lines to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewReplay {
    from: DateTime<Utc>,
    /// Now when absent.
    #[serde(default)]
    to: Option<DateTime<Utc>>,
    /// `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    /// Has to be true: nothing is sent and nothing is written.
    #[serde(default)]
    dry_run: bool,
}

/// Shows what today's configuration would do with recorded lines; sends and writes nothing.
#[utoipa::path(post, path = "/api/v1/channels/{key}/replay", tag = "operators", request_body = NewReplay,
    params(("key" = String, Path, description = "platform:login or platform:platform_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of lines, with what happened then and what would happen now.",
        body = Envelope<ReplayPage>),
    (status = 400, description = "Not a dry run, or a wrong time.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not there.", body = ErrorEnvelope),
    (status = 409, description = "The lines cannot be replayed; the message says why.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    Path(key): Path<String>,
    JsonBody(new): JsonBody<NewReplay>,
) -> Answered<ReplayPage> {
    let slot = slot_of(&hub, &key)?;
    if !new.dry_run {
        return Err(ApiError::invalid("lines are only replayed as a dry run: set dry_run to true"));
    }
    let to = new.to.unwrap_or_else(|| hub.deps.clock.now());
    if new.from >= to {
        return Err(ApiError::invalid("from must lie before to"));
    }
    let after = new
        .after
        .map(|after| after.parse().map_err(|_| ApiError::invalid("after is not one of ours")))
        .transpose()?;
    let ask = ReplayAsk { from: new.from, to, after };
    ok(hub.deps.operator.replay(slot.id, ask).await.map_err(ApiError::conflict)?)
}
