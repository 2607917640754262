//! What waits to be written to one connection: a bounded buffer that its writer empties in one go.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::{ChannelId, CorrelationId};
use tokio::sync::Notify;

use crate::cluster::SendGate;
use crate::messages::{EventRecord, Permit, Ticket, What, record};

/// A connection that takes no more than this is too slow; what comes then waits in its channel's queue.
const OUTLET_BYTES_MAX: usize = 64 << 10;
/// How soon it is seen that the gate is open again.
const GATE_POLL: Duration = Duration::from_millis(20);

/// Which reply it is, for the event log.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the names that ids have everywhere")]
pub struct ReplyId {
    pub channel_id: ChannelId,
    pub correlation_id: CorrelationId,
    /// The message that caused it. `None`: no message did.
    pub message_id: Option<String>,
}

impl ReplyId {
    /// What happened to the reply.
    pub fn record(&self, what: What) -> EventRecord {
        EventRecord {
            correlation_id: Some(self.correlation_id),
            message_id: record::text(self.message_id.as_deref().unwrap_or_default()),
            ..EventRecord::about(Some(self.channel_id), what)
        }
    }
}

/// What is owed when the last part of a reply is written.
#[derive(Debug)]
pub struct Receipt {
    /// When the event that is answered was received.
    pub received: Instant,
    /// Comes back to the channel's bound by being dropped. `None` when nothing is answered.
    pub permit: Option<Arc<Permit>>,
    /// The reply's row in the outbox. `None`: it has none.
    pub ticket: Option<Arc<Ticket>>,
    pub reply: ReplyId,
}

impl Receipt {
    /// Hands what is owed to whoever writes the last part.
    pub fn take(&mut self) -> Self {
        let (permit, ticket) = (self.permit.take(), self.ticket.take());
        Self { received: self.received, permit, ticket, reply: self.reply.clone() }
    }
}

/// Lines that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Logins, JOINs, PINGs: they may leave at any time.
    pub protocol: Vec<u8>,
    /// What the bot says: it leaves only while the gate is open.
    pub chat: Vec<u8>,
    /// One for each reply whose last part is among the lines.
    pub receipts: Vec<Receipt>,
}

impl Batch {
    const fn len(&self) -> usize {
        self.protocol.len() + self.chat.len()
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    closed: bool,
    /// Nothing more comes: write what waits, then close.
    finishing: bool,
}

/// The write side of a connection as its senders see it. The connection's task holds the other end.
#[derive(Default)]
pub struct Outlet {
    state: Mutex<State>,
    filled: Notify,
}

impl fmt::Debug for Outlet {
    /// Without the lines: a login stands among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("bytes", &self.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl Outlet {
    /// Whether a reply would be taken now.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        !state.closed && !state.finishing && state.waiting.len() < OUTLET_BYTES_MAX
    }

    /// Appends what `write` writes of chat, complete lines with their line ends. The caller asked [`Outlet::has_room`]
    /// before; on a closed connection the lines are lost, and so the call says `false`.
    pub fn push(&self, receipt: Option<Receipt>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            release(&receipt);
            return false;
        }
        let wake = state.waiting.len() == 0;
        write(&mut state.waiting.chat);
        state.waiting.receipts.extend(receipt);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        true
    }

    /// Appends one line of the protocol.
    pub fn push_line(&self, line: &str) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.waiting.protocol.extend_from_slice(line.as_bytes());
        state.waiting.protocol.extend_from_slice(b"\r\n");
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Waits for lines and takes them, giving `spare`'s memory for the next ones. Chat stays while the gate is shut.
    /// `None`: all is written that will ever come.
    ///
    /// # Cancel safety
    /// Nothing is taken when the future is dropped.
    pub async fn take(&self, spare: &mut Batch, gate: &SendGate) -> Option<()> {
        loop {
            let is_held = {
                let mut state = self.lock();
                let may_speak = gate.is_open();
                let is_held = !may_speak && !state.waiting.chat.is_empty();
                if may_speak && state.waiting.len() > 0 {
                    std::mem::swap(&mut state.waiting, spare);
                    return Some(());
                }
                if !state.waiting.protocol.is_empty() {
                    std::mem::swap(&mut state.waiting.protocol, &mut spare.protocol);
                    return Some(());
                }
                if state.closed || (state.finishing && !is_held) {
                    return None;
                }
                is_held
            };
            if is_held {
                drop(tokio::time::timeout(GATE_POLL, self.filled.notified()).await);
            } else {
                self.filled.notified().await;
            }
        }
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing more is taken; what waits is still written, then the connection closes.
    pub fn finish(&self) {
        self.lock().finishing = true;
        self.filled.notify_one();
    }

    /// The connection is gone; returns the replies that waited and are lost with it.
    pub fn close(&self) -> Vec<Receipt> {
        let mut state = self.lock();
        state.closed = true;
        let lost = std::mem::take(&mut state.waiting);
        drop(state);
        self.filled.notify_one();
        release(&lost.receipts);
        lost.receipts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines never came to the socket: what has a row in the outbox may leave another way.
fn release<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) {
    for ticket in receipts.into_iter().filter_map(|receipt| receipt.ticket.as_ref()) {
        ticket.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_between_two_takes_leaves_together() {
        let outlet = Outlet::default();
        assert!(outlet.push_line("PING :a") && outlet.push_line("PING :b"));
        let mut batch = Batch::default();
        assert!(outlet.take(&mut batch, &SendGate::open()).await.is_some());
        assert_eq!(batch.protocol, b"PING :a\r\nPING :b\r\n");
    }

    #[tokio::test]
    async fn while_the_gate_is_shut_only_the_protocol_passes() {
        let (outlet, gate) = (Outlet::default(), SendGate::shut());
        outlet.push(None, |bytes| bytes.extend_from_slice(b"PRIVMSG #a :b\r\n"));
        outlet.push_line("PONG :c");
        let mut batch = Batch::default();
        assert!(outlet.take(&mut batch, &gate).await.is_some());
        assert_eq!((batch.protocol.as_slice(), batch.chat.as_slice()), (&b"PONG :c\r\n"[..], &b""[..]));
        let mut batch = Batch::default();
        let waits = tokio::time::timeout(GATE_POLL * 3, outlet.take(&mut batch, &gate)).await;
        assert!(waits.is_err(), "{batch:?}");
        gate.hold_until(i64::MAX - 1);
        assert!(outlet.take(&mut batch, &gate).await.is_some());
        assert_eq!(batch.chat, b"PRIVMSG #a :b\r\n");
    }

    #[tokio::test]
    async fn a_finished_outlet_gives_what_waits_and_then_ends() {
        let outlet = Outlet::default();
        outlet.push_line("QUIT");
        outlet.finish();
        assert!(!outlet.has_room());
        let mut batch = Batch::default();
        assert!(outlet.take(&mut batch, &SendGate::open()).await.is_some());
        assert!(outlet.take(&mut Batch::default(), &SendGate::open()).await.is_none());
    }

    #[test]
    fn a_closed_outlet_counts_what_was_lost_and_takes_nothing() {
        let outlet = Outlet::default();
        let reply = ReplyId {
            channel_id: ChannelId(ulid::Ulid::nil()),
            correlation_id: CorrelationId(ulid::Ulid::nil()),
            message_id: None,
        };
        let receipt = Receipt { received: Instant::now(), permit: None, ticket: None, reply };
        outlet.push(Some(receipt), |bytes| bytes.extend_from_slice(b"PRIVMSG #a :b\r\n"));
        assert_eq!(outlet.close().len(), 1);
        assert!(!outlet.push_line("PING") && !outlet.has_room());
    }
}
