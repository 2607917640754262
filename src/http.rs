//! Everything this node calls over HTTP goes through here.
//!
//! Two faces: [`HttpClient`] for the hosts that the configuration names, and [`UrlFetcher`] for addresses that users
//! give, which it does not trust. Both ask a breaker for each host first: after 5 failures in a row nobody is kept
//! waiting for a minute, then one call at a time tries, and 2 that succeed close it. What a host refuses (4xx) is an
//! answer; 429 keeps everybody away until its `Retry-After`. No address, header or body is ever logged or told, the
//! host alone.

mod address;
mod breakers;
mod client;
mod exchange;
mod page;
mod resolver;
mod retry;
mod url_fetcher;

pub use client::{Call, HttpClient, HttpOptions, add_roots, system_roots};
pub use exchange::{Answer, HttpError};
pub use page::PageText;
pub use resolver::Lookup;
pub use url_fetcher::{CheckedUrl, FetchError, FetchOptions, UrlFetcher, UrlRefused};

/// The `service` label of metrics.
const SERVICE: &str = "waddlebot";

/// How the node names itself to others.
const USER_AGENT: &str = concat!("waddlebot/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
pub(crate) mod tests;
