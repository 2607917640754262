//! What every request gets around it: ids, a span for every log line, limits of time, a fence for panics, metrics and
//! the headers of every answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;
use ulid::Ulid;

use super::answer::ApiError;
use super::router::Hub;

/// Longest correlation id taken from a caller, in bytes.
const CORRELATION_BYTES_MAX: usize = 128;

/// Time for a whole request, from the end of its header to the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every answer: nothing of ours is framed, sniffed, cached, or runs a script.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The ids of one request.
#[derive(Clone, Debug)]
pub(super) struct RequestIds {
    /// The caller's, or new; joins everything that one deed caused.
    pub correlation_id: Arc<str>,
    /// Always new.
    pub request_id: Ulid,
    /// W3C `traceparent` of the caller; `None` when there is none or it is malformed.
    pub traceparent: Option<Arc<str>>,
}

impl RequestIds {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = Ulid::new();
        Self {
            correlation_id: text(CORRELATION_HEADER.as_str())
                .filter(|id| is_correlation_id(id))
                .map_or_else(|| request_id.to_string().into(), Arc::from),
            request_id,
            traceparent: text("traceparent").filter(|value| is_traceparent(value)).map(Arc::from),
        }
    }
}

/// Surrounds one request. The outermost layer: what is refused further in passes here on its way out.
pub(super) async fn surround(State(hub): State<Hub>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let ids = RequestIds::read(request.headers());
    let method = method_label(request.method());
    let endpoint = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", |path| hub.endpoint_label(path.as_str()));
    let span = tracing::info_span!("http",
        http.method = method, http.endpoint = endpoint,
        correlation.id = %ids.correlation_id, request.id = %ids.request_id,
        traceparent = ids.traceparent.as_deref());
    request.extensions_mut().insert(ids.clone());
    let _running = InProgress::new(method, endpoint);
    let mut response = fenced(request, next).instrument(span.clone()).await;
    stamp(response.headers_mut(), &ids);
    let took = started.elapsed();
    count(method, endpoint, response.status(), took);
    span.in_scope(|| {
        tracing::debug!(http.status = response.status().as_u16(), duration_ms = took.as_millis(), "answered");
    });
    response
}

/// Runs the request under its time limit; a panic is that request's end only.
async fn fenced(request: Request, next: Next) -> Response {
    let running = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(REQUEST_TIMEOUT, running).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            metrics::counter!("waddlebot_errors_total",
                "service" => "waddlebot", "error_type" => "panic", "severity" => "error")
            .increment(1);
            tracing::error!("an endpoint panicked; this request failed, nothing else");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "this is our fault; the log has the request id",
            )
            .into_response()
        }
        Err(_elapsed) => {
            tracing::warn!("a request took longer than its limit");
            ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "this took longer than 10 s and was given up",
            )
            .into_response()
        }
    }
}

fn stamp(headers: &mut HeaderMap, ids: &RequestIds) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let visible = |text: &str| HeaderValue::from_str(text).expect("ids are visible ASCII");
    headers.insert(CORRELATION_HEADER, visible(&ids.correlation_id));
    headers.insert(REQUEST_HEADER, visible(&ids.request_id.to_string()));
}

fn count(method: &'static str, endpoint: &'static str, status: StatusCode, took: Duration) {
    metrics::counter!("waddlebot_http_requests_total", "service" => "waddlebot",
        "method" => method, "endpoint" => endpoint, "status" => status.as_u16().to_string())
    .increment(1);
    metrics::histogram!("waddlebot_http_request_duration_seconds", "service" => "waddlebot",
        "method" => method, "endpoint" => endpoint)
    .record(took.as_secs_f64());
}

/// Counts a request as running for as long as it lives, however it ends.
struct InProgress(metrics::Gauge);

impl InProgress {
    fn new(method: &'static str, endpoint: &'static str) -> Self {
        let gauge = metrics::gauge!("waddlebot_http_requests_in_progress", "service" => "waddlebot",
            "method" => method, "endpoint" => endpoint);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// A caller can invent methods; labels must not grow with them.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn is_correlation_id(text: &str) -> bool {
    (1..=CORRELATION_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `version-trace-parent-flags` in lower-case hex; version ff and ids of zeros are invalid.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id =
        |part: &str, len: usize| part.len() == len && is_hex(part) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [version, trace, parent, flags] => {
            version.len() == 2
                && is_hex(version)
                && version != "ff"
                && is_id(trace, 32)
                && is_id(parent, 16)
                && flags.len() == 2
                && is_hex(flags)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn status_of(router: Router) -> StatusCode {
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        router.layer(from_fn(fenced)).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_panic_ends_its_request_and_nothing_else() {
        let handler = async || -> () { panic!("on purpose") };
        assert_eq!(
            status_of(Router::new().route("/", get(handler))).await,
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_is_given_up() {
        let started = tokio::time::Instant::now();
        let router = Router::new().route("/", get(std::future::pending::<()>));
        assert_eq!(status_of(router).await, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(started.elapsed(), REQUEST_TIMEOUT);
    }

    #[test]
    fn a_traceparent_is_taken_only_when_well_formed() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn a_correlation_id_is_visible_and_short() {
        assert!(is_correlation_id("order-66/Ünï".get(..8).unwrap()));
        for bad in ["", "with space", "tab\t", &"x".repeat(129)] {
            assert!(!is_correlation_id(bad), "{bad:?}");
        }
    }
}
