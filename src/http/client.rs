//! The client for the hosts that the configuration names.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::CorrelationId;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Method, Request, RequestBuilder, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tokio::time::Instant;
use ulid::Ulid;

use super::breakers::Breakers;
use super::exchange::{Answer, Exchange, HttpError, authority};
use super::{USER_AGENT, retry};
use crate::messages::Clock;
use crate::messages::streamers::HostFigures;

/// A whole call, its retries and what is waited between them included.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Name lookup, TCP and TLS of one attempt.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest answer that is read, decompressed.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Most hosts whose breakers are remembered; a configuration names a dozen.
const HOSTS_MAX: usize = 256;
const CORRELATION_HEADER: &str = "x-correlation-id";

/// What a client is made from.
#[derive(Debug)]
pub struct HttpOptions {
    /// Whom to trust; see [`system_roots`].
    pub roots: RootCertStore,
    pub clock: Clock,
    /// Begins the randomness of its delays.
    pub seed: u64,
}

/// The authorities that the system trusts. Reads files.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Adds the authorities of a PEM file.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn add_roots(roots: &mut RootCertStore, pem_file: &Path) -> io::Result<()> {
    for certificate in CertificateDer::pem_file_iter(pem_file).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Calls hosts of the configuration. A clone is the same client.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    breakers: Arc<Breakers>,
    clock: Clock,
    rng: Mutex<SmallRng>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("breakers", &self.0.breakers).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Makes the client; once a node.
    ///
    /// # Errors
    /// The encryption cannot be set up; a retry does not help.
    pub fn new(options: HttpOptions) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(options.roots)?)
            .connect_timeout(CONNECT_LIMIT)
            .redirect(Policy::none())
            .user_agent(USER_AGENT)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self(Arc::new(Inner {
            client,
            breakers: Arc::new(Breakers::new(HOSTS_MAX, None)),
            clock: options.clock,
            rng: Mutex::new(SmallRng::seed_from_u64(options.seed)),
        })))
    }

    /// Asks for something; a failure is tried again.
    pub fn get(&self, url: &str) -> Call {
        self.call(Method::GET, url)
    }

    /// Has something done, and never a second time.
    pub fn post(&self, url: &str) -> Call {
        self.call(Method::POST, url)
    }

    /// A call of any kind; what is not idempotent is sent once only.
    pub fn call(&self, method: Method, url: &str) -> Call {
        Call {
            http: self.clone(),
            request: self.0.client.request(method, url),
            correlation_id: None,
            limit: CALL_LIMIT,
            body_bytes_max: BODY_BYTES_MAX,
        }
    }

    /// How the calls of that URL's host went.
    pub fn figures(&self, url: &str) -> HostFigures {
        let figures = |url| self.0.breakers.figures(&authority(&url), self.0.clock.now());
        Url::parse(url).ok().and_then(figures).unwrap_or_else(HostFigures::untouched)
    }

    fn delay(&self, attempt: u32) -> Duration {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        retry::BACKOFF.delay(attempt, rng.random_range(0.0..1.0))
    }
}

/// TLS as everything here speaks it.
pub(super) fn tls(roots: RootCertStore) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// A request that is being put together.
#[must_use = "nothing is sent before `send`"]
pub struct Call {
    http: HttpClient,
    request: RequestBuilder,
    /// `None`: the call begins something of its own and gets an id of its own.
    correlation_id: Option<CorrelationId>,
    limit: Duration,
    body_bytes_max: usize,
}

impl fmt::Debug for Call {
    /// Without the address, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Call {
    /// Proves who we are; the value is never logged.
    pub fn authorization(mut self, value: &str) -> Self {
        self.request = match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.request.header(reqwest::header::AUTHORIZATION, value)
            }
            // The builder keeps the mistake until it is sent.
            Err(_) => self.request.header(reqwest::header::AUTHORIZATION, "\0"),
        };
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn form<T: Serialize + ?Sized>(mut self, form: &T) -> Self {
        self.request = self.request.form(form);
        self
    }

    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// The id of what caused this call; the other side and our log see it.
    pub const fn correlation(mut self, id: CorrelationId) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Time for all of it, retries included.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Longest answer that is read, decompressed.
    pub const fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Sends it and reads the whole answer, which may be of any status.
    ///
    /// # Errors
    /// [`HttpError`]; it was retried already where that is harmless.
    ///
    /// # Cancel safety
    /// A call that is given up may have reached the other side.
    pub async fn send(self) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + self.limit;
        let id = self.correlation_id.unwrap_or_else(|| CorrelationId(Ulid::new()));
        let request = self.request.header(CORRELATION_HEADER, id.to_string());
        let request = request.build().map_err(|_| HttpError::Invalid)?;
        let attempts_max = if request.method().is_idempotent() { retry::ATTEMPTS_MAX } else { 1 };
        let inner = &self.http.0;
        let exchange = Exchange {
            client: &inner.client,
            breakers: &inner.breakers,
            clock: &inner.clock,
            body_bytes_max: self.body_bytes_max,
        };
        let mut attempt = 1;
        loop {
            let Some(copy) = copy_of(&request) else { return Err(HttpError::Invalid) };
            let ended = exchange.once(copy, deadline).await;
            let Some(wanted) = wanted_pause(&ended, inner.clock.now()) else { return ended };
            let pause = self.http.delay(attempt - 1).max(wanted);
            if attempt == attempts_max || Instant::now() + pause >= deadline {
                return ended;
            }
            tracing::debug!(correlation.id = %id, host = request.url().host_str(), attempt, "a call is tried again");
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }
}

/// Bodies are held whole, so a request can be sent again.
fn copy_of(request: &Request) -> Option<Request> {
    request.try_clone()
}

/// The least time before another attempt. `None`: another attempt would be of no use.
fn wanted_pause(ended: &Result<Answer, HttpError>, now: chrono::DateTime<chrono::Utc>) -> Option<Duration> {
    match ended {
        Ok(answer) => retry::pause(answer.status, &answer.headers, now).or_else(|| {
            let is_failure = answer.status.is_server_error();
            is_failure.then(|| retry::retry_after(&answer.headers, now).unwrap_or_default())
        }),
        Err(HttpError::Unreachable { .. } | HttpError::TimedOut { .. }) => Some(Duration::ZERO),
        Err(HttpError::Open { .. } | HttpError::TooLong { .. } | HttpError::Invalid) => None,
    }
}
