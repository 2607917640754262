//! `[platforms.twitch]`: addresses, account and budgets.

use std::path::PathBuf;
use std::time::Duration;

use domain::{ChannelKey, Platform};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::platforms::read_channels;
use super::reader::Reader;
use super::section::{COUNT, COUNT_OR_OFF, Section, TIME_MS_OR_OFF};

/// What Twitch's own tools put before a token; the wire wants it once, so it is kept without.
const TOKEN_PREFIX: &str = "oauth:";

/// Shortest permitted `line_bytes_max`: the tags alone may take 8 KiB, the rest of a line 512 bytes.
const LINE_BYTES_MIN: usize = 512;

/// Addresses, account and budgets of Twitch. The budgets are the account's, not the process's.
#[derive(Clone, Debug)]
pub struct TwitchConfig {
    /// On by default when there is a channel.
    pub enabled: bool,
    pub channels: Vec<ChannelKey>,
    /// `wss`, `ircs` (TLS), `ws` or `irc` (plain TCP).
    pub irc_url: Url,
    /// Without a slash at the end.
    pub helix_url: String,
    /// Without a slash at the end; `/validate` and `/token` are below it.
    pub auth_url: String,
    pub eventsub_url: Url,
    /// Lower case. `None`: not told.
    pub bot_login: Option<String>,
    /// Without `oauth:`. `None`: chat is read anonymously.
    pub bot_token: Option<SecretString>,
    /// `None`: an expired token stops the account.
    pub bot_refresh_token: Option<SecretString>,
    /// The application; with `client_secret` it can refresh tokens.
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
    /// What Twitch signs its webhooks with.
    pub eventsub_secret: Option<SecretString>,
    /// More authorities to trust, in PEM. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    pub channels_per_connection: usize,
    /// 0: no limit.
    pub joins_per_10s: usize,
    /// 0: no limit.
    pub messages_per_30s: usize,
    /// Where the bot is moderator, VIP or owner; 0: no limit.
    pub messages_per_30s_moderator: usize,
    /// Least distance of two messages in one channel, not for moderators; zero: none.
    pub channel_interval: Duration,
    /// New sockets; 0: no limit.
    pub connections_per_second: f64,
    /// Logins; 0: no limit.
    pub auth_per_10s: usize,
    pub line_bytes_max: usize,
    /// Replies that may wait for one channel.
    pub send_queue: usize,
}

impl TwitchConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("platforms.twitch");
        let channels = read_channels(&mut section, Platform::Twitch);
        section.first_of("ingest", &["irc", "eventsub", "conduit"]);
        section.first_of("send", &["irc", "helix"]);
        let twitch = Self {
            enabled: section.flag("enabled", !channels.is_empty()),
            channels,
            irc_url: socket(&mut section, "irc_url", &["wss", "ircs", "ws", "irc"], IRC_URL),
            helix_url: section.http_base("helix_url").unwrap_or_else(|| HELIX_URL.to_owned()),
            auth_url: section.http_base("auth_url").unwrap_or_else(|| AUTH_URL.to_owned()),
            eventsub_url: socket(&mut section, "eventsub_url", &["wss", "ws"], EVENTSUB_URL),
            bot_login: section.parsed("bot_login", parse_login),
            bot_token: section.checked_secret("bot_token", token_problem).map(|token| bare_token(&token)),
            bot_refresh_token: section.checked_secret("bot_refresh_token", token_problem),
            client_id: section.text("client_id"),
            client_secret: section.checked_secret("client_secret", token_problem),
            eventsub_secret: section.checked_secret("eventsub_secret", eventsub_secret_problem),
            ca_file: section.existing_file("ca_file"),
            channels_per_connection: section.count("channels_per_connection", 90, COUNT),
            joins_per_10s: section.count("joins_per_10s", 20, COUNT_OR_OFF),
            messages_per_30s: section.count("messages_per_30s", 20, COUNT_OR_OFF),
            messages_per_30s_moderator: section.count("messages_per_30s_moderator", 100, COUNT_OR_OFF),
            channel_interval: section.duration_ms("channel_interval_ms", 1_000, TIME_MS_OR_OFF),
            connections_per_second: section.number("connections_per_second", 0.5, 0.0..=1e9),
            auth_per_10s: section.count("auth_per_10s", 20, COUNT_OR_OFF),
            line_bytes_max: section.count("line_bytes_max", 16_384, LINE_BYTES_MIN..=*COUNT.end()),
            send_queue: section.count("send_queue", 64, COUNT),
        };
        twitch.warn_of_plain_text(&mut section);
        twitch
    }

    fn warn_of_plain_text(&self, section: &mut Section<'_, '_>) {
        let plain = matches!(self.irc_url.scheme(), "ws" | "irc");
        if plain && self.bot_token.is_some() && !is_loopback(&self.irc_url) {
            section.warn("irc_url", "the bot's token travels unencrypted; use wss:// or ircs://");
        }
    }
}

const IRC_URL: &str = "wss://irc-ws.chat.twitch.tv:443";
const HELIX_URL: &str = "https://api.twitch.tv/helix";
const AUTH_URL: &str = "https://id.twitch.tv/oauth2";
const EVENTSUB_URL: &str = "wss://eventsub.wss.twitch.tv/ws";

fn socket(section: &mut Section<'_, '_>, key: &str, schemes: &[&str], default: &str) -> Url {
    let given = section.url(key, schemes);
    given.unwrap_or_else(|| Url::parse(default).expect("the default addresses are URLs"))
}

fn is_loopback(url: &Url) -> bool {
    // The schemes irc and ircs are unknown to the URL standard, which then keeps an IPv4 address as a name.
    let named = |name: &str| {
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match url.host() {
        Some(Host::Domain(name)) => named(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse_login(text: &str) -> Result<String, String> {
    ChannelKey::new(Platform::Twitch, text)
        .map(|key| key.name().to_owned())
        .map_err(|_| "must be the account's login: letters, digits and `_`".to_owned())
}

fn bare_token(token: &SecretString) -> SecretString {
    let token = token.expose_secret();
    SecretString::from(token.strip_prefix(TOKEN_PREFIX).unwrap_or(token))
}

fn token_problem(token: &str) -> Option<String> {
    let bare = token.strip_prefix(TOKEN_PREFIX).unwrap_or(token);
    (bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| "must be printable characters without white space".to_owned())
}

/// Twitch takes secrets of 10 to 100 ASCII characters.
fn eventsub_secret_problem(secret: &str) -> Option<String> {
    let legal = (10..=100).contains(&secret.len()) && secret.is_ascii();
    (!legal).then(|| "must be 10 to 100 ASCII characters".to_owned())
}
