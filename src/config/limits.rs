//! `[limits]`: what one channel, user and module may take.

use std::ops::RangeInclusive;
use std::time::Duration;

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
        }
    }
}
