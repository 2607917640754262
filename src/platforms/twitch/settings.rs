//! What the platform takes from the configuration, in the units it works with.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::config::Config;

/// Above this budget Twitch counts an account as a known bot, which the pace of a channel does not bind.
const KNOWN_BOT_PER_30S: usize = 7_500;

/// Settings of the Twitch platform; one copy that all its tasks share.
#[derive(Clone, Debug)]
pub struct Settings {
    pub irc_url: Url,
    pub auth_url: String,
    /// More authorities to trust. `None`: those of the system.
    pub ca_file: Option<std::path::PathBuf>,
    /// `None`: not told; a token tells it.
    pub bot_login: Option<String>,
    /// `None`: chat is read anonymously, and nothing is ever said.
    pub bot_token: Option<SecretString>,
    pub bot_refresh_token: Option<SecretString>,
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
    pub channels_per_connection: usize,
    /// 0: no limit, as with the budgets below.
    pub joins_per_10s: usize,
    pub messages_per_30s: usize,
    pub messages_per_30s_moderator: usize,
    /// Zero: none.
    pub channel_interval: Duration,
    pub connections_per_second: f64,
    pub auth_per_10s: usize,
    pub line_bytes_max: usize,
    pub send_queue: usize,
    /// A reply that could not leave for this long is not sent any more.
    pub reply_age_max: Duration,
}

impl Settings {
    /// What so many JOINs take at the account's rate, when nothing else comes between.
    pub fn joining_time(&self, n_channels: usize) -> Duration {
        let (n, rate) = (n_channels as f64, self.joins_per_10s as f64);
        // Without a limit they go at once.
        Duration::from_secs_f64(if self.joins_per_10s == 0 { 0.0 } else { 10.0 * n / rate })
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let twitch = config.platforms.twitch.clone();
        let is_known_bot = twitch.messages_per_30s == 0 || twitch.messages_per_30s > KNOWN_BOT_PER_30S;
        Self {
            irc_url: twitch.irc_url,
            auth_url: twitch.auth_url,
            ca_file: twitch.ca_file,
            bot_login: twitch.bot_login,
            bot_token: twitch.bot_token,
            bot_refresh_token: twitch.bot_refresh_token,
            client_id: twitch.client_id,
            client_secret: twitch.client_secret,
            channels_per_connection: twitch.channels_per_connection.max(1),
            joins_per_10s: twitch.joins_per_10s,
            messages_per_30s: twitch.messages_per_30s,
            messages_per_30s_moderator: twitch.messages_per_30s_moderator,
            channel_interval: if is_known_bot { Duration::ZERO } else { twitch.channel_interval },
            connections_per_second: twitch.connections_per_second,
            auth_per_10s: twitch.auth_per_10s,
            line_bytes_max: twitch.line_bytes_max,
            send_queue: twitch.send_queue.max(1),
            reply_age_max: config.limits.reply_max_age,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_joins_at_twenty_in_ten_seconds_take_forty_minutes() {
        let mut settings = Settings::from(&Config::local(std::iter::empty()).unwrap());
        settings.joins_per_10s = 20;
        assert_eq!(settings.joining_time(5_000), Duration::from_secs(2_500));
        settings.joins_per_10s = 0;
        assert_eq!(settings.joining_time(5_000), Duration::ZERO);
    }
}
