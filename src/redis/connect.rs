//! How one connection is opened.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig};
use fred::types::{ConnectHandle, RespVersion};
use secrecy::ExposeSecret;

use super::{Purpose, RedisError, RedisOptions};

/// Time for opening a connection: address, TCP, TLS, login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Commands that may wait for answers on one connection; more are refused.
const COMMANDS_WAITING_MAX: usize = 10_000;

/// Knows the server; the only one that knows the password.
pub(super) struct Connector {
    config: Config,
    databases: [u8; 3],
}

impl Connector {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisError> {
        let mut config =
            Config::from_url_centralized(options.url.expose_secret()).map_err(RedisError::from)?;
        config.fail_fast = true;
        // Messages of a subscription and answers then share one connection.
        config.version = RespVersion::RESP3;
        Ok(Self { config, databases: options.databases })
    }

    /// A connection that is logged in, and the task that serves it: aborting it closes, its end means that it is lost.
    /// Nothing is tried twice and nothing waits for a better time: both are the caller's decision.
    pub async fn open(&self, purpose: Purpose) -> Result<(Client, ConnectHandle), RedisError> {
        let config = Config { database: Some(self.databases[purpose as usize]), ..self.config.clone() };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: CONNECT_TIMEOUT,
            max_command_attempts: 1,
            max_command_buffer_len: COMMANDS_WAITING_MAX,
            ..ConnectionConfig::default()
        };
        let client = Client::new(config, Some(PerformanceConfig::default()), Some(connection), None);
        let task = client.connect();
        match tokio::time::timeout(CONNECT_TIMEOUT, client.wait_for_connect()).await {
            Ok(Ok(())) => Ok((client, task)),
            Ok(Err(error)) => {
                task.abort();
                Err(error.into())
            }
            Err(_elapsed) => {
                task.abort();
                Err(RedisError::Timeout)
            }
        }
    }
}
