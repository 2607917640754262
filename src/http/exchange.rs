//! One request and its whole answer: asked of the breaker, bounded in time and size, counted.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use domain::CallResult;
use reqwest::header::HeaderMap;
use reqwest::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::breakers::{Breakers, Permit, Rejected};
use super::{SERVICE, retry};
use crate::messages::Clock;

/// Why a call gave no answer. It names the host and nothing else of the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The breaker is open; nothing was sent.
    #[error("{host} is not asked now: it failed too often, or wants a pause")]
    Open {
        host: String,
        /// `None`: another call is just trying.
        retry_after: Option<Duration>,
    },
    #[error("{host} did not answer in time")]
    TimedOut { host: String },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} answered with more than {bytes_max} bytes")]
    TooLong { host: String, bytes_max: usize },
    /// The caller's mistake; a retry does not help.
    #[error("no such request can be made")]
    Invalid,
}

/// An answer that arrived whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON. `None`: it is not of that form.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// How requests of one kind are made.
pub(super) struct Exchange<'a> {
    pub client: &'a reqwest::Client,
    pub breakers: &'a Arc<Breakers>,
    pub clock: &'a Clock,
    /// Longest body that is read, decompressed.
    pub body_bytes_max: usize,
}

impl Exchange<'_> {
    /// Sends `request` once and reads its answer. An answer of any status is one.
    pub async fn once(&self, request: Request, deadline: Instant) -> Result<Answer, HttpError> {
        let host = request.url().host_str().ok_or(HttpError::Invalid)?.to_owned();
        let method = method_label(request.method());
        let shown_as = self.breakers.name_of(&host).to_string();
        let started = Instant::now();
        let ended = match self.breakers.admit(&authority(request.url()), &host) {
            Err(Rejected { retry_after }) => Err(HttpError::Open { host, retry_after }),
            Ok(permit) => {
                let answered = timeout_at(deadline, self.answer(request, &host)).await;
                let ended = answered.unwrap_or_else(|_| Err(HttpError::TimedOut { host }));
                self.tell(permit, &ended);
                metrics::histogram!("waddlebot_http_client_request_duration_seconds",
                    "service" => SERVICE, "host" => shown_as.clone(), "method" => method)
                .record(started.elapsed());
                ended
            }
        };
        metrics::counter!("waddlebot_http_client_requests_total", "service" => SERVICE,
            "host" => shown_as, "method" => method, "status" => status_label(&ended))
        .increment(1);
        ended
    }

    async fn answer(&self, request: Request, host: &str) -> Result<Answer, HttpError> {
        let failed = |error: reqwest::Error| failure(error, host);
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.body_bytes_max {
                let bytes_max = self.body_bytes_max;
                return Err(HttpError::TooLong { host: host.to_owned(), bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    /// Tells the breaker. What the host refuses it has answered; only its own failures count.
    fn tell(&self, permit: Permit, ended: &Result<Answer, HttpError>) {
        let success = CallResult::Success { slow: false };
        match ended {
            Ok(answer) => match retry::pause(answer.status, &answer.headers, self.clock.now()) {
                Some(pause) => permit.pause(pause),
                None if answer.status.is_server_error() => permit.end(CallResult::Failure),
                None => permit.end(success),
            },
            Err(HttpError::TooLong { .. }) => permit.end(success),
            Err(HttpError::Invalid | HttpError::Open { .. }) => permit.end(CallResult::Cancelled),
            Err(HttpError::TimedOut { .. } | HttpError::Unreachable { .. }) => {
                permit.end(CallResult::Failure);
            }
        }
    }
}

/// Host and port, which a breaker is kept for.
pub(super) fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn failure(error: reqwest::Error, host: &str) -> HttpError {
    let host = host.to_owned();
    if error.is_builder() {
        return HttpError::Invalid;
    }
    if error.is_timeout() {
        return HttpError::TimedOut { host };
    }
    // The last cause says it best, and none of them holds the address once the first has lost it.
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    HttpError::Unreachable { host, reason: cause.to_string() }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What the other side may choose is shown by its class, so that labels do not grow with it.
fn status_label(ended: &Result<Answer, HttpError>) -> &'static str {
    match ended {
        Ok(answer) => match answer.status.as_u16() {
            429 => "429",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        },
        Err(HttpError::Open { .. }) => "open",
        Err(HttpError::TimedOut { .. }) => "timeout",
        Err(HttpError::Unreachable { .. }) => "unreachable",
        Err(HttpError::TooLong { .. }) => "too_long",
        Err(HttpError::Invalid) => "invalid",
    }
}
