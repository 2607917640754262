//! `[limits]`: what one channel, user and module may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use super::reader::Reader;
use super::section::{COUNT, COUNT_OR_OFF, TIME_MS, TIME_SECS, TIME_SECS_OR_OFF};

/// The least ceiling: what a node without channels has, and room to work.
const RSS_MIB_MIN: usize = 64;
const MIB: u64 = 1 << 20;
/// Exact windows remember each slot, so their limits stay small.
const PER_MINUTE: RangeInclusive<usize> = 0..=10_000;

/// What one channel, user and module may take.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Lines that may wait for one channel.
    pub channel_mailbox: usize,
    /// An older event causes no reply.
    pub reply_max_age: Duration,
    /// Commands of one user in one window; 0: no limit.
    pub command_rate: usize,
    /// Zero: no limit.
    pub command_rate_window: Duration,
    /// Longest run of a module for one event.
    pub module_timeout: Duration,
    /// A module that saw nothing for so long is put to sleep.
    pub module_idle: Duration,
    /// What the events that wait in all channels may take together.
    pub data_budget_bytes: u64,
    /// What the replies that wait in all senders may take together.
    pub send_budget_bytes: u64,
    /// Calls of the API without the right service key from one address in a minute; 0: no limit.
    pub http_per_ip: usize,
    /// Failed authentications from one address in a minute; 0: no limit.
    pub http_failed_auth_per_ip: usize,
    /// Resident memory that new work is shed before. `None`: derived from the control group's limit, if it has one.
    pub max_rss_bytes: Option<u64>,
    /// `host:port` of services inside that `$(urlfetch …)` may reach; everything else inside is refused.
    pub url_fetch_allow: Vec<String>,
}

impl LimitsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("limits");
        let max_rss = section.optional_count("max_rss_mib", RSS_MIB_MIN..=*COUNT.end());
        Self {
            channel_mailbox: section.count("channel_mailbox", 1_024, COUNT),
            reply_max_age: section.duration_secs("reply_max_age_secs", 60, TIME_SECS),
            command_rate: section.count("command_rate", 60, COUNT_OR_OFF),
            command_rate_window: section.duration_secs("command_rate_window_secs", 60, TIME_SECS_OR_OFF),
            module_timeout: section.duration_ms("module_timeout_ms", 2_000, TIME_MS),
            module_idle: section.duration_secs("module_idle_secs", 600, TIME_SECS),
            data_budget_bytes: section.count("data_budget_mib", 32, COUNT) as u64 * MIB,
            send_budget_bytes: section.count("send_budget_mib", 32, COUNT) as u64 * MIB,
            http_per_ip: section.count("http_per_ip", 600, PER_MINUTE),
            http_failed_auth_per_ip: section.count("http_failed_auth_per_ip", 10, PER_MINUTE),
            max_rss_bytes: max_rss.map(|mib| mib as u64 * MIB),
            url_fetch_allow: section.list("url_fetch_allow", parse_authority).unwrap_or_default(),
        }
    }
}

/// `host:port` in the form in which an address is compared with it.
fn parse_authority(text: &str) -> Result<String, String> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    let url = Url::parse(&format!("http://{text}")).ok().filter(|url| {
        has_port
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    match url.as_ref().map(|url| (url.host(), url.port_or_known_default())) {
        Some((Some(host), Some(port))) => Ok(format!("{host}:{port}")),
        _ => Err("must be hosts with ports, such as \"10.0.0.7:8080\"".to_owned()),
    }
}
