//! The bot's accepted lines, kept for tests, and waiting for them.

use std::collections::VecDeque;
use std::time::Instant;

use crate::server::FakeTwitch;

/// A line of the bot that the fake accepted.
#[derive(Clone, Debug)]
pub struct Received {
    /// Position among all accepted lines, from 0.
    pub seq: u64,
    pub channel_login: String,
    pub login: String,
    pub text: String,
    /// Id of the line it replies to; `None`: a plain line.
    pub reply_parent: Option<String>,
    pub at: Instant,
    pub connection: u64,
}

/// Answers to PINGs that are kept at most, the newest.
const PONGS_MAX: usize = 1_000;

/// A client's answer to one of the fake's PINGs.
#[derive(Clone, Debug)]
pub struct Pong {
    pub payload: String,
    pub at: Instant,
}

/// Keeps an answer; the oldest goes when there are too many.
pub(crate) fn keep_pong(pongs: &mut VecDeque<Pong>, payload: &str) {
    if pongs.len() == PONGS_MAX {
        pongs.pop_front();
    }
    pongs.push_back(Pong { payload: payload.to_owned(), at: Instant::now() });
}

/// The newest accepted lines; the oldest goes when it is full.
#[derive(Debug)]
pub(crate) struct ReceivedRing {
    lines: VecDeque<Received>,
    max: usize,
    next_seq: u64,
}

impl ReceivedRing {
    pub(crate) fn new(max: usize) -> Self {
        Self { lines: VecDeque::new(), max, next_seq: 0 }
    }

    /// Keeps the line that `make` builds for the next position.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> Received) {
        let seq = self.next_seq;
        self.next_seq += 1;
        if self.max == 0 {
            return;
        }
        if self.lines.len() == self.max {
            self.lines.pop_front();
        }
        self.lines.push_back(make(seq));
    }

    fn after(&self, seq: u64) -> impl Iterator<Item = &Received> {
        let first = self.lines.front().map_or(0, |line| line.seq);
        let skipped = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skipped)
    }
}

impl FakeTwitch {
    /// Copies all lines that are kept, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.world().state().received.lines.iter().cloned().collect()
    }

    /// Takes the kept lines out, oldest first.
    pub fn take_received(&self) -> Vec<Received> {
        self.world().state().received.lines.drain(..).collect()
    }

    /// Takes the kept answers to PINGs out, oldest first.
    pub fn take_pongs(&self) -> Vec<Pong> {
        self.world().state().pongs.drain(..).collect()
    }

    /// The position that the next accepted line will have: give it to `wait_reply_from` to look at later lines only.
    pub fn next_seq(&self) -> u64 {
        self.world().state().received.next_seq
    }

    /// Waits for the first kept line that `wanted` accepts, whenever it came; `None`: none until the deadline.
    ///
    /// # Cancel safety
    /// Nothing is taken out, so nothing is lost.
    pub async fn wait_reply(
        &self,
        wanted: impl Fn(&Received) -> bool,
        deadline: Instant,
    ) -> Option<Received> {
        self.wait_reply_from(0, wanted, deadline).await
    }

    /// As `wait_reply`, but looks only at lines from position `seq` on.
    pub async fn wait_reply_from(
        &self,
        mut seq: u64,
        wanted: impl Fn(&Received) -> bool,
        deadline: Instant,
    ) -> Option<Received> {
        let mut found = None;
        let search = |fake: &Self| {
            let state = fake.world().state();
            found = state.received.after(seq).find(|line| wanted(line)).cloned();
            seq = state.received.next_seq;
            found.is_some()
        };
        self.wait_until(search, deadline).await;
        found
    }

    /// Waits until `reached` holds, asking again after each change; `false`: not until the deadline.
    pub async fn wait_until(&self, mut reached: impl FnMut(&Self) -> bool, deadline: Instant) -> bool {
        let mut changes = self.world().changes();
        loop {
            changes.mark_unchanged();
            if reached(self) {
                return true;
            }
            if tokio::time::timeout_at(deadline.into(), changes.changed()).await.is_err() {
                return reached(self);
            }
        }
    }
}
