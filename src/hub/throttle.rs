//! What callers without the right service key may take, counted by where they come from.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;

use super::answer::ApiError;
use super::client::{self, Peer};
use super::router::Hub;
use crate::limits::Limit;

const WINDOW: Duration = Duration::from_mins(1);

/// Counts a call of the API.
pub(super) fn call(
    hub: &Hub,
    request: &Request,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    take(hub, request, "http_per_ip", hub.deps.config.limits.http_per_ip)
}

/// Counts a call that was refused for want of the right key.
pub(super) fn failed_auth(
    hub: &Hub,
    request: &Request,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    take(hub, request, "http_failed_auth_per_ip", hub.deps.config.limits.http_failed_auth_per_ip)
}

/// Reads what it needs before it waits: a request's body cannot be shared between threads.
fn take(
    hub: &Hub,
    request: &Request,
    resource: &'static str,
    slots: usize,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let limit = Limit { resource, slots: u32::try_from(slots).unwrap_or(u32::MAX), window: WINDOW };
    // Only a router without our listener has no peer; those callers share one window.
    let peer =
        request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let client = client::address(peer, request.headers(), &hub.deps.config.hub.trusted_proxies);
    let limiter = std::sync::Arc::clone(&hub.deps.limiter);
    async move {
        limiter.take(&limit, &client::counted_as(client)).await.map_err(|exceeded| {
            let secs = exceeded.retry_after_secs();
            let message = format!("too many calls without the right service key; try again in {secs} s");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message).retry_after(secs)
        })
    }
}
