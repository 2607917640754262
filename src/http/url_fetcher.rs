//! Fetches addresses that users give, without becoming their way into the operator's network.
//!
//! An address is looked at four times: its text (scheme, port, no user name), its host where that is an IP address in
//! whatever spelling, every address its name stands for, and all of that again at each redirect. No proxy, cookie or
//! login goes along. What a user is told names no address, and does not tell a private name from one that is not there.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::CommunityId;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Method, Request, StatusCode};
use rustls::RootCertStore;
use tokio::time::Instant;
use url::{Host, Url};

use super::USER_AGENT;
use super::address::is_public;
use super::breakers::Breakers;
use super::client::tls;
use super::exchange::{Exchange, HttpError};
use super::resolver::{self, Lookup, Resolver};
use crate::messages::Clock;

/// One fetch with its redirects, whatever more its caller would wait.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Longest answer that is read, decompressed.
const BODY_BYTES_MAX: usize = 512 << 10;
const REDIRECTS_MAX: usize = 3;
const URL_BYTES_MAX: usize = 2_000;
/// Fetches of one community at a time.
const PER_COMMUNITY_MAX: usize = 4;
/// Fetches of the node at a time.
const UNDER_WAY_MAX: usize = 64;
/// Most hosts whose breakers are remembered.
const HOSTS_MAX: usize = 1_024;
/// What the metrics call every host that a user named.
const SHOWN_AS: &str = "user_url";
const PORTS: [u16; 2] = [80, 443];

/// An address that may be asked, without its fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedUrl {
    pub url: String,
    /// The same for two spellings of one address: host, path and query, without the scheme.
    pub same_as: String,
}

/// Why an address is not asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("the address cannot be read; write for example https://example.org/text")]
    Unreadable,
    #[error("the address has more than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("the address must begin with http:// or https://")]
    Scheme,
    #[error("the address must not hold a user name or password")]
    UserInfo,
    #[error("the address must use port 80 or 443")]
    Port,
    #[error("the address is not on the public internet")]
    NotPublic,
}

/// Why a fetch gave nothing, in words for a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Refused(#[from] UrlRefused),
    #[error("the page leads elsewhere, where the bot does not go")]
    Redirect,
    #[error("too many pages are being fetched; try again soon")]
    Busy,
    #[error("the site did not answer in time")]
    TimedOut,
    #[error("the site cannot be reached")]
    Unreachable,
    #[error("the site failed too often; try again in a minute")]
    Open,
    #[error("the site answered {0}")]
    Status(u16),
    #[error("the answer is too long")]
    TooLong,
    #[error("the answer is no text")]
    NotText,
}

/// What a fetcher is made from.
pub struct FetchOptions {
    pub roots: RootCertStore,
    pub clock: Clock,
    /// `host:port` of services inside that the operator lets users reach; lower case.
    pub allow: Vec<String>,
    /// Ports of all others.
    pub ports: Vec<u16>,
    pub lookup: Lookup,
}

impl FetchOptions {
    pub fn new(roots: RootCertStore, clock: Clock, allow: Vec<String>) -> Self {
        Self { roots, clock, allow, ports: PORTS.to_vec(), lookup: resolver::system() }
    }
}

impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions").field("allow", &self.allow).finish_non_exhaustive()
    }
}

/// Fetches pages for users. A clone is the same fetcher.
#[derive(Clone)]
pub struct UrlFetcher(Arc<Inner>);

struct Inner {
    /// Reaches the public internet only.
    public: reqwest::Client,
    /// Reaches what the operator allowed.
    allowed: reqwest::Client,
    allow: Vec<String>,
    ports: Vec<u16>,
    breakers: Arc<Breakers>,
    clock: Clock,
    /// Fetches under way; a community without one is not in it.
    under_way: Mutex<HashMap<CommunityId, usize>>,
}

impl fmt::Debug for UrlFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlFetcher").field("allow", &self.0.allow).finish_non_exhaustive()
    }
}

impl UrlFetcher {
    /// Makes the fetcher; once a node.
    ///
    /// # Errors
    /// The encryption cannot be set up; a retry does not help.
    pub fn new(options: FetchOptions) -> io::Result<Self> {
        let tls = tls(options.roots)?;
        let only_public = Resolver::only_public(options.lookup);
        let client = |resolver: Resolver| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(resolver)
                .no_proxy()
                .connect_timeout(CONNECT_LIMIT)
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                // A name is looked up for each fetch, so no connection outlives what its name stood for.
                .pool_max_idle_per_host(0)
                .user_agent(USER_AGENT)
                .build()
                .map_err(io::Error::other)
        };
        Ok(Self(Arc::new(Inner {
            allowed: client(only_public.unrestricted())?,
            public: client(only_public)?,
            allow: options.allow,
            ports: options.ports,
            breakers: Arc::new(Breakers::new(HOSTS_MAX, Some(SHOWN_AS))),
            clock: options.clock,
            under_way: Mutex::default(),
        })))
    }

    /// Looks at an address as far as its text tells; for one that is saved to be fetched later.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn check(&self, url: &str) -> Result<(), UrlRefused> {
        self.0.read(url).map(drop)
    }

    /// The same, and the address as it is kept.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn checked(&self, url: &str) -> Result<CheckedUrl, UrlRefused> {
        let url = self.0.read(url)?.url;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        let same_as = format!("{}{port}{path}{query}", url.host_str().unwrap_or_default());
        Ok(CheckedUrl { same_as, url: url.into() })
    }

    /// Fetches a text for `community_id` within `limit` and never longer than 5 s.
    ///
    /// # Errors
    /// [`FetchError`] has the words for whoever asked.
    pub async fn fetch(
        &self,
        community_id: CommunityId,
        url: &str,
        limit: Duration,
    ) -> Result<String, FetchError> {
        let deadline = Instant::now() + limit.min(FETCH_LIMIT);
        let mut target = self.0.read(url)?;
        let _turn = Turn::take(&self.0, community_id).ok_or(FetchError::Busy)?;
        for _ in 0..=REDIRECTS_MAX {
            let exchange = Exchange {
                client: target.client,
                breakers: &self.0.breakers,
                clock: &self.0.clock,
                body_bytes_max: BODY_BYTES_MAX,
            };
            let url = target.url.clone();
            let answer = exchange.once(Request::new(Method::GET, target.url), deadline).await?;
            match answer.status {
                status if status.is_success() => {
                    return String::from_utf8(answer.body).map_err(|_| FetchError::NotText);
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = answer.headers.get(LOCATION).and_then(|text| text.to_str().ok());
                    let next = location.and_then(|text| url.join(text).ok()).ok_or(FetchError::Redirect)?;
                    target = self.0.target(next).map_err(|_| FetchError::Redirect)?;
                }
                status => return Err(FetchError::Status(status.as_u16())),
            }
        }
        Err(FetchError::Redirect)
    }
}

/// An address that was looked at, and the client that may be sent there.
struct Target<'a> {
    url: Url,
    client: &'a reqwest::Client,
}

impl Inner {
    fn read(&self, url: &str) -> Result<Target<'_>, UrlRefused> {
        if url.len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong);
        }
        self.target(Url::parse(url.trim()).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => UrlRefused::Scheme,
            _ => UrlRefused::Unreadable,
        })?)
    }

    fn target(&self, mut url: Url) -> Result<Target<'_>, UrlRefused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlRefused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::UserInfo);
        }
        url.set_fragment(None);
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(UrlRefused::Unreadable);
        };
        if self.allow.contains(&format!("{host}:{port}")) {
            return Ok(Target { url, client: &self.allowed });
        }
        if !self.ports.contains(&port) {
            return Err(UrlRefused::Port);
        }
        let is_public = match host {
            Host::Ipv4(address) => is_public(IpAddr::V4(address)),
            Host::Ipv6(address) => is_public(IpAddr::V6(address)),
            // What a name stands for is looked at when it is connected to.
            Host::Domain(_) => true,
        };
        if is_public { Ok(Target { url, client: &self.public }) } else { Err(UrlRefused::NotPublic) }
    }
}

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Open { .. } => Self::Open,
            HttpError::TimedOut { .. } => Self::TimedOut,
            HttpError::Unreachable { .. } => Self::Unreachable,
            HttpError::TooLong { .. } => Self::TooLong,
            HttpError::Invalid => Self::Refused(UrlRefused::Unreadable),
        }
    }
}

/// One of the fetches that a community may have under way; ends when it is dropped.
struct Turn<'a> {
    inner: &'a Inner,
    community_id: CommunityId,
}

impl<'a> Turn<'a> {
    fn take(inner: &'a Inner, community_id: CommunityId) -> Option<Self> {
        let mut under_way = inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let n_own = under_way.get(&community_id).copied().unwrap_or_default();
        if n_own >= PER_COMMUNITY_MAX || under_way.values().sum::<usize>() >= UNDER_WAY_MAX {
            return None;
        }
        under_way.insert(community_id, n_own + 1);
        Some(Self { inner, community_id })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.inner.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_own) = under_way.get_mut(&self.community_id) {
            *n_own -= 1;
            if *n_own == 0 {
                under_way.remove(&self.community_id);
            }
        }
    }
}
