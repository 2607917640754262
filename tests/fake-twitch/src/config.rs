//! What the fake enforces, who may log in, and which faults it plays.

use std::net::Ipv4Addr;
use std::time::Duration;

/// A limit of this size or above is not enforced and costs no memory.
pub const LIMIT_OFF: u32 = 1_000_000;

/// An account that may log in.
#[derive(Clone, Debug)]
pub struct Account {
    pub login: String,
    pub user_id: String,
    /// Access token, without `oauth:`.
    pub token: String,
    pub refresh_token: String,
}

impl Account {
    /// Makes an account whose user id and refresh token follow from its login and token.
    pub fn new(login: &str, token: &str) -> Self {
        Self {
            login: login.to_owned(),
            user_id: crate::world::room_id(login),
            token: token.to_owned(),
            refresh_token: format!("refresh-{login}"),
        }
    }
}

/// Somebody who says something in a channel.
#[derive(Clone, Debug)]
pub struct Chatter {
    pub login: String,
    pub display_name: String,
    pub user_id: String,
    /// As on the wire, e.g. `moderator/1,subscriber/12`.
    pub badges: String,
}

impl Chatter {
    /// Makes a viewer without badges.
    pub fn viewer(login: &str) -> Self {
        Self {
            login: login.to_lowercase(),
            display_name: login.to_owned(),
            user_id: crate::world::room_id(&login.to_lowercase()),
            badges: String::new(),
        }
    }

    /// Makes a viewer with these badges, e.g. `moderator/1`, `vip/1`, `broadcaster/1`.
    pub fn with_badges(login: &str, badges: &str) -> Self {
        Self { badges: badges.to_owned(), ..Self::viewer(login) }
    }
}

/// What somebody streams, or streamed last.
#[derive(Clone, Debug, Default)]
pub struct Show {
    pub game: String,
    pub title: String,
    /// `None`: not live.
    pub viewers: Option<u64>,
}

/// Everything that can be set before the start. The default is Twitch's figures for a normal account.
#[derive(Clone, Debug)]
pub struct FakeConfig {
    /// Where all its ports are. Beyond loopback only in a network of one's own.
    pub address: Ipv4Addr,
    pub irc_port: u16,
    pub ircs_port: u16,
    pub ws_port: u16,
    pub wss_port: u16,
    pub http_port: u16,
    pub joins_per_10s: u32,
    pub auths_per_10s: u32,
    pub messages_per_30s: u32,
    pub messages_per_30s_moderator: u32,
    /// Shortest time between two lines of a non-moderator in one channel; `None`: not enforced.
    pub channel_interval: Option<Duration>,
    /// How long the same text counts as a duplicate in its channel; zero: not enforced.
    pub duplicate_window: Duration,
    /// How much jitter of loopback and scheduler is forgiven in each window.
    pub tolerance: Duration,
    pub accounts: Vec<Account>,
    /// Channels in which every account is a moderator.
    pub moderator_in: Vec<String>,
    /// Every account is a moderator everywhere.
    pub moderator_everywhere: bool,
    /// Closes each connection this long after its login, as a fault; `None`: never.
    pub cut_every: Option<Duration>,
    /// How often the fake sends PING; `None`: never.
    pub ping_every: Option<Duration>,
    pub client_id: String,
    /// `None`: any secret is accepted by `/token`.
    pub client_secret: Option<String>,
    /// Logins that `/users` does not know.
    pub missing_users: Vec<String>,
    /// How many of the bot's accepted lines are kept for `received()`; 0 keeps none.
    pub received_max: usize,
    /// Bytes waiting for one connection above which further lines are dropped and counted.
    pub outbox_bytes_max: usize,
    /// Bytes waiting for one connection above which a `Feed` takes no more lines: smaller than the bound for the rest,
    /// so that what the fake answers still gets out beside a flood.
    pub feed_bytes_max: usize,
    /// Size of the sockets' send buffers; `None`: the system's.
    pub send_buffer_bytes: Option<u32>,
    /// Size of the sockets' receive buffers, so that a stall is felt early; `None`: the system's.
    pub receive_buffer_bytes: Option<u32>,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            irc_port: 0,
            ircs_port: 0,
            ws_port: 0,
            wss_port: 0,
            http_port: 0,
            joins_per_10s: 20,
            auths_per_10s: 20,
            messages_per_30s: 20,
            messages_per_30s_moderator: 100,
            channel_interval: Some(Duration::from_secs(1)),
            duplicate_window: Duration::from_secs(30),
            tolerance: Duration::from_millis(250),
            accounts: vec![Account::new("waddlebot", "token")],
            moderator_in: Vec::new(),
            moderator_everywhere: false,
            cut_every: None,
            ping_every: Some(Duration::from_mins(5)),
            client_id: "fake-client-id".to_owned(),
            client_secret: None,
            missing_users: Vec::new(),
            received_max: 1_000_000,
            outbox_bytes_max: 64 << 20,
            feed_bytes_max: 64 << 20,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
        }
    }
}

impl FakeConfig {
    /// Lifts every limit, for load tests.
    #[must_use]
    pub fn without_limits(self) -> Self {
        Self {
            joins_per_10s: LIMIT_OFF,
            auths_per_10s: LIMIT_OFF,
            messages_per_30s: LIMIT_OFF,
            messages_per_30s_moderator: LIMIT_OFF,
            channel_interval: None,
            duplicate_window: Duration::ZERO,
            ..self
        }
    }

    /// Whether lines of clients are counted against an account's limits.
    pub(crate) fn limits_sends(&self) -> bool {
        self.messages_per_30s < LIMIT_OFF || self.messages_per_30s_moderator < LIMIT_OFF
    }

    /// Whether a line is compared with the one before it in its channel.
    pub(crate) fn compares_sends(&self) -> bool {
        self.channel_interval.is_some() || !self.duplicate_window.is_zero()
    }
}
