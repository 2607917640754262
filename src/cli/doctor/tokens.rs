//! Whether Twitch takes the bot's token, and for whom.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::Finding;
use crate::config::{Config, TwitchConfig};

const NAME: &str = "twitch token";

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a bot needs to read and write chat.
const SCOPES: [&str; 2] = ["chat:read", "chat:edit"];

/// A token that ends sooner is refreshed in the next hour, if it can be.
const EXPIRES_SECS_WARN: u64 = 3_600;

/// What `/validate` says of a token.
#[derive(Debug, Deserialize)]
struct Validated {
    #[serde(default)]
    login: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    /// 0 for a token that does not end.
    #[serde(default)]
    expires_in: u64,
}

/// A client that trusts what the node will trust.
pub(super) fn http_client(config: &Config) -> Result<reqwest::Client, Finding> {
    let mut builder = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("waddlebot/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &config.platforms.twitch.ca_file {
        let unusable =
            |why: String| Finding::fail("ca_file", format!("{} cannot be used: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        for certificate in
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?
        {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| Finding::fail("http", format!("no HTTP client: {error}")))
}

/// Asks Twitch about the configured token.
pub(super) async fn look(config: &Config, http: &reqwest::Client) -> Finding {
    let twitch = &config.platforms.twitch;
    let Some(token) = &twitch.bot_token else {
        let message = "none is set: Twitch is read anonymously and the bot cannot answer there; set \
                       platforms.twitch.bot_login and bot_token to talk";
        return if twitch.enabled { Finding::warn(NAME, message) } else { Finding::ok(NAME, message) };
    };
    let request = http
        .get(format!("{}/validate", twitch.auth_url))
        .header("Authorization", format!("OAuth {}", token.expose_secret()));
    let Ok(response) = request.send().await else {
        return Finding::warn(
            NAME,
            "could not be checked, since the login server does not answer; see below",
        );
    };
    match response.status() {
        StatusCode::OK => match response.json::<Validated>().await {
            Ok(validated) => judge(twitch, &validated),
            Err(_) => Finding::warn(NAME, "the login server answered with something that is no validation"),
        },
        StatusCode::UNAUTHORIZED => refused(twitch),
        status => Finding::warn(NAME, format!("the login server answered {status}; try again later")),
    }
}

fn refused(twitch: &TwitchConfig) -> Finding {
    let can_refresh =
        twitch.bot_refresh_token.is_some() && twitch.client_id.is_some() && twitch.client_secret.is_some();
    if can_refresh {
        return Finding::warn(NAME, "Twitch refuses it; the node will refresh it at its start");
    }
    Finding::fail(
        NAME,
        "Twitch refuses it; make a new one for the bot's account and set platforms.twitch.bot_token",
    )
}

fn judge(twitch: &TwitchConfig, validated: &Validated) -> Finding {
    let login = validated.login.as_str();
    if let Some(wanted) = twitch.bot_login.as_deref().filter(|wanted| !wanted.eq_ignore_ascii_case(login)) {
        return Finding::fail(
            NAME,
            format!(
                "it belongs to {login}, not to {wanted}; set bot_login to {login}, or a token of {wanted}"
            ),
        );
    }
    let has = |scope: &str| validated.scopes.iter().flatten().any(|given| given == scope);
    let missing: Vec<&str> = SCOPES.into_iter().filter(|scope| !has(scope)).collect();
    if !missing.is_empty() {
        return Finding::fail(
            NAME,
            format!("it lacks {}; make one with these scopes", missing.join(" and ")),
        );
    }
    let can_refresh = twitch.bot_refresh_token.is_some();
    if (1..EXPIRES_SECS_WARN).contains(&validated.expires_in) && !can_refresh {
        let minutes = validated.expires_in / 60;
        return Finding::warn(
            NAME,
            format!("it ends in {minutes} min; set bot_refresh_token, client_id and client_secret"),
        );
    }
    Finding::ok(NAME, format!("valid for {login}"))
}
