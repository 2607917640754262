//! What became of replies that belong to an effect: their rows in the storage follow what is noted here.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::outbox::Ended;
use ulid::Ulid;

/// Ends that wait for the storage at most. What is beyond keeps its row and is counted as unknown by the next process.
const ENDED_MAX: usize = 100_000;

/// How a reply is kept from leaving twice.
#[derive(Clone, Debug, Default)]
pub enum Once {
    /// By what caused it, whose id is seen once: a reply without an effect needs no row.
    #[default]
    Stateless,
    /// By its row in the outbox, which this process holds.
    Held(Arc<Ticket>),
    /// It answers a repeat, and the first answer is on its way or written: only a caller who waits gets it again.
    Repeated,
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stateless, Self::Stateless) | (Self::Repeated, Self::Repeated) => true,
            (Self::Held(one), Self::Held(other)) => one.id == other.id,
            _ => false,
        }
    }
}

/// The ends that the storage has not heard of yet. Whoever sends replies writes, the node's outbox reads.
#[derive(Debug, Default)]
pub struct Ends {
    ended: Mutex<Ended>,
}

impl Ends {
    /// The ticket of a reply that is about to be stored under `id`.
    pub fn ticket(self: &Arc<Self>, id: Ulid) -> Arc<Ticket> {
        Arc::new(Ticket { id, fate: AtomicU8::new(Fate::Released as u8), ends: Arc::clone(self) })
    }

    /// Takes what ended since the last call; what is not settled comes back.
    pub fn take(&self) -> TakenEnds<'_> {
        TakenEnds { ended: std::mem::take(&mut *self.lock()), ends: self }
    }

    fn note(&self, id: Ulid, fate: u8) {
        let mut ended = self.lock();
        if ended.over.len() + ended.released.len() >= ENDED_MAX {
            metrics::counter!("waddlebot_outbox_ends_dropped_total").increment(1);
        } else if fate == Fate::Released as u8 {
            ended.released.push(id);
        } else {
            ended.over.push(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends on their way into the storage: dropped before they are settled, they are noted again.
#[derive(Debug)]
pub struct TakenEnds<'a> {
    ended: Ended,
    ends: &'a Ends,
}

impl TakenEnds<'_> {
    pub const fn ended(&self) -> &Ended {
        &self.ended
    }

    pub const fn is_empty(&self) -> bool {
        self.ended.over.is_empty() && self.ended.released.is_empty()
    }

    /// Says that the storage has them.
    pub fn settled(mut self) {
        self.ended = Ended::default();
    }
}

impl Drop for TakenEnds<'_> {
    fn drop(&mut self) {
        let Ended { over, released } = std::mem::take(&mut self.ended);
        if !(over.is_empty() && released.is_empty()) {
            let mut all = self.ends.lock();
            all.over.extend(over);
            all.released.extend(released);
        }
    }
}

/// What is known of a reply when nobody holds it any more.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fate {
    /// Certainly not sent; whoever owns the channel may send it. So a reply begins: a call may end before anybody took it.
    Released,
    /// Taken by who sends, and dropped on purpose: too old, no room, nobody there.
    GivenUp,
    /// A part was handed to the platform, and nobody said that all of it arrived.
    Unknown,
    Written,
}

/// Held by whoever has the reply in hands. The last one to let go tells the outbox how it ended.
pub struct Ticket {
    id: Ulid,
    fate: AtomicU8,
    ends: Arc<Ends>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Ticket {
    /// Says that somebody has it who sends it or gives it up.
    pub fn taken(&self) {
        let (from, to) = (Fate::Released as u8, Fate::GivenUp as u8);
        // Not exchanged: it is further already.
        _ = self.fate.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Says that a part goes to the platform now: unless [`Ticket::written`] follows, nobody knows.
    pub fn begun(&self) {
        self.set(Fate::Unknown);
    }

    /// Says that the platform took all of it.
    pub fn written(&self) {
        self.set(Fate::Written);
    }

    /// Says that it was not sent and should be. Without effect once a part went to the platform.
    pub fn release(&self) {
        let (from, to) = (Fate::GivenUp as u8, Fate::Released as u8);
        // Not exchanged: it began, which stands.
        _ = self.fate.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    fn set(&self, fate: Fate) {
        self.fate.store(fate as u8, Ordering::Release);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let fate = *self.fate.get_mut();
        if fate == Fate::Unknown as u8 {
            metrics::counter!("waddlebot_reply_unknown_total").increment(1);
        }
        self.ends.note(self.id, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(deeds: impl FnOnce(&Ticket)) -> (usize, usize) {
        let ends = Arc::new(Ends::default());
        deeds(&ends.ticket(Ulid::new()));
        let taken = ends.take();
        (taken.ended().over.len(), taken.ended().released.len())
    }

    #[test]
    fn what_the_storage_did_not_take_is_noted_again() {
        let ends = Arc::new(Ends::default());
        drop(ends.ticket(Ulid::new()));
        drop(ends.take());
        let taken = ends.take();
        assert_eq!(taken.ended().released.len(), 1);
        taken.settled();
        assert!(ends.take().is_empty());
    }

    #[test]
    fn only_what_certainly_did_not_leave_is_free_again() {
        assert_eq!(end_of(|_| ()), (0, 1));
        assert_eq!(end_of(Ticket::taken), (1, 0));
        assert_eq!(end_of(Ticket::written), (1, 0));
        let taken_and_released = |ticket: &Ticket| {
            ticket.taken();
            ticket.release();
        };
        assert_eq!(end_of(taken_and_released), (0, 1));
        let begun_and_lost = |ticket: &Ticket| {
            ticket.begun();
            ticket.release();
        };
        assert_eq!(end_of(begun_and_lost), (1, 0));
    }
}
