//! Reads how much memory the process has, and tells the lanes when it comes near the ceiling.
//!
//! The ceiling is a setting, or 90 % of the control group's limit, beyond which the kernel kills. It is the second line:
//! the first are the byte budgets of the queues.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;

use anyhow::Context;

use crate::config::LimitsConfig;
use crate::messages::{Memory, Pressure};
use control_group::ControlGroup;

mod control_group;

/// The kernel's word on this process.
const STATUS: &str = "/proc/self/status";
/// The ceiling where only the control group has a limit, in percent of that: the rest is for what is no resident memory
/// of ours (page cache in use, sockets, the kernel's own).
const GROUP_PERCENT: u64 = 90;
const MIB: u64 = 1 << 20;

/// Takes the samples. Its file stays open, since a process short of memory may be short of files too.
#[derive(Debug)]
pub struct Sampler {
    memory: Arc<Memory>,
    /// `None` where the system has no such file; then there is no ceiling either.
    status: Option<File>,
    /// The last sample could not be taken, which was said.
    failed: bool,
}

impl Sampler {
    /// Finds the ceiling and takes a first sample.
    ///
    /// # Errors
    /// When a ceiling is configured but this system does not say what a process has.
    pub fn open(limits: &LimitsConfig) -> anyhow::Result<Self> {
        let mut status = File::open(STATUS);
        let first = status.as_mut().map(sample);
        if !matches!(first, Ok(Ok(_))) {
            if limits.max_rss_bytes.is_some() {
                anyhow::bail!(
                    "limits.max_rss_mib: {STATUS} does not say what this process has in memory; leave it out"
                );
            }
            return Ok(Self { memory: Arc::default(), status: None, failed: false });
        }
        let ceiling = ceiling(limits.max_rss_bytes, ControlGroup::of_this_process().limit_bytes());
        match ceiling {
            Some(bytes) => {
                tracing::info!(ceiling_mib = bytes / MIB, "work is shed before this memory ceiling");
            }
            None => {
                tracing::info!("no memory ceiling: neither limits.max_rss_mib nor a control group sets one");
            }
        }
        let memory = Arc::new(Memory::with_ceiling(ceiling));
        let mut sampler = Self { memory, status: status.ok(), failed: false };
        sampler.look();
        Ok(sampler)
    }

    /// What the lanes read.
    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory)
    }

    /// Takes a sample. When none can be had, the level stays what it was.
    pub fn look(&mut self) {
        let Some(status) = &mut self.status else { return };
        match sample(status) {
            Ok(rss_bytes) => {
                self.failed = false;
                self.note(rss_bytes);
            }
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::error!(%error, "cannot see what this process has in memory; what is shed stays as it is");
            }
            Err(_) => {}
        }
    }

    fn note(&self, rss_bytes: u64) {
        let changed = self.memory.note(rss_bytes);
        let ceiling_bytes = self.memory.ceiling_bytes().unwrap_or(0);
        metrics::gauge!("waddlebot_memory_rss_bytes").set(rss_bytes as f64);
        metrics::gauge!("waddlebot_memory_ceiling_bytes").set(ceiling_bytes as f64);
        metrics::gauge!("waddlebot_memory_pressure").set(f64::from(self.memory.pressure() as u8));
        let (rss_mib, ceiling_mib) = (rss_bytes / MIB, ceiling_bytes / MIB);
        match changed {
            None => {}
            Some((_, Pressure::None)) => {
                tracing::info!(rss_mib, ceiling_mib, "memory is no longer short: all is taken");
            }
            Some((_, Pressure::Chat)) => {
                tracing::warn!(
                    rss_mib,
                    ceiling_mib,
                    "memory is short: plain chat is shed, commands are taken"
                );
            }
            Some((_, Pressure::Commands)) => {
                tracing::warn!(rss_mib, ceiling_mib, "memory is very short: commands are shed too");
            }
        }
    }
}

/// The setting, or what the control group leaves; `None` where neither says anything.
fn ceiling(max_rss_bytes: Option<u64>, group_bytes: Option<u64>) -> Option<u64> {
    max_rss_bytes.or_else(|| Some(group_bytes? / 100 * GROUP_PERCENT))
}

fn sample(status: &mut File) -> anyhow::Result<u64> {
    let mut text = String::new();
    status.rewind()?;
    status.read_to_string(&mut text)?;
    resident_bytes(&text).context("no VmRSS in /proc/self/status")
}

/// `VmRSS:     1234 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_size_is_read_out_of_the_kernels_table() {
        let status = "Name:\twaddlebot\nVmHWM:\t   90000 kB\nVmRSS:\t   80284 kB\nThreads:\t4\n";
        assert_eq!(resident_bytes(status), Some(80_284 * 1024));
        assert_eq!(resident_bytes("Name:\twaddlebot\n"), None);
        assert_eq!(resident_bytes("VmRSS:\tmany kB\n"), None);
    }

    #[test]
    fn a_setting_goes_before_the_control_group_and_without_both_there_is_no_ceiling() {
        assert_eq!(ceiling(Some(100), Some(1_000)), Some(100));
        assert_eq!(ceiling(None, Some(1_000)), Some(900));
        assert_eq!(ceiling(None, None), None);
    }

    #[test]
    fn memory_that_is_taken_is_seen_and_memory_given_back_too() {
        let mut limits = Config::local(std::iter::empty()).unwrap().limits;
        limits.max_rss_bytes = Some(1 << 40);
        let mut sampler = Sampler::open(&limits).unwrap();
        let mut seen = || {
            sampler.look();
            sampler.memory().report().rss_bytes
        };
        let before = seen();
        let taken = vec![1_u8; 256 << 20];
        let with = seen();
        drop(std::hint::black_box(taken));
        let after = seen();
        assert!(before > MIB && with > before + 200 * MIB, "{before} → {with}");
        assert!(after + 200 * MIB < with, "{with} → {after}");
    }
}
