//! Twitch's two calls about tokens: is this one good, and give me a new one.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::{Call, HttpClient};

/// One call, from the first byte to the last.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What `/validate` says of a good token.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Validated {
    pub login: String,
    pub user_id: String,
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// What `/token` gives.
#[derive(Debug, Deserialize)]
pub struct Refreshed {
    pub access_token: SecretString,
    /// `None`: the old one stays good.
    pub refresh_token: Option<SecretString>,
    /// `None`: not told.
    pub expires_in: Option<i64>,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Twitch says no, for good.
    #[error("refused by Twitch ({0})")]
    Refused(StatusCode),
    /// Nobody knows; a retry helps.
    #[error("{0}")]
    Unknown(String),
}

/// The application that tokens are refreshed for.
#[derive(Clone, Debug)]
pub struct Application {
    pub client_id: String,
    pub client_secret: SecretString,
}

/// Asks whether a token is good.
///
/// # Errors
/// [`TokenError::Refused`] when it is not.
pub async fn validate(
    http: &HttpClient,
    auth_url: &str,
    token: &SecretString,
) -> Result<Validated, TokenError> {
    let authorization = format!("OAuth {}", token.expose_secret());
    call(http.get(&format!("{auth_url}/validate")).authorization(&authorization)).await
}

/// Exchanges a refresh token for a new access token.
///
/// # Errors
/// [`TokenError::Refused`] when the refresh token or the application is not accepted.
pub async fn refresh(
    http: &HttpClient,
    auth_url: &str,
    application: &Application,
    refresh_token: &SecretString,
) -> Result<Refreshed, TokenError> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose_secret()),
        ("client_id", application.client_id.as_str()),
        ("client_secret", application.client_secret.expose_secret()),
    ];
    call(http.post(&format!("{auth_url}/token")).form(&form)).await
}

/// Asks for a token of the application itself, which belongs to no account.
///
/// # Errors
/// [`TokenError::Refused`] when the application is not accepted.
pub async fn app_token(
    http: &HttpClient,
    auth_url: &str,
    application: &Application,
) -> Result<Refreshed, TokenError> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", application.client_id.as_str()),
        ("client_secret", application.client_secret.expose_secret()),
    ];
    call(http.post(&format!("{auth_url}/token")).form(&form)).await
}

async fn call<T: DeserializeOwned>(call: Call) -> Result<T, TokenError> {
    let answered = call.limit(CALL_LIMIT).body_bytes_max(BODY_BYTES_MAX).send().await;
    let answer = answered.map_err(|error| TokenError::Unknown(error.to_string()))?;
    let status = answer.status;
    if matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(TokenError::Refused(status));
    }
    if !status.is_success() {
        return Err(TokenError::Unknown(format!("Twitch answered {status}")));
    }
    answer.json().ok_or_else(|| TokenError::Unknown("the answer is not what Twitch documents".to_owned()))
}
