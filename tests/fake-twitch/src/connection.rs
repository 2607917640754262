//! One client: what waits to be written to it, and the faults it is under.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// A buffer that grew above this is given back after it was written.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What a client asked for with CAP REQ.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) tags: AtomicBool,
    pub(crate) commands: AtomicBool,
}

#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    /// Lines that were ever queued.
    n_lines: u64,
    /// Close once everything is written.
    closing: bool,
    /// The socket is gone.
    ended: bool,
}

/// The shared side of one client's connection; its own task holds the socket.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) capabilities: Capabilities,
    outbox: Mutex<Outbox>,
    outbox_bytes_max: usize,
    filled: Notify,
    cut: Notify,
    logged_in: Notify,
    /// Half-open: nothing is read as a command, nothing is written.
    silent: AtomicBool,
    /// The socket is not read.
    stalled: watch::Sender<bool>,
}

impl Connection {
    pub(crate) fn new(id: u64, outbox_bytes_max: usize, silent: bool, stalled: bool) -> Self {
        Self {
            id,
            capabilities: Capabilities::default(),
            outbox: Mutex::default(),
            outbox_bytes_max,
            filled: Notify::new(),
            cut: Notify::new(),
            logged_in: Notify::new(),
            silent: AtomicBool::new(silent),
            stalled: watch::Sender::new(stalled),
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues whole lines; `false`: the client reads too slowly and they were dropped.
    pub(crate) fn push(&self, lines: &[u8]) -> bool {
        if self.is_silent() {
            return true;
        }
        let mut outbox = self.outbox();
        if outbox.closing || outbox.bytes.len() + lines.len() > self.outbox_bytes_max {
            return false;
        }
        let was_empty = outbox.bytes.is_empty();
        outbox.bytes.extend_from_slice(lines);
        outbox.n_lines += memchr::memchr_iter(b'\n', lines).count() as u64;
        drop(outbox);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// Lets `write` put one line at the end of what waits; `false`: it was not asked to, there is no room.
    ///
    /// The bound is the caller's and holds for what waited before, so that one line may go beyond it.
    pub(crate) fn append_line(&self, bytes_max: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.is_silent() {
            return true;
        }
        let mut outbox = self.outbox();
        if outbox.closing || outbox.bytes.len() >= bytes_max {
            return false;
        }
        let was_empty = outbox.bytes.is_empty();
        write(&mut outbox.bytes);
        outbox.n_lines += 1;
        drop(outbox);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// Queues a line that begins with tags, which are left out when the client did not ask for them.
    pub(crate) fn push_tagged(&self, line: &[u8]) -> bool {
        if self.capabilities.tags.load(Relaxed) || line.first() != Some(&b'@') {
            return self.push(line);
        }
        let after_tags = line.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        self.push(&line[after_tags..])
    }

    /// Queues a line of the kinds that only clients with the commands capability see.
    pub(crate) fn push_command(&self, line: &str) {
        if self.capabilities.commands.load(Relaxed) {
            self.push_tagged(line.as_bytes());
        }
    }

    pub(crate) fn outbox_bytes(&self) -> usize {
        self.outbox().bytes.len()
    }

    #[cfg(test)]
    pub(crate) fn outbox_text(&self) -> String {
        String::from_utf8_lossy(&self.outbox().bytes).into_owned()
    }

    /// Lines that were queued since it opened.
    pub(crate) fn n_lines(&self) -> u64 {
        self.outbox().n_lines
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.outbox().ended
    }

    /// Takes no more lines: the socket is gone.
    pub(crate) fn end(&self) {
        let mut outbox = self.outbox();
        outbox.closing = true;
        outbox.ended = true;
        outbox.bytes = Vec::new();
    }

    /// Waits for lines and swaps them into `batch`; `false`: there are none and the connection shall close.
    pub(crate) async fn fill(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        batch.shrink_to(BUFFER_KEPT_BYTES);
        loop {
            {
                let mut outbox = self.outbox();
                if !outbox.bytes.is_empty() {
                    std::mem::swap(&mut outbox.bytes, batch);
                    return true;
                }
                if outbox.closing {
                    return false;
                }
            }
            self.filled.notified().await;
        }
    }

    pub(crate) fn close_after_flush(&self) {
        self.outbox().closing = true;
        self.filled.notify_one();
    }

    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    pub(crate) async fn until_cut(&self) {
        self.cut.notified().await;
    }

    pub(crate) fn mark_logged_in(&self) {
        self.logged_in.notify_one();
    }

    pub(crate) async fn until_logged_in(&self) {
        self.logged_in.notified().await;
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Relaxed);
        if silent {
            self.outbox().bytes.clear();
        }
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Waits while the fake plays a peer that does not read.
    pub(crate) async fn until_readable(&self) {
        let mut stalled = self.stalled.subscribe();
        // The sender lives in `self`, so this cannot fail while somebody waits.
        stalled.wait_for(|stalled| !stalled).await.ok();
    }
}
