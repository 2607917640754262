//! The bounded data lane of one channel.
//!
//! ractor's mailboxes are unbounded, so chat never travels through them. Whoever brings an event puts it here, under
//! a bound per channel and one byte budget for the node, and wakes the channel when the lane goes from empty to filled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Delivery, EventClass};

/// How many moderation and control events may wait beyond the channel's bound.
pub const URGENT_BEYOND_BOUND_MAX: usize = 256;
/// Plain chat is shed above this share of the bound, in percent.
pub const CHAT_SHED_PERCENT: usize = 75;

/// What became of an offered event.
#[derive(Debug)]
pub enum Offer {
    /// Taken; `wake` is true when the lane was empty and its channel must be woken.
    Queued { wake: bool },
    /// Dropped; the reason is the label of `messages_dropped_total`.
    Shed { reason: &'static str, delivery: Box<Delivery> },
    /// Moderation or control that found no room: the caller holds it and reads its connection no further.
    Full(Box<Delivery>),
}

/// Why events are shed, as `messages_dropped_total` has it.
const CHANNEL_FULL: &str = "channel_full";
const NODE_BUDGET: &str = "node_budget";

const fn is_urgent(class: EventClass) -> bool {
    matches!(class, EventClass::Moderation | EventClass::Control)
}

/// A budget of bytes that all queues of one kind share.
#[derive(Debug)]
pub struct ByteBudget {
    used: AtomicU64,
    limit: u64,
}

impl ByteBudget {
    pub const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    /// Takes `bytes`, or nothing when that would pass the limit.
    pub fn try_take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limit {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.used() >= self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub const fn limit(&self) -> u64 {
        self.limit
    }
}

/// An event's place in its channel's bound and in the byte budget; both come back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    in_flight: Arc<AtomicUsize>,
    budget: Arc<ByteBudget>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.budget.give_back(self.bytes);
    }
}

/// The queue of one channel. Outlives the channel's actor, so a restart loses nothing that waits here.
#[derive(Debug)]
pub struct Lane {
    queue: Mutex<VecDeque<Delivery>>,
    in_flight: Arc<AtomicUsize>,
    budget: Arc<ByteBudget>,
    bound: usize,
}

impl Lane {
    /// A lane for at most `bound` events that are waiting or under way.
    pub fn new(bound: usize, budget: Arc<ByteBudget>) -> Self {
        Self { queue: Mutex::new(VecDeque::new()), in_flight: Arc::new(AtomicUsize::new(0)), budget, bound }
    }

    fn limit(&self, class: EventClass) -> usize {
        match class {
            EventClass::Chat => self.bound * CHAT_SHED_PERCENT / 100,
            EventClass::Command => self.bound,
            EventClass::Moderation | EventClass::Control => self.bound + URGENT_BEYOND_BOUND_MAX,
        }
    }

    /// Why an event of that class would be shed now. Moderation and control are never shed.
    pub fn sheds(&self, class: EventClass) -> Option<&'static str> {
        if is_urgent(class) {
            None
        } else if self.in_flight() >= self.limit(class) {
            Some(CHANNEL_FULL)
        } else {
            self.budget.is_spent().then_some(NODE_BUDGET)
        }
    }

    /// Puts an event at the end, or says why not.
    pub fn offer(&self, mut delivery: Delivery, class: EventClass) -> Offer {
        let urgent = is_urgent(class);
        if self.in_flight.fetch_add(1, Ordering::AcqRel) >= self.limit(class) {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            return if urgent {
                Offer::Full(Box::new(delivery))
            } else {
                Offer::Shed { reason: CHANNEL_FULL, delivery: Box::new(delivery) }
            };
        }
        let bytes = delivery.bytes();
        let taken = self.budget.try_take(bytes);
        if !taken && !urgent {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            return Offer::Shed { reason: NODE_BUDGET, delivery: Box::new(delivery) };
        }
        delivery.permit = Some(Permit {
            in_flight: Arc::clone(&self.in_flight),
            budget: Arc::clone(&self.budget),
            // What is urgent passes a spent budget without taking from it, and gives nothing back.
            bytes: if taken { bytes } else { 0 },
        });
        let mut queue = self.lock();
        let wake = queue.is_empty();
        queue.push_back(delivery);
        Offer::Queued { wake }
    }

    /// Takes up to `max` events, oldest first; the flag says whether some are left.
    pub fn take(&self, max: usize) -> (VecDeque<Delivery>, bool) {
        let mut queue = self.lock();
        if queue.len() <= max {
            // The memory goes with the batch: a channel that is silent keeps none.
            return (std::mem::take(&mut *queue), false);
        }
        (queue.drain(..max).collect(), true)
    }

    /// Events that wait here or are under way to their reply.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
