//! What an application may ask: channels and streams, with a token of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{EXPIRES_IN_SECS, Pairs, bearer, refused};
use crate::config::{Account, Show};
use crate::world::{self, World, room_id};

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/channels", get(channels))
        .route("/helix/channels", get(channels))
        .route("/streams", get(streams))
        .route("/helix/streams", get(streams))
}

/// 429 as Helix says it: without `Retry-After`.
pub(super) fn no_points(wait: Duration) -> Response {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let reset = (since + wait).as_secs().to_string();
    let body = Json(json!({"error": "Too Many Requests", "status": 429, "message": "no points left"}));
    (StatusCode::TOO_MANY_REQUESTS, [("ratelimit-reset", reset)], body).into_response()
}

/// Gives the application one more token.
pub(super) fn app_token(world: &World) -> Response {
    let mut state = world.state();
    let token = format!("application-{}", state.next_token());
    state.app_tokens.insert(token.clone());
    state.counters.app_tokens += 1;
    Json(json!({"access_token": token, "expires_in": EXPIRES_IN_SECS, "token_type": "bearer"}))
        .into_response()
}

/// Who asks: an account, or the application (`None`).
pub(super) fn caller<'a>(
    world: &World,
    state: &'a world::State,
    headers: &HeaderMap,
) -> Result<Option<&'a Account>, Box<Response>> {
    let token = bearer(headers, &["Bearer "]).unwrap_or_default();
    let account = state.accounts.iter().find(|account| account.token == token);
    if account.is_none() && !state.app_tokens.contains(token) {
        return Err(Box::new(refused(StatusCode::UNAUTHORIZED, "Invalid OAuth token")));
    }
    let client_id = headers.get("client-id").and_then(|value| value.to_str().ok());
    if client_id != Some(world.config.client_id.as_str()) {
        let refusal = refused(StatusCode::UNAUTHORIZED, "Client ID and OAuth token do not match");
        return Err(Box::new(refusal));
    }
    Ok(account)
}

/// What Helix says of one show, by its login and id; `None` leaves it out.
type Entry = fn(&str, &str, &Show) -> Option<Value>;

async fn channels(state: State<Arc<World>>, query: Query<Pairs>, headers: HeaderMap) -> Response {
    let entry: Entry = |login, id, show| {
        Some(json!({"broadcaster_id": id, "broadcaster_login": login, "broadcaster_name": login,
            "broadcaster_language": "en", "game_id": "1", "game_name": show.game, "title": show.title,
            "delay": 0, "tags": []}))
    };
    answer(&state, &query, &headers, ("broadcaster_id", entry))
}

async fn streams(state: State<Arc<World>>, query: Query<Pairs>, headers: HeaderMap) -> Response {
    let entry: Entry = |login, id, show| {
        Some(json!({"id": "1", "user_id": id, "user_login": login, "user_name": login, "type": "live",
            "game_id": "1", "game_name": show.game, "title": show.title, "viewer_count": show.viewers?,
            "started_at": "2026-01-01T12:00:00Z", "language": "en"}))
    };
    answer(&state, &query, &headers, ("user_id", entry))
}

/// One entry for each id that belongs to a show; for `key` the entry, if there is one.
fn answer(world: &World, pairs: &Pairs, headers: &HeaderMap, (key, entry): (&str, Entry)) -> Response {
    let state = world.state();
    if let Err(refusal) = caller(world, &state, headers) {
        return *refusal;
    }
    let wanted = |id: &str| pairs.iter().any(|(name, value)| name == key && value == id);
    let shows = state.shows.iter().map(|(login, show)| (login, room_id(login), show));
    let found: Vec<Value> = shows
        .filter(|(_, id, _)| wanted(id))
        .filter_map(|(login, id, show)| entry(login, &id, show))
        .collect();
    Json(json!({ "data": found })).into_response()
}
