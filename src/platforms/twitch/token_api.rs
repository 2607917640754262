//! Twitch's two calls about tokens: is this one good, and give me a new one.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    http: &reqwest::Client,
    auth_url: &str,
    token: &SecretString,
) -> Result<Validated, TokenError> {
    let authorization = format!("OAuth {}", token.expose_secret());
    call(http.get(format!("{auth_url}/validate")).header("Authorization", authorization)).await
}

/// Exchanges a refresh token for a new access token.
///
/// # Errors
/// [`TokenError::Refused`] when the refresh token or the application is not accepted.
pub async fn refresh(
    http: &reqwest::Client,
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
    call(http.post(format!("{auth_url}/token")).form(&form)).await
}

async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, TokenError> {
    // Without its URL an error can name no secret.
    let unknown = |error: reqwest::Error| TokenError::Unknown(error.without_url().to_string());
    let mut response = request.timeout(CALL_LIMIT).send().await.map_err(unknown)?;
    let status = response.status();
    if matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(TokenError::Refused(status));
    }
    if !status.is_success() {
        return Err(TokenError::Unknown(format!("Twitch answered {status}")));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unknown)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(TokenError::Unknown("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body)
        .map_err(|_| TokenError::Unknown("the answer is not what Twitch documents".to_owned()))
}
