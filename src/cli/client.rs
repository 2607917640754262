//! Calls to a running node over its HTTP API.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::output::Failure;
use super::{Env, NodeArgs};

const URL_ENV: &str = "WADDLEBOT_URL";
const KEY_ENV: &str = "WADDLEBOT_SERVICE_KEY";
const URL_DEFAULT: &str = "http://127.0.0.1:8080";

/// Where local mode writes its key, from the folder in which the node was started.
const KEY_FILE_DEFAULT: &str = "data/service.key";

/// Largest key file, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// Time for one call; longer than the node's own limit of 10 s, so that its words arrive.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for what has no end.
const FOLLOW_TIMEOUT: Duration = Duration::from_hours(30 * 24);

/// An answer without an end, in pieces.
#[derive(Debug)]
pub(super) struct Following<'a> {
    client: &'a Client,
    response: reqwest::Response,
}

impl Following<'_> {
    /// The next piece; `None` when the node ended it.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        self.response.chunk().await.map_err(|error| self.client.unreachable(&error))
    }
}

/// A node, and what opens its API.
#[derive(Debug)]
pub(super) struct Client {
    base: Url,
    key: SecretString,
    http: reqwest::Client,
}

impl Client {
    /// A client for the node that the options or the environment name.
    ///
    /// # Errors
    /// When the address is none, or no service key can be found.
    pub fn new(node: &NodeArgs, env: &Env) -> Result<Self, Failure> {
        let key = service_key(node.key_file.as_deref(), env)?;
        Self::with_key(base_url(node, env)?, key)
    }

    /// A client for that address and key.
    pub fn with_key(base: Url, key: SecretString) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::said(format!("no HTTP client: {error}")))?;
        Ok(Self { base, key, http })
    }

    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    pub async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// Every page of a list.
    pub async fn list(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit", "100"));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let mut page = self.get(path, &query).await?;
            match page["items"].take() {
                Value::Array(rows) => items.extend(rows),
                _ => {
                    return Err(Failure::said(
                        "the node answered with something that is no list; is it a waddlebot?",
                    ));
                }
            }
            match page["next_cursor"].take() {
                Value::String(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(items),
            }
        }
    }

    /// Begins to read what has no end.
    pub async fn follow(&self, path: &[&str]) -> Result<Following<'_>, Failure> {
        let request = self.request(Method::GET, path)?.timeout(FOLLOW_TIMEOUT);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Following { client: self, response });
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(Failure::said(refusal(
            status,
            &serde_json::from_slice(&bytes).unwrap_or_default(),
            self.base.as_str(),
        )))
    }

    /// One call; the answer's `data`, or the node's own words about what was wrong.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.request(method, path)?.query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let mut answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() && answer["success"] == Value::Bool(true) {
            return Ok(answer["data"].take());
        }
        Err(Failure::said(refusal(status, &answer, self.base.as_str())))
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<reqwest::RequestBuilder, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::said("the node's address must be http://HOST:PORT"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        Ok(self.http.request(method, url).header("X-Service-Key", self.key.expose_secret()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        Failure::said(if error.is_timeout() && !error.is_connect() {
            format!("the node at {base} did not answer in time; try again")
        } else {
            format!(
                "no node answers at {base}; start one with `waddlebot run`, or say where it is with --url"
            )
        })
    }
}

/// The node's words, or what to do when it has none.
fn refusal(status: StatusCode, answer: &Value, base: &str) -> String {
    if status == StatusCode::UNAUTHORIZED {
        return "the node refused the service key; give the one it was started with \
                (--key-file, WADDLEBOT_SERVICE_KEY or data/service.key in its folder)"
            .to_owned();
    }
    match answer["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("{base} answered {status} and is perhaps no waddlebot; check --url"),
    }
}

/// The node's address.
pub(super) fn base_url(node: &NodeArgs, env: &Env) -> Result<Url, Failure> {
    let text = node.url.as_deref().or_else(|| env.get(URL_ENV).map(String::as_str)).unwrap_or(URL_DEFAULT);
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Failure::said("the node's address must be http://HOST:PORT"))
}

/// The service key: from the file that was named, from the environment, from local mode's file.
pub(super) fn service_key(file: Option<&Path>, env: &Env) -> Result<SecretString, Failure> {
    if let Some(file) = file {
        return read_key(file);
    }
    if let Some(key) = env.get(KEY_ENV) {
        return Ok(SecretString::from(key.trim()));
    }
    let file = PathBuf::from(KEY_FILE_DEFAULT);
    if file.exists() {
        return read_key(&file);
    }
    Err(Failure::said(format!(
        "no service key: run this where the node was started (it wrote {KEY_FILE_DEFAULT} there), \
         or name its file with --key-file"
    )))
}

fn read_key(file: &Path) -> Result<SecretString, Failure> {
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| {
            Failure::said(format!("the service key in {} cannot be read: {error}", file.display()))
        })?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::said(format!("{} holds no service key", file.display())));
    }
    Ok(SecretString::from(key))
}
