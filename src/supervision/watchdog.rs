//! A thread outside the runtime that notices when the runtime, or one module in it, stands still, or memory is short.
//!
//! A busy loop cannot be interrupted. One poll over a second is an error in the log; over `node.watchdog_ms` the pair
//! (channel, module) is written to `last-abort` and the process aborts: the service manager starts it again, and that
//! module begins with its breaker open in that channel.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::memory;
use crate::telemetry::poll_slots::PollSlots;

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// From here on a poll is an error in the log.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// A look that comes this late means that the whole machine slept: nothing is concluded from it.
const SLEPT_AFTER: Duration = Duration::from_millis(750);
const LAST_ABORT: &str = "last-abort";

/// What stood still when the last process was aborted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAbort {
    pub channel_key: String,
    pub module: String,
}

impl LastAbort {
    /// Reads and removes the note of the last process. `None` when that one was not aborted by the watchdog.
    pub fn take(data_dir: &Path) -> Option<Self> {
        let path = data_dir.join(LAST_ABORT);
        let text = fs::read_to_string(&path).ok()?;
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, "cannot remove {}", path.display());
        }
        serde_json::from_str(&text).ok()
    }

    fn write(&self, data_dir: &Path) -> std::io::Result<()> {
        fs::write(data_dir.join(LAST_ABORT), serde_json::to_vec(self)?)
    }
}

/// The runtime's sign of life, set by a task of the runtime.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the thread watches.
#[derive(Debug)]
pub struct Watchdog {
    pub polls: Arc<PollSlots>,
    pub pulse: Arc<Pulse>,
    pub abort_after: Duration,
    pub data_dir: PathBuf,
    /// Looked at in the same rhythm, so that a busy runtime cannot hide that memory is short.
    pub memory: memory::Sampler,
}

impl Watchdog {
    /// Starts the thread; it ends with the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> std::io::Result<()> {
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || self.watch()).map(drop)
    }

    fn watch(mut self) {
        let (mut beats, mut beat_at, mut looked_at) = (0, Instant::now(), Instant::now());
        loop {
            thread::park_timeout(LOOK_EVERY);
            self.memory.look();
            let now = Instant::now();
            let slept = now.duration_since(looked_at) > LOOK_EVERY + SLEPT_AFTER;
            looked_at = now;
            let seen = self.pulse.0.load(Ordering::Relaxed);
            if seen != beats || slept {
                (beats, beat_at) = (seen, now);
            }
            if !slept {
                self.look(now.duration_since(beat_at));
            }
        }
    }

    fn look(&self, silent_for: Duration) {
        let stuck = self.polls.stuck(STUCK_AFTER);
        let longest = stuck.iter().map(|(_, long)| *long).max().unwrap_or_default().max(silent_for);
        metrics::gauge!("waddlebot_runtime_stall_seconds").set(if longest >= STUCK_AFTER {
            longest.as_secs_f64()
        } else {
            0.0
        });
        for (slot, long) in &stuck {
            tracing::error!(channel.key = %slot.channel_key, module.name = slot.module, stuck_ms = long.as_millis(),
                "a module does not yield");
        }
        let worst = stuck.iter().max_by_key(|(_, long)| *long).filter(|(_, long)| *long >= self.abort_after);
        if let Some((slot, long)) = worst {
            let note = LastAbort { channel_key: slot.channel_key.clone(), module: slot.module.to_owned() };
            if let Err(error) = note.write(&self.data_dir) {
                tracing::error!(%error, "cannot write the note for the next start");
            }
            self.abort(&format!(
                "module {} in {} did not yield for {} ms",
                slot.module,
                slot.channel_key,
                long.as_millis()
            ));
        }
        if silent_for >= self.abort_after {
            self.abort(&format!("the runtime has stood still for {} ms", silent_for.as_millis()));
        }
    }

    fn abort(&self, why: &str) -> ! {
        tracing::error!(
            why,
            limit_ms = self.abort_after.as_millis(),
            "aborting, so that the service manager starts anew"
        );
        // The log may be buffered; this line must be seen.
        eprintln!("waddlebot: aborting: {why}");
        std::process::abort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_of_an_abort_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let note = LastAbort { channel_key: "twitch:a".to_owned(), module: "spin".to_owned() };
        note.write(folder.path()).unwrap();
        assert_eq!(LastAbort::take(folder.path()), Some(note));
        assert_eq!(LastAbort::take(folder.path()), None);
    }
}
