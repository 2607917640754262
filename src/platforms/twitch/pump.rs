//! The one task that sends what could not leave at once: it sleeps until the next channel may send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::account::{Account, Handed};
use super::sender::Step;

/// Channels that wait for a time or for a permit of the account.
#[derive(Debug)]
pub struct Pump {
    account: Arc<Account>,
    /// By due time; the number keeps two of the same instant apart.
    delayed: BTreeMap<(Instant, u64), Handed>,
    next_number: u64,
    /// In turn, one line each: without and with moderator state.
    for_permit: [VecDeque<Handed>; 2],
    /// When the account has a permit again; `None`: now.
    permit_at: [Option<Instant>; 2],
}

impl Pump {
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            delayed: BTreeMap::new(),
            next_number: 0,
            for_permit: Default::default(),
            permit_at: [None; 2],
        }
    }

    /// Runs until `closed` is cancelled.
    pub async fn run(mut self, closed: CancellationToken) {
        loop {
            let next = self.turn(Instant::now());
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = closed.cancelled() => return,
                () = self.account.pump_wanted.notified() => {}
                () = due => {}
            }
        }
    }

    /// Sends what may leave now and says when to come back. `None`: when somebody hands a channel over.
    fn turn(&mut self, now: Instant) -> Option<Instant> {
        for handed in self.account.take_handed() {
            self.step(handed, false, now);
        }
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let handed = entry.remove();
            self.step(handed, false, now);
        }
        for moderator in [true, false] {
            self.serve(moderator, now);
        }
        let delayed_at = self.delayed.first_key_value().map(|((at, _), _)| *at);
        self.permit_at.into_iter().flatten().chain(delayed_at).min()
    }

    /// Gives each channel that waits for a permit one line in turn, until the account has none.
    fn serve(&mut self, moderator: bool, now: Instant) {
        let index = usize::from(moderator);
        if self.permit_at[index].is_some_and(|at| at > now) {
            return;
        }
        self.permit_at[index] = None;
        while self.permit_at[index].is_none() {
            let Some(handed) = self.for_permit[index].pop_front() else { break };
            self.step(handed, true, now);
        }
        self.account.queued_for_permit[index].store(self.for_permit[index].len(), Ordering::Relaxed);
    }

    fn step(&mut self, handed: Handed, is_first_in_line: bool, now: Instant) {
        match handed.sender.turn(handed.ticket, is_first_in_line, now) {
            // Either nothing waits, or the channel came in again with another ticket.
            None | Some(Step::Idle) => {}
            // Behind the others: one line each.
            Some(Step::Sent) => self.delay(now, handed),
            Some(Step::At(at)) => self.delay(at, handed),
            Some(Step::NoPermit { moderator, at }) => {
                let index = usize::from(moderator);
                if at > now {
                    self.permit_at[index] = Some(at);
                }
                if is_first_in_line {
                    self.for_permit[index].push_front(handed);
                } else {
                    self.for_permit[index].push_back(handed);
                }
                self.account.queued_for_permit[index].store(self.for_permit[index].len(), Ordering::Relaxed);
            }
        }
    }

    fn delay(&mut self, at: Instant, handed: Handed) {
        self.next_number += 1;
        self.delayed.insert((at, self.next_number), handed);
    }
}
