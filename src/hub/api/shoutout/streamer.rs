//! `/api/v1/shoutout/twitch/user/{username}`: what Twitch knows of a streamer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::login_field;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::fields::Fields;
use crate::hub::router::Hub;
use crate::messages::streamers::{LiveStream, Streamer, StreamerChannel, StreamerUser};

/// Time for Twitch; the hub gives a whole request a little more.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(8);

/// A streamer; what Twitch leaves out is empty.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct StreamerLine {
    user: StreamerUser,
    /// Null when Twitch knows no channel of the account.
    channel: Option<StreamerChannel>,
    /// Null when the streamer is offline.
    stream: Option<LiveStream>,
    is_live: bool,
}

/// Shows what Twitch knows of a streamer; it may be a minute old.
#[utoipa::path(get, path = "/api/v1/shoutout/twitch/user/{username}", tag = "shoutout",
    params(("username" = String, Path, description = "The name of a Twitch account")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The streamer.", body = Envelope<StreamerLine>),
    (status = 400, description = "A name that no account can have.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "Twitch knows nobody of that name.", body = ErrorEnvelope),
    (status = 503, description = "Twitch does not tell now, or is not configured.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn show(
    State(hub): State<Hub>,
    Path(username): Path<String>,
) -> Answered<StreamerLine> {
    let mut fields = Fields::default();
    let login = login_field(&mut fields, &username);
    fields.check()?;
    let streamer = look_up(&hub, &login).await?;
    ok(StreamerLine {
        is_live: streamer.is_live(),
        user: streamer.user.clone(),
        channel: streamer.channel.clone(),
        stream: streamer.stream.clone(),
    })
}

/// # Errors
/// 404 when Twitch knows nobody of that login, 503 when it does not tell.
pub(super) async fn look_up(hub: &Hub, login: &str) -> Result<Arc<Streamer>, ApiError> {
    let streamer = hub.deps.streamers.look_up(login, LOOK_UP_LIMIT).await?;
    streamer.ok_or_else(|| ApiError::not_found(format!("Twitch knows nobody of the name {login}")))
}
