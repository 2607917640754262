//! `[platforms.*]`: the chat platforms.

use domain::{ChannelKey, Platform};

use super::reader::Reader;
use super::section::Section;
use super::twitch::TwitchConfig;

/// Most channels that a file may list for one platform.
const CHANNELS_MAX: usize = 100_000;

/// The chat platforms. Discord, Slack, `YouTube` and Kick are checked, but refused when switched on.
#[derive(Clone, Debug)]
pub struct PlatformsConfig {
    pub twitch: TwitchConfig,
}

impl PlatformsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let twitch = TwitchConfig::read(reader);
        for planned in &PLANNED {
            planned.check(reader);
        }
        Self { twitch }
    }
}

/// A platform of a later version: its keys are checked, so that one file serves both versions.
struct PlannedPlatform {
    platform: Platform,
    section: &'static str,
    http_bases: &'static [&'static str],
    sockets: &'static [&'static str],
    texts: &'static [&'static str],
    secrets: &'static [&'static str],
}

const PLANNED: [PlannedPlatform; 4] = [
    PlannedPlatform {
        platform: Platform::Discord,
        section: "platforms.discord",
        http_bases: &["api_url"],
        sockets: &["gateway_url"],
        texts: &["application_id", "public_key"],
        secrets: &["bot_token"],
    },
    PlannedPlatform {
        platform: Platform::Slack,
        section: "platforms.slack",
        http_bases: &["api_url"],
        sockets: &[],
        texts: &["client_id"],
        secrets: &["bot_token", "app_token", "client_secret", "signing_secret"],
    },
    PlannedPlatform {
        platform: Platform::YouTube,
        section: "platforms.youtube",
        http_bases: &["api_url", "auth_url"],
        sockets: &[],
        texts: &["client_id"],
        secrets: &["bot_refresh_token", "client_secret"],
    },
    PlannedPlatform {
        platform: Platform::Kick,
        section: "platforms.kick",
        http_bases: &["api_url", "auth_url"],
        sockets: &[],
        texts: &["client_id"],
        secrets: &["bot_refresh_token", "client_secret"],
    },
];

impl PlannedPlatform {
    fn check(&self, reader: &mut Reader<'_>) {
        let mut section = reader.section(self.section);
        let n_channels = read_channels(&mut section, self.platform).len();
        for key in self.http_bases {
            section.http_base(key);
        }
        for key in self.sockets {
            section.url(key, &["wss", "ws"]);
        }
        for key in self.texts {
            section.text(key);
        }
        for key in self.secrets {
            section.secret(key);
        }
        if section.flag("enabled", n_channels > 0) {
            section.refuse_not_yet(if section.has("enabled") { "enabled" } else { "channels" });
        }
    }
}

/// Channels by name, each once, in the order of the file.
pub(super) fn read_channels(section: &mut Section<'_, '_>, platform: Platform) -> Vec<ChannelKey> {
    let parse = |name: &str| {
        ChannelKey::new(platform, name)
            .map_err(|_| "must hold channel names of 1 to 100 letters, digits, `_`, `-` or `.`".to_owned())
    };
    let mut channels = section.list("channels", parse).unwrap_or_default();
    if channels.len() > CHANNELS_MAX {
        section.refuse("channels", format!("must hold at most {CHANNELS_MAX} channels"));
    }
    let mut seen = std::collections::HashSet::new();
    channels.retain(|channel| seen.insert(channel.clone()));
    channels
}
