//! What comes in: bodies within their limit, of the right type, naming the field that is wrong.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::answer::ApiError;

/// Largest body of a request.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// Largest body of a batch.
pub(super) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Time for a body to arrive; less than the whole request's, so that a slow client is told what was wrong.
const BODY_TIMEOUT: Duration = Duration::from_secs(8);

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_BYTES_MAX: usize = 128;

/// A JSON body of at most `MAX` bytes.
#[derive(Debug)]
pub(super) struct JsonBody<T, const MAX: usize = BODY_BYTES_MAX>(pub T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for JsonBody<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send JSON with the header Content-Type: application/json",
            ));
        }
        let reading = to_bytes(request.into_body(), MAX);
        let bytes = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_elapsed| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body took longer than 8 s to arrive",
            )
        })?;
        let bytes = bytes.map_err(|error| refusal_of(error, MAX))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| ApiError::invalid(error.to_string()))
    }
}

/// `to_bytes` tells a body that is too large from one that broke off only by the error's source.
fn refusal_of(error: axum::Error, bytes_max: usize) -> ApiError {
    let source = error.into_inner();
    if source.to_string().contains("length limit") {
        let message = format!("a body here is at most {} KiB", bytes_max >> 10);
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message);
    }
    ApiError::invalid("the body broke off")
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The query string; a wrong or unknown name is a 400 that names it.
#[derive(Debug)]
pub(super) struct Queried<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Queried<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|error| ApiError::invalid(error.body_text()))
    }
}

/// Whether the caller asked with `Prefer: respond-async` not to be kept waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct RespondAsync(pub bool);

impl<S: Send + Sync> FromRequestParts<S> for RespondAsync {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let values = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let mut wishes = values.flat_map(|value| value.split(','));
        let is_async = |wish: &str| {
            wish.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("respond-async")
        };
        Ok(Self(wishes.any(is_async)))
    }
}

/// The caller's `Idempotency-Key`; `None` when there is none.
#[derive(Clone, Debug)]
pub(super) struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let bytes = value.as_bytes();
        let is_legal =
            (1..=IDEMPOTENCY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if is_legal => Ok(Self(Some(key.to_owned()))),
            _ => Err(ApiError::invalid("Idempotency-Key must be 1 to 128 visible ASCII characters")),
        }
    }
}
