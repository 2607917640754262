//! A thread outside the runtime that notices when the runtime, or one module in it, stands still, or memory is short.
//!
//! A busy loop cannot be interrupted. One poll over a second is an error in the log; over `node.watchdog_ms` the
//! process aborts, and the service manager starts it again. In a cluster the other nodes are told first which module
//! it was; alone, the next start finds it in the file of the poll slots. There it begins with its breaker open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use storage::suspects::Suspicion;

use super::memory;
use crate::cluster::Member;
use crate::telemetry::poll_slots::{PollSlots, Polled, STUCK_AFTER};

/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A look that comes this late means that the whole machine slept: nothing is concluded from it.
const SLEPT_AFTER: Duration = Duration::from_millis(750);
/// The other nodes' time to be told.
const ACCUSE_LIMIT: Duration = Duration::from_millis(300);

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
    /// Tells the other nodes; `None` on one that is alone.
    pub member: Option<Member>,
    /// This process, as suspicions name it.
    pub incarnation: String,
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
                self.polls.looked();
                self.look(now.duration_since(beat_at));
            }
        }
    }

    fn look(&self, silent_for: Duration) {
        let stuck = self.polls.stuck(STUCK_AFTER);
        let longest = stuck.iter().map(|polled| polled.long).max().unwrap_or_default().max(silent_for);
        metrics::gauge!("waddlebot_runtime_stall_seconds").set(if longest >= STUCK_AFTER {
            longest.as_secs_f64()
        } else {
            0.0
        });
        for Polled { channel_id, module, long } in &stuck {
            tracing::error!(channel.id = %channel_id, module.name = module, stuck_ms = long.as_millis(),
                "a module does not yield");
        }
        if let Some(worst) =
            stuck.iter().max_by_key(|polled| polled.long).filter(|p| p.long >= self.abort_after)
        {
            let Polled { channel_id, module, long } = worst;
            let why =
                format!("module {module} in channel {channel_id} did not yield for {} ms", long.as_millis());
            self.accuse(&stuck, &why);
            self.abort(&why);
        }
        if silent_for >= self.abort_after {
            self.abort(&format!("the runtime has stood still for {} ms", silent_for.as_millis()));
        }
    }

    /// Tells the other nodes what stands still, so that none of them falls over the same line. When they cannot be told
    /// in time, the next start on this folder does it.
    fn accuse(&self, stuck: &[Polled], why: &str) {
        let Some(member) = &self.member else { return };
        let suspicion = |polled: &Polled| Suspicion {
            channel_id: polled.channel_id,
            module: polled.module.clone(),
            incarnation: self.incarnation.clone(),
            reason: why.to_owned(),
        };
        if !member.accuse(stuck.iter().map(suspicion).collect(), ACCUSE_LIMIT) {
            tracing::error!("the other nodes could not be told in time");
        }
    }

    fn abort(&self, why: &str) -> ! {
        tracing::error!(
            why,
            limit_ms = self.abort_after.as_millis(),
            "aborting, so that the service manager starts anew"
        );
        self.polls.ends_by_watchdog();
        // The log may be buffered; this line must be seen.
        eprintln!("waddlebot: aborting: {why}");
        std::process::abort()
    }
}
