//! The HTTP calls around chat: tokens, users, channels and streams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{World, room_id};

mod helix;

/// How long a token is said to live, seconds.
const EXPIRES_IN_SECS: u64 = 14_400;
const SCOPES: [&str; 4] = ["chat:read", "chat:edit", "user:read:chat", "user:write:chat"];
/// Helix takes no more names in one call.
const USERS_MAX: usize = 100;

/// How the HTTP side answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMode {
    Normal,
    /// Every call is answered with this status, e.g. 500.
    Status(u16),
    /// Every call is answered, this late.
    Slow(Duration),
    /// Every call but those for tokens is answered with 429, and the points are back this much later.
    NoPoints(Duration),
    /// Every connection is closed at once.
    Unreachable,
}

type Pairs = Vec<(String, String)>;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, world: Arc<World>) {
    let router = Router::new()
        .route("/validate", get(validate))
        .route("/oauth2/validate", get(validate))
        .route("/token", post(token))
        .route("/oauth2/token", post(token))
        .route("/users", get(users))
        .route("/helix/users", get(users))
        .merge(helix::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&world), play_mode))
        .with_state(Arc::clone(&world));
    // It ends only with an error of the listener, which has none that lasts.
    axum::serve(Reachable { listener, world }, router).await.ok();
}

/// A listener that closes what it accepts while the mode says so.
struct Reachable {
    listener: TcpListener,
    world: Arc<World>,
}

impl Listener for Reachable {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = Listener::accept(&mut self.listener).await;
            if self.world.state().http_mode != HttpMode::Unreachable {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Connections are not kept, so that a change of mode is seen by the next call.
async fn play_mode(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let mode = {
        let mut state = world.state();
        state.counters.http_calls += 1;
        state.http_mode
    };
    let mut response = match mode {
        HttpMode::Status(code) => {
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        HttpMode::Slow(wait) => {
            tokio::time::sleep(wait).await;
            next.run(request).await
        }
        HttpMode::NoPoints(wait) if !request.uri().path().ends_with("/token") => helix::no_points(wait),
        HttpMode::Normal | HttpMode::NoPoints(_) | HttpMode::Unreachable => next.run(request).await,
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"status": status.as_u16(), "message": message}))).into_response()
}

fn bearer<'a>(headers: &'a HeaderMap, schemes: &[&str]) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    schemes.iter().find_map(|scheme| value.strip_prefix(scheme))
}

async fn validate(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let state = world.state();
    let token = bearer(&headers, &["OAuth ", "Bearer "]);
    let account = state.accounts.iter().find(|account| token == Some(account.token.as_str()));
    let Some(account) = account else { return refused(StatusCode::UNAUTHORIZED, "invalid access token") };
    Json(json!({
        "client_id": world.config.client_id,
        "login": account.login,
        "user_id": account.user_id,
        "scopes": SCOPES,
        "expires_in": EXPIRES_IN_SECS,
    }))
    .into_response()
}

/// Twitch takes the parameters in the body or in the query.
async fn token(State(world): State<Arc<World>>, uri: Uri, body: String) -> Response {
    let encoded = if body.is_empty() { uri.query().unwrap_or_default().to_owned() } else { body };
    let pairs =
        format!("/?{}", encoded.trim()).parse().ok().and_then(|uri| Query::<Pairs>::try_from_uri(&uri).ok());
    let Some(Query(pairs)) = pairs else { return refused(StatusCode::BAD_REQUEST, "malformed parameters") };
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if value("client_id") != Some(world.config.client_id.as_str()) {
        return refused(StatusCode::BAD_REQUEST, "invalid client");
    }
    if world.config.client_secret.as_deref().is_some_and(|secret| value("client_secret") != Some(secret)) {
        return refused(StatusCode::FORBIDDEN, "invalid client secret");
    }
    match value("grant_type") {
        Some("refresh_token") => refresh(&world, value("refresh_token").unwrap_or_default()),
        Some("client_credentials") => helix::app_token(&world),
        _ => refused(StatusCode::BAD_REQUEST, "Invalid grant type"),
    }
}

/// Gives new tokens; the old pair is invalid from then on.
fn refresh(world: &World, refresh_token: &str) -> Response {
    let mut state = world.state();
    let serial = state.next_token();
    let account = state.accounts.iter_mut().find(|account| account.refresh_token == refresh_token);
    let Some(account) = account else { return refused(StatusCode::BAD_REQUEST, "Invalid refresh token") };
    account.token = format!("refreshed-{}-{serial}", account.login);
    account.refresh_token = format!("refresh-{}-{serial}", account.login);
    Json(json!({
        "access_token": account.token,
        "refresh_token": account.refresh_token,
        "expires_in": EXPIRES_IN_SECS,
        "scope": SCOPES,
        "token_type": "bearer",
    }))
    .into_response()
}

async fn users(State(world): State<Arc<World>>, Query(pairs): Query<Pairs>, headers: HeaderMap) -> Response {
    let state = world.state();
    let caller = match helix::caller(&world, &state, &headers) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    if pairs.len() > USERS_MAX {
        return refused(StatusCode::BAD_REQUEST, "The number of names is over 100");
    }
    match (pairs.is_empty(), caller) {
        (true, Some(caller)) => {
            return Json(json!({"data": [user(&caller.login, &caller.user_id)]})).into_response();
        }
        (true, None) => return refused(StatusCode::BAD_REQUEST, "The parameter id or login is missing"),
        (false, _) => {}
    }
    let found: Vec<Value> =
        pairs.iter().filter_map(|(key, value)| find_user(&world, &state, key, value)).collect();
    Json(json!({ "data": found })).into_response()
}

/// Any valid login exists unless it was said to be missing; an id exists when its login was seen before.
fn find_user(world: &World, state: &crate::world::State, key: &str, value: &str) -> Option<Value> {
    let accounts = state.accounts.iter().map(|account| (account.login.as_str(), account.user_id.as_str()));
    let channels = state.channels.iter().map(|(login, channel)| (login.as_str(), &*channel.room_id));
    let mut known = accounts.chain(channels);
    let (login, id) = match key {
        "id" => known.find(|(_, id)| *id == value).map(|(login, id)| (login.to_owned(), id.to_owned()))?,
        "login" => {
            let login = value.to_lowercase();
            let id = known.find(|(known, _)| *known == login).map(|(_, id)| id.to_owned());
            let id = id.unwrap_or_else(|| room_id(&login));
            (login, id)
        }
        _ => return None,
    };
    let valid = !login.is_empty() && login.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (valid && !world.config.missing_users.contains(&login)).then(|| user(&login, &id))
}

fn user(login: &str, id: &str) -> Value {
    json!({
        "id": id,
        "login": login,
        "display_name": login,
        "type": "",
        "broadcaster_type": "",
        "description": "",
        "profile_image_url": format!("https://static.example/{login}.png"),
        "offline_image_url": "",
        "created_at": "2016-12-14T20:32:28Z",
    })
}
