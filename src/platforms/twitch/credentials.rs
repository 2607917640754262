//! Keeps the bot's token good: checked at the start, each hour and whenever chat refuses it; refreshed when it is not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::Platform;
use ractor::ActorRef;
use secrecy::SecretString;
use storage::bot_accounts::{self, AccountName, Tokens};
use storage::{Db, StorageError, Vault};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::TwitchMsg;
use super::connection::Login;
use super::settings::Settings;
use super::token_api::{self, Application, Refreshed, TokenError, Validated};
use crate::http::HttpClient;
use crate::messages::Clock;

/// Twitch asks for a check each hour.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);
/// When nobody knew whether the token is good.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);
/// The same, while nothing else can go on.
const URGENT_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// What the actor is told of the bot's token.
#[derive(Clone)]
pub enum TokenNews {
    /// Log in with this from now on.
    Use(Login),
    /// The token is good; `trouble` says what it cannot do.
    Good { trouble: Option<String> },
    /// Nobody knows at the moment.
    Unsure(String),
    /// Stop: the sentence says what to do.
    Refused(String),
}

impl std::fmt::Debug for TokenNews {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Use(login) => f.debug_tuple("Use").field(&login.nick).finish(),
            Self::Good { .. } => f.write_str("Good"),
            Self::Unsure(reason) => f.debug_tuple("Unsure").field(reason).finish(),
            Self::Refused(reason) => f.debug_tuple("Refused").field(reason).finish(),
        }
    }
}

/// An access token and what renews it.
#[derive(Clone)]
struct Pair {
    access: SecretString,
    /// `None`: it cannot be renewed.
    refresh: Option<SecretString>,
}

/// What a keeper needs; made by the actor.
pub struct KeeperDeps {
    pub settings: Arc<Settings>,
    pub http: HttpClient,
    pub db: Db,
    pub vault: Vault,
    pub clock: Clock,
    pub actor: ActorRef<TwitchMsg>,
    /// Notified when chat refused the token.
    pub doubt: Arc<Notify>,
}

/// When to look again.
enum Next {
    After(Duration),
    /// The account is stopped.
    Never,
}

/// The task that keeps one account's token good.
pub struct Keeper {
    deps: KeeperDeps,
    /// `None` until a token or the configuration tells it.
    login: Option<String>,
    current: Pair,
    /// What is tried when the current one is refused for good.
    others: VecDeque<Pair>,
}

impl Keeper {
    /// A keeper for the configured token. `None`: there is none, chat is read anonymously.
    pub fn new(deps: KeeperDeps) -> Option<Self> {
        let access = deps.settings.bot_token.clone()?;
        let current = Pair { access, refresh: deps.settings.bot_refresh_token.clone() };
        Some(Self { login: deps.settings.bot_login.clone(), deps, current, others: VecDeque::new() })
    }

    /// Runs until `closed` is cancelled or the account is stopped.
    pub async fn run(mut self, closed: CancellationToken) {
        tokio::select! {
            () = closed.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        self.take_stored().await;
        self.tell_use();
        while let Next::After(pause) = self.check().await {
            tokio::select! {
                () = self.deps.doubt.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A token that was refreshed once is newer than the one in the configuration.
    async fn take_stored(&mut self) {
        let Some(name) = self.account_name() else { return };
        match bot_accounts::get(&self.deps.db, &self.deps.vault, &name).await {
            Ok(Some(account)) => {
                if let Some(access) = account.access_token {
                    let stored = Pair { access, refresh: account.refresh_token };
                    self.others.push_back(std::mem::replace(&mut self.current, stored));
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the bot's stored Twitch token cannot be read; using the configured one");
            }
        }
    }

    fn account_name(&self) -> Option<AccountName> {
        let login = self.login.clone()?;
        Some(AccountName { platform: Platform::Twitch, login, community_id: None })
    }

    fn tell(&self, news: TokenNews) {
        // A platform whose actor is gone needs no token.
        drop(self.deps.actor.cast(TwitchMsg::Token(news)));
    }

    fn tell_use(&self) {
        if let Some(login) = &self.login {
            self.tell(TokenNews::Use(Login {
                nick: login.clone(),
                token: Some(self.current.access.clone()),
            }));
        }
    }

    /// One look at the token, with what follows from it.
    async fn check(&mut self) -> Next {
        loop {
            match token_api::validate(&self.deps.http, &self.deps.settings.auth_url, &self.current.access)
                .await
            {
                Ok(validated) => return self.good(validated),
                Err(TokenError::Unknown(reason)) => return self.unsure(&reason),
                Err(TokenError::Refused(_)) => {}
            }
            match self.refresh().await {
                Ok(()) => self.tell_use(),
                Err(TokenError::Unknown(reason)) => return self.unsure(&reason),
                Err(TokenError::Refused(_)) => match self.others.pop_front() {
                    Some(other) => {
                        self.current = other;
                        self.tell_use();
                    }
                    None => return self.refused(self.refusal()),
                },
            }
        }
    }

    fn good(&mut self, validated: Validated) -> Next {
        match &self.login {
            Some(login) if *login != validated.login => {
                return self.refused(format!(
                    "the Twitch token belongs to `{}`, but bot_login says `{login}`; set one of them right",
                    validated.login
                ));
            }
            Some(_) => {}
            None => {
                self.login = Some(validated.login);
                self.tell_use();
            }
        }
        let lacks = |scope: &str| !validated.scopes.iter().any(|given| given == scope);
        if lacks("chat:read") {
            return self.refused(
                "the Twitch token lacks the scope chat:read; make one with chat:read and chat:edit"
                    .to_owned(),
            );
        }
        let trouble = lacks("chat:edit").then(|| {
            "the Twitch token lacks the scope chat:edit, so the bot cannot answer; make one with it"
                .to_owned()
        });
        self.tell(TokenNews::Good { trouble });
        Next::After(CHECK_INTERVAL)
    }

    fn unsure(&self, reason: &str) -> Next {
        let sentence =
            format!("the Twitch token could not be checked at {}: {reason}", self.deps.settings.auth_url);
        tracing::warn!("{sentence}; going on with it");
        self.tell(TokenNews::Unsure(sentence));
        Next::After(if self.login.is_some() { RETRY_INTERVAL } else { URGENT_RETRY_INTERVAL })
    }

    fn refused(&self, sentence: String) -> Next {
        tracing::error!("{sentence}");
        self.tell(TokenNews::Refused(sentence));
        Next::Never
    }

    /// Why nothing is left to try, and what to do.
    fn refusal(&self) -> String {
        let cure = "make a new token with chat:read and chat:edit and set bot_token";
        if self.current.refresh.is_none() {
            return format!("Twitch refuses the bot's token and no bot_refresh_token is set; {cure}");
        }
        if self.application().is_none() {
            return format!(
                "Twitch refuses the bot's token; set client_id and client_secret to refresh it, or {cure}"
            );
        }
        format!("Twitch refuses the bot's token and the refresh token too; {cure} and bot_refresh_token")
    }

    fn application(&self) -> Option<Application> {
        let client_id = self.deps.settings.client_id.clone()?;
        let client_secret = self.deps.settings.client_secret.clone()?;
        Some(Application { client_id, client_secret })
    }

    async fn refresh(&mut self) -> Result<(), TokenError> {
        let refused = || TokenError::Refused(reqwest::StatusCode::UNAUTHORIZED);
        let application = self.application().ok_or_else(refused)?;
        let refresh_token = self.current.refresh.clone().ok_or_else(refused)?;
        let auth_url = &self.deps.settings.auth_url;
        let result = token_api::refresh(&self.deps.http, auth_url, &application, &refresh_token).await;
        let status = if result.is_ok() { "success" } else { "failure" };
        metrics::counter!(
            "waddlebot_oauth_token_refreshes_total",
            "service" => "waddlebot", "platform" => "twitch", "status" => status
        )
        .increment(1);
        let fresh = result?;
        self.current = Pair {
            access: fresh.access_token.clone(),
            refresh: Some(fresh.refresh_token.clone().unwrap_or(refresh_token)),
        };
        if let Err(error) = self.store(&fresh).await {
            tracing::error!(%error, "the refreshed Twitch token could not be stored; after a restart the old one is tried");
        }
        Ok(())
    }

    async fn store(&self, fresh: &Refreshed) -> Result<(), StorageError> {
        let Some(name) = self.account_name() else { return Ok(()) };
        let now = self.deps.clock.now();
        let tokens = Tokens {
            access_token: self.current.access.clone(),
            refresh_token: self.current.refresh.clone(),
            expires_at: fresh
                .expires_in
                .and_then(TimeDelta::try_seconds)
                .and_then(|left| now.checked_add_signed(left)),
        };
        let mut tx = self.deps.db.begin().await?;
        let id = bot_accounts::ensure(&mut tx, &name, now).await?;
        bot_accounts::set_tokens(&mut tx, &self.deps.vault, id, &tokens, now).await?;
        tx.commit().await
    }
}
