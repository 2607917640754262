//! Twitch's API about users, channels and streams, as [`StreamerLookup`]: asked with the application's token, within
//! its points, remembered for a minute on all nodes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage::Db;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::app_token::AppToken;
use super::budget::Permits;
use super::token_api::{Application, TokenError};
use crate::cache::{Cache, Caches, Keeping};
use crate::config::Config;
use crate::http::{Answer, HttpClient, HttpError};
use crate::limits::Limit;
use crate::limits::account_budgets::AccountBudgets;
use crate::messages::streamers::{
    HostFigures, LiveStream, LookUpError, Streamer, StreamerChannel, StreamerLookup, StreamerUser,
};

mod app_token;

/// An application has 800 points a minute, and each of our calls takes one
/// (<https://dev.twitch.tv/docs/api/guide/#twitch-rate-limits>).
const POINTS: u32 = 800;
const POINTS_WINDOW: Duration = Duration::from_mins(1);
/// Kept in hand by a node that asked lately, so that a shoutout need not wait for the database.
const POINTS_RESERVE: u32 = 12;

/// Who streams what changes within minutes; a name that was wrong stays wrong.
const KEEPING: Keeping =
    Keeping { name: "twitch_streamers", ttl: Duration::from_mins(1), negative_ttl: Duration::from_mins(1) };

const NOT_CONFIGURED: &str =
    "Twitch's API is not configured; set client_id and client_secret in [platforms.twitch]";
const REFUSED: &str =
    "Twitch refuses the application; check client_id and client_secret in [platforms.twitch]";

/// The answer where no application is configured.
#[derive(Debug)]
struct NotConfigured;

#[async_trait]
impl StreamerLookup for NotConfigured {
    async fn look_up(&self, _: &str, _: Duration) -> Result<Option<Arc<Streamer>>, LookUpError> {
        Err(LookUpError::NotConfigured(NOT_CONFIGURED))
    }

    fn figures(&self) -> HostFigures {
        HostFigures::untouched()
    }
}

/// What the lookup of a node is made from.
pub struct HelixDeps<'a> {
    pub config: &'a Config,
    pub http: HttpClient,
    pub db: Db,
    pub caches: &'a Caches,
    /// Books the points of the application that other nodes use too.
    pub background: &'a TaskTracker,
}

impl fmt::Debug for HelixDeps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HelixDeps").finish_non_exhaustive()
    }
}

/// The lookup of this node; one that says what to set where no application is configured.
pub fn lookup(deps: HelixDeps<'_>) -> Arc<dyn StreamerLookup> {
    let twitch = &deps.config.platforms.twitch;
    let (Some(client_id), Some(client_secret)) = (&twitch.client_id, &twitch.client_secret) else {
        return Arc::new(NotConfigured);
    };
    let application = Application { client_id: client_id.clone(), client_secret: client_secret.clone() };
    let (points, booking) = points(&deps, client_id);
    Arc::new(Helix(Arc::new(Inner {
        helix_url: twitch.helix_url.clone(),
        client_id: client_id.clone(),
        token: AppToken::new(deps.http.clone(), twitch.auth_url.clone(), application),
        http: deps.http,
        points: Mutex::new(points),
        known: deps.caches.of(KEEPING),
        _booking: booking,
    })))
}

/// The points of the application, and what ends their booking. `None`: the node is alone and counts them itself.
fn points(deps: &HelixDeps<'_>, client_id: &str) -> (Permits, Option<DropGuard>) {
    if !deps.config.cluster.enabled {
        return (Permits::alone(POINTS as usize, POINTS_WINDOW), None);
    }
    let limit = Limit { resource: "helix", slots: POINTS, window: POINTS_WINDOW };
    let budgets = AccountBudgets::new([(limit, POINTS_RESERVE)]);
    budgets.serve(format!("twitch_application:{client_id}"));
    let closed = CancellationToken::new();
    deps.background.spawn(Arc::clone(&budgets).run(deps.db.clone(), closed.clone()));
    (Permits::Booked(budgets.share(0)), Some(closed.drop_guard()))
}

#[derive(Clone)]
struct Helix(Arc<Inner>);

struct Inner {
    helix_url: String,
    client_id: String,
    token: AppToken,
    http: HttpClient,
    points: Mutex<Permits>,
    known: Cache<Streamer>,
    /// Ends the booking of points with the last user.
    _booking: Option<DropGuard>,
}

impl fmt::Debug for Helix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helix").field("helix_url", &self.0.helix_url).finish_non_exhaustive()
    }
}

/// Every list of Helix comes in this.
#[derive(Debug, Deserialize)]
struct Page<T> {
    data: Vec<T>,
}

#[async_trait]
impl StreamerLookup for Helix {
    async fn look_up(&self, login: &str, limit: Duration) -> Result<Option<Arc<Streamer>>, LookUpError> {
        let deadline = Instant::now() + limit;
        let found = self.0.known.get(login, self.0.load(login, deadline));
        let late = || unavailable("Twitch did not answer in time".to_owned(), None);
        let found = tokio::time::timeout_at(deadline, found).await.map_err(|_| late())?;
        found.map_err(|error| LookUpError::clone(&error))
    }

    fn figures(&self) -> HostFigures {
        self.0.http.figures(&self.0.helix_url)
    }
}

impl Inner {
    async fn load(&self, login: &str, deadline: Instant) -> Result<Option<Streamer>, LookUpError> {
        let Some(user) = self.first::<StreamerUser>("users", "login", login, deadline).await? else {
            return Ok(None);
        };
        let (channel, stream) = tokio::try_join!(
            self.first::<StreamerChannel>("channels", "broadcaster_id", &user.id, deadline),
            self.first::<LiveStream>("streams", "user_id", &user.id, deadline),
        )?;
        Ok(Some(Streamer { user, channel, stream }))
    }

    /// The only entry of a list that was asked for by a key of its own.
    async fn first<T: DeserializeOwned>(
        &self,
        list: &str,
        key: &str,
        value: &str,
        deadline: Instant,
    ) -> Result<Option<T>, LookUpError> {
        // A key is a login or an id, and neither needs to be escaped; see `login_of`.
        let url = format!("{}/{list}?{key}={value}", self.helix_url);
        let answer = self.ask(&url, deadline).await?;
        if !answer.status.is_success() {
            return Err(unavailable(format!("Twitch answered {}", answer.status), None));
        }
        let page: Page<T> = answer
            .json()
            .ok_or_else(|| unavailable("Twitch's answer is not what it documents".to_owned(), None))?;
        Ok(page.data.into_iter().next())
    }

    /// Asks with the token, and once more with a new one when that is refused.
    async fn ask(&self, url: &str, deadline: Instant) -> Result<Answer, LookUpError> {
        let mut refused = None;
        loop {
            let token = self.token.get(refused.as_ref(), deadline).await.map_err(token_failed)?;
            self.take_point(deadline).await?;
            let authorization = format!("Bearer {}", token.secret.expose_secret());
            let call = self.http.get(url).authorization(&authorization).header("client-id", &self.client_id);
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = call.limit(left).send().await.map_err(|error| call_failed(&error))?;
            match answer.status {
                StatusCode::UNAUTHORIZED if refused.is_none() => refused = Some(token),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(LookUpError::Refused(REFUSED.to_owned()));
                }
                _ => return Ok(answer),
            }
        }
    }

    async fn take_point(&self, deadline: Instant) -> Result<(), LookUpError> {
        loop {
            let now = Instant::now();
            let taken = self.points.lock().unwrap_or_else(PoisonError::into_inner).try_take(now.into_std());
            let Err(at) = taken else { return Ok(()) };
            let at = Instant::from_std(at);
            if at >= deadline {
                let reason = "the points of Twitch's API are used up for now".to_owned();
                return Err(unavailable(reason, Some(at.saturating_duration_since(now))));
            }
            tokio::time::sleep_until(at).await;
        }
    }
}

fn unavailable(reason: String, retry_after: Option<Duration>) -> LookUpError {
    LookUpError::Unavailable { reason, retry_after }
}

fn call_failed(error: &HttpError) -> LookUpError {
    let retry_after = match error {
        HttpError::Open { retry_after, .. } => *retry_after,
        _ => None,
    };
    unavailable(error.to_string(), retry_after)
}

fn token_failed(error: TokenError) -> LookUpError {
    match error {
        TokenError::Refused(_) => LookUpError::Refused(REFUSED.to_owned()),
        TokenError::Unknown(reason) => unavailable(reason, None),
    }
}
