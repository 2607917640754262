//! `[limits]`: what one channel, user and module may take.

use std::time::Duration;

use super::reader::Reader;
use super::section::{COUNT, COUNT_OR_OFF, TIME_MS, TIME_SECS, TIME_SECS_OR_OFF};

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
}

impl LimitsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("limits");
        if section.optional_count("max_rss_mib", COUNT).is_some() {
            section.refuse_not_yet("max_rss_mib");
        }
        Self {
            channel_mailbox: section.count("channel_mailbox", 1_024, COUNT),
            reply_max_age: section.duration_secs("reply_max_age_secs", 60, TIME_SECS),
            command_rate: section.count("command_rate", 60, COUNT_OR_OFF),
            command_rate_window: section.duration_secs("command_rate_window_secs", 60, TIME_SECS_OR_OFF),
            module_timeout: section.duration_ms("module_timeout_ms", 2_000, TIME_MS),
            module_idle: section.duration_secs("module_idle_secs", 600, TIME_SECS),
        }
    }
}
