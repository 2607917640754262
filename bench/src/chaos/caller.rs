//! Calls of the nodes' API, each with a time limit.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::network::Place;
use super::node::SERVICE_KEY;

const READY_TIMEOUT: Duration = Duration::from_mins(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(50);

/// A command in a channel, under an id of the caller's choice.
pub(crate) struct Ask {
    pub(crate) login: String,
    pub(crate) id: String,
    pub(crate) text: String,
}

impl Ask {
    pub(crate) fn new(login: &str, id: &str, text: impl Into<String>) -> Self {
        Self { login: login.to_owned(), id: id.to_owned(), text: text.into() }
    }

    /// An entry into the channel's ledger; the id is its token.
    pub(crate) fn entry(login: &str, token: &str) -> Self {
        Self::new(login, token, format!("!ledger {token}"))
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    client: reqwest::Client,
}

impl Caller {
    pub(crate) fn new() -> Result<Self> {
        let client =
            reqwest::Client::builder().timeout(CALL_TIMEOUT).connect_timeout(Duration::from_millis(500));
        Ok(Self { client: client.build().map_err(Error::other)? })
    }

    pub(crate) async fn wait_ready(&self, number: usize) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while Instant::now() < deadline {
            let answer = self.client.get(url(number, "/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::other(format!("node-{number} does not get ready")))
    }

    /// Has a command run in a channel. Returns the answer's text, or why it was not answered well: ask again.
    async fn ask(&self, number: usize, Ask { login, id, text }: &Ask) -> std::result::Result<String, String> {
        let event = json!({ "platform": "twitch", "channel_id": login, "user_id": "7", "username": "chaos",
            "message": text, "message_type": "chatMessage", "message_id": id });
        let request =
            self.client.post(url(number, "/api/v1/router/events")).header("X-Service-Key", SERVICE_KEY);
        let answer = request.json(&event).send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        match body["data"]["response"].as_str() {
            Some(text) if status.is_success() => Ok(text.to_owned()),
            _ => Err(format!("{status}: {body}")),
        }
    }

    /// Asks these nodes in turn until one answers well; `None`: none did in time.
    pub(crate) async fn insist(&self, nodes: &[usize], ask: &Ask, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        for number in nodes.iter().cycle() {
            match self.ask(*number, ask).await {
                Ok(answer) => return Some(answer),
                Err(why) if Instant::now() > deadline => {
                    eprintln!("node-{number} does not answer {} in {}: {why}", ask.text, ask.login);
                    break;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    /// A metric's sum over its labels; `None`: the node does not answer.
    pub(crate) async fn metric(&self, number: usize, name: &str) -> Option<f64> {
        let answer = self.client.get(url(number, "/metrics")).send().await.ok()?;
        let text = answer.text().await.ok()?;
        let value = |line: &str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        };
        Some(text.lines().filter_map(value).sum())
    }
}

fn url(number: usize, path: &str) -> String {
    format!("http://{}:8080{path}", Place::Node(number).address())
}
