//! The envelope of every answer, and the errors.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use storage::StorageError;
use utoipa::ToSchema;

use crate::messages::Clock;

/// `{"success":true,"data":…,"timestamp":…}`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Envelope<T> {
    success: bool,
    data: T,
    timestamp: DateTime<Utc>,
}

/// `{"success":false,"error":{"code","message","details"?},"timestamp":…}`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorEnvelope {
    success: bool,
    error: ErrorBody,
    timestamp: DateTime<Utc>,
}

/// What went wrong, as a word for programs and a sentence for people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

/// A good answer of an endpoint; the status is 200 unless said otherwise.
#[derive(Debug)]
pub(super) struct Answer<T>(pub StatusCode, pub T);

/// What an endpoint returns.
pub(super) type Answered<T> = Result<Answer<T>, ApiError>;

/// A good answer with status 200.
#[expect(clippy::unnecessary_wraps, reason = "it is what endpoints return")]
pub(super) fn ok<T>(data: T) -> Answered<T> {
    Ok(Answer(StatusCode::OK, data))
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let envelope = Envelope { success: true, data: self.1, timestamp: Clock::System.now() };
        (self.0, Json(envelope)).into_response()
    }
}

/// Why an endpoint did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct ApiError {
    pub status: StatusCode,
    /// A stable word.
    pub code: &'static str,
    /// A sentence that says what to do instead.
    pub message: String,
    pub details: Option<Value>,
    /// Seconds for `Retry-After`; `None` where a retry does not help.
    pub retry_after_secs: Option<u32>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after_secs: None }
    }

    /// 400: what was sent does not fit.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 404 for something that can be made or was mistyped.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 403: the one it acts for may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 503: the same call may succeed in `secs` seconds.
    pub fn unavailable(code: &'static str, message: impl Into<String>, secs: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(secs)
    }

    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// The error's part of an answer that holds several.
    pub fn body(self) -> ErrorBody {
        ErrorBody { code: self.code, message: self.message, details: self.details }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, retry) = (self.status, self.retry_after_secs);
        let envelope = ErrorEnvelope { success: false, error: self.body(), timestamp: Clock::System.now() };
        let mut response = (status, Json(envelope)).into_response();
        if let Some(secs) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

impl From<StorageError> for ApiError {
    /// The log gets the cause, the caller a sentence without addresses.
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Conflict => Self::conflict(error.advice()),
            _ if error.is_retryable() => {
                tracing::warn!(%error, error.kind = error.kind(), "the storage did not answer the hub");
                Self::unavailable(
                    "storage_unavailable",
                    "The database does not answer. Try again in a moment.",
                    1,
                )
            }
            _ => {
                tracing::error!(%error, error.kind = error.kind(), "the storage refused the hub's work");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_failed", error.advice())
            }
        }
    }
}

/// 404 of a path that is not in the table.
pub(super) async fn no_such_path() -> ApiError {
    ApiError::not_found("there is no such path; GET /api/v1/openapi.json lists them all")
}

/// 405 of a path that is in the table with other methods.
pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path has other methods; GET /api/v1/openapi.json lists them all",
    )
}
