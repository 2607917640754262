//! The measured bot's configuration.

use std::io::Result;
use std::path::Path;

use fake_twitch::FakeTwitch;
use tokio::net::TcpListener;

use super::{CHANNELS_PER_CONNECTION, LOGIN, Setup, TOKEN, channel_login};

/// A limit that does not bind.
const LIFTED: u32 = 1_000_000;
/// `limits.module_idle_secs` of the bot when nothing else is wanted.
const MODULE_IDLE_SECS: u64 = 600;

/// How the bot is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Tls,
    WebSocket,
    /// Over TLS.
    SecureWebSocket,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::WebSocket, Self::SecureWebSocket];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        }
    }

    fn url(self, fake: &FakeTwitch) -> String {
        match self {
            Self::Tcp => fake.irc_url(),
            Self::Tls => fake.ircs_url(),
            Self::WebSocket => fake.ws_url(),
            Self::SecureWebSocket => fake.wss_url(),
        }
    }
}

/// Embedded storage, every limit of the platform lifted, one command.
pub(super) async fn of_bot(
    folder: &Path,
    fake: &FakeTwitch,
    transport: Transport,
    setup: Setup<'_>,
) -> Result<String> {
    let free = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
    let names: Vec<String> =
        (0..setup.n_channels).map(|index| format!("{:?}", channel_login(index))).collect();
    let data = folder.join("data").display().to_string();
    Ok(format!(
        r#"[node]
id = "bench"
data_dir = {data:?}
[storage]
url = "sqlite://{data}/waddlebot.db"
[hub]
listen = "{free}"
[limits]
command_rate = 0
module_idle_secs = {module_idle_secs}
[telemetry]
log = "warn"
[platforms.twitch]
channels = [{names}]
irc_url = "{irc}"
auth_url = "{http}/oauth2"
helix_url = "{http}/helix"
ca_file = {ca_file:?}
client_id = "fake-client-id"
bot_login = "{LOGIN}"
bot_token = "{TOKEN}"
channels_per_connection = {CHANNELS_PER_CONNECTION}
joins_per_10s = {LIFTED}
messages_per_30s = 0
messages_per_30s_moderator = 0
channel_interval_ms = 0
send_queue = 1024
connections_per_second = 1000.0
auth_per_10s = {LIFTED}
[[commands]]
name = "!echo"
response = "$(query)"
cooldown_secs = 0
"#,
        module_idle_secs = setup.module_idle_secs.unwrap_or(MODULE_IDLE_SECS),
        names = names.join(", "),
        irc = transport.url(fake),
        ca_file = fake.ca_file().display().to_string(),
        http = fake.http_url(),
    ))
}
