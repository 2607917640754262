//! The application's own token: asked for when it is needed, once however many wait for it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::http::HttpClient;
use crate::platforms::twitch::token_api::{self, Application, TokenError};

/// A token is replaced so long before its end, so that none ends on its way.
const SPARE: Duration = Duration::from_mins(5);
/// How long a token is used whose end was not told.
const LIFE_UNTOLD: Duration = Duration::from_hours(1);
/// After a refusal nobody is asked again for this long: what is configured does not change by itself.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// One token; a refused one is known by its number.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub secret: Arc<SecretString>,
    number: u64,
    usable_until: Instant,
}

/// The token of one node; Twitch gives an application many.
pub(super) struct AppToken {
    http: HttpClient,
    auth_url: String,
    application: Application,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    number: u64,
    /// When Twitch last refused the application, and how. `None`: never.
    refused: Option<(Instant, reqwest::StatusCode)>,
}

impl AppToken {
    pub fn new(http: HttpClient, auth_url: String, application: Application) -> Self {
        Self { http, auth_url, application, held: Mutex::default() }
    }

    /// The token that is good now; another than `refused`, which Twitch did not take.
    ///
    /// # Errors
    /// As [`token_api::app_token`]; a refusal of the last 30 s is repeated.
    pub async fn get(&self, refused: Option<&Token>, deadline: Instant) -> Result<Token, TokenError> {
        let late = || TokenError::Unknown("Twitch did not answer in time".to_owned());
        let mut held = timeout_at(deadline, self.held.lock()).await.map_err(|_| late())?;
        let now = Instant::now();
        let is_good = |token: &&Token| {
            token.usable_until > now && refused.is_none_or(|refused| refused.number != token.number)
        };
        if let Some(token) = held.token.as_ref().filter(is_good) {
            return Ok(token.clone());
        }
        if let Some((_, status)) = held.refused.filter(|(at, _)| now.duration_since(*at) < REFUSED_FOR) {
            return Err(TokenError::Refused(status));
        }
        let asked = token_api::app_token(&self.http, &self.auth_url, &self.application);
        let given = timeout_at(deadline, asked).await.map_err(|_| late())?;
        let given = given.inspect_err(|error| {
            if let TokenError::Refused(status) = error {
                held.refused = Some((now, *status));
            }
        })?;
        held.number += 1;
        let life = given.expires_in.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
        let life = life.map_or(LIFE_UNTOLD, |life| life.saturating_sub(SPARE).max(life / 2));
        let token =
            Token { secret: Arc::new(given.access_token), number: held.number, usable_until: now + life };
        held.token = Some(token.clone());
        Ok(token)
    }
}
