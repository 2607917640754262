//! `[redis]`: the accelerator, which may vanish at any moment.

use std::time::Duration;

use super::reader::Reader;
use super::section::TIME_MS;

/// The accelerator. Its address is refused in this version: everything is in memory.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl RedisConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("redis");
        section.secret_url("url", |_| Some("not in this version".to_owned()));
        Self { timeout: section.duration_ms("timeout_ms", 100, TIME_MS) }
    }
}
