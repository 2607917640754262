//! Who may call the API: services that know the key. There is no way in without one.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::answer::ApiError;
use super::peers::FromPeer;
use super::router::Hub;
use super::throttle;

/// Header of the service key, and the other name that is accepted for it.
const KEY_HEADERS: [&str; 2] = ["x-service-key", "x-api-key"];

/// Lets a request through that carries the service key, and no other.
pub(super) async fn require_key(
    State(hub): State<Hub>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_peer = request.extensions().get::<FromPeer>().is_some();
    if is_peer || knows_key(request.headers(), hub.deps.service_key.expose_secret()) {
        return Ok(next.run(request).await);
    }
    metrics::counter!("waddlebot_errors_total",
        "service" => "waddlebot", "error_type" => "unauthorized", "severity" => "warning")
    .increment(1);
    tracing::warn!("a call without the right service key was refused");
    throttle::call(&hub, &request).await?;
    throttle::failed_auth(&hub, &request).await?;
    Err(ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send the service key in the header X-Service-Key; in local mode it is in data/service.key",
    ))
}

/// Lets a request of everybody through; who does not carry the service key is counted.
pub(super) async fn count_strangers(
    State(hub): State<Hub>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !knows_key(request.headers(), hub.deps.service_key.expose_secret()) {
        throttle::call(&hub, &request).await?;
    }
    Ok(next.run(request).await)
}

/// Every header that is there must hold the key: a caller who sends two different ones is confused or probing.
fn knows_key(headers: &HeaderMap, key: &str) -> bool {
    let mut given = KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)).peekable();
    !key.is_empty()
        && given.peek().is_some()
        && given.all(|value| value.as_bytes().ct_eq(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_itself_opens() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        assert!(knows_key(&with(&[("x-service-key", "right")]), "right"));
        assert!(knows_key(&with(&[("x-api-key", "right")]), "right"));
        for headers in [
            with(&[]),
            with(&[("x-service-key", "")]),
            with(&[("x-service-key", "righ")]),
            with(&[("x-service-key", "rightt")]),
            with(&[("authorization", "right")]),
            with(&[("x-service-key", "right"), ("x-api-key", "wrong")]),
        ] {
            assert!(!knows_key(&headers, "right"), "{headers:?}");
        }
        assert!(!knows_key(&with(&[("x-service-key", "")]), ""), "an empty key opens nothing");
    }
}
