//! The load: tagged chat lines of which each twentieth is a command, and the check of every reply.

use std::collections::HashMap;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeTwitch, Line};

use crate::subject::channel_login;

/// 5 % of the lines are commands.
const LINES_PER_COMMAND: u64 = 20;
/// Commands in flight in the closed loop: one channel's lines stay below its mailbox and send queue.
const WINDOW_ONE_CHANNEL: usize = 25;
const WINDOW: usize = 200;
const N_CHATTERS: usize = 1000;
/// How long replies are awaited after the last line.
const STRAGGLERS: Duration = Duration::from_secs(10);
const TEXT: &str = "an ordinary sentence, about as long as people type it";

/// How the replies matched the commands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Answered in another channel.
    pub(crate) misrouted: u64,
    /// Answered after a later command of the same channel.
    pub(crate) disordered: u64,
}

impl Tally {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            answered: self.answered + other.answered,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            misrouted: self.misrouted + other.misrouted,
            disordered: self.disordered + other.disordered,
        }
    }
}

/// What one load showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) n_lines: u64,
    /// From the first line to the last reply.
    pub(crate) wall: Duration,
    /// From the due time of each command to its reply, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// How late the load itself was with each command, sorted.
    pub(crate) lags: Vec<Duration>,
    pub(crate) tally: Tally,
}

/// A command without a reply so far.
struct Pending {
    channel: usize,
    due: Instant,
}

/// The generator; sequence numbers go on over several loads of one process.
pub(crate) struct Load<'a> {
    fake: &'a FakeTwitch,
    channels: Vec<String>,
    chatters: Vec<Chatter>,
    line: Line,
    random: u64,
    next_command: u64,
    pending: HashMap<u64, Pending>,
    /// The latest command answered in each channel.
    latest: Vec<u64>,
    loaded: Loaded,
    last_reply_at: Instant,
}

impl<'a> Load<'a> {
    pub(crate) fn new(fake: &'a FakeTwitch, n_channels: usize) -> Self {
        let chatters: Vec<_> = (0..N_CHATTERS)
            .map(|index| Chatter::with_badges(&format!("viewer_number_{index}"), "subscriber/12,premium/1"))
            .collect();
        Self {
            fake,
            channels: (0..n_channels).map(channel_login).collect(),
            line: Line::new("", chatters[0].clone(), ""),
            chatters,
            random: 0x9E37_79B9_7F4A_7C15,
            next_command: 1,
            pending: HashMap::new(),
            latest: vec![0; n_channels],
            loaded: Loaded::default(),
            last_reply_at: Instant::now(),
        }
    }

    pub(crate) fn n_channels(&self) -> usize {
        self.channels.len()
    }

    /// Says one command in the first channel and waits for its reply.
    pub(crate) async fn first_reply(&mut self, timeout: Duration) -> Result<Instant> {
        let deadline = Instant::now() + timeout;
        self.say_command(0, Instant::now());
        while !self.pending.is_empty() {
            self.next_replies(deadline).await;
            if Instant::now() >= deadline {
                return Err(Error::other("no reply to the first command"));
            }
        }
        Ok(self.last_reply_at)
    }

    /// Says one command in each channel, a window of them at a time, and waits for the replies.
    pub(crate) async fn command_in_each(&mut self) -> Loaded {
        let started = self.begin();
        for channel in 0..self.channels.len() {
            let deadline = Instant::now() + STRAGGLERS;
            while self.pending.len() >= WINDOW && Instant::now() < deadline {
                self.next_replies(deadline).await;
            }
            self.say_command(channel, Instant::now());
            self.loaded.n_lines += 1;
        }
        self.finish(started).await
    }

    /// Closed loop: as many commands in flight as the window allows, with their plain lines between them.
    pub(crate) async fn saturate(&mut self, length: Duration) -> Loaded {
        let window = if self.channels.len() == 1 { WINDOW_ONE_CHANNEL } else { WINDOW };
        let started = self.begin();
        let end = started + length;
        while Instant::now() < end {
            while self.pending.len() < window {
                for _ in 0..LINES_PER_COMMAND {
                    self.say_next(Instant::now());
                }
            }
            self.next_replies(end).await;
        }
        self.finish(started).await
    }

    /// Open loop: each line has its time, whatever became of those before it.
    pub(crate) async fn pace(&mut self, lines_per_second: f64, length: Duration) -> Loaded {
        let interval_ns = nanos(Duration::from_secs_f64(lines_per_second.recip())).max(1);
        let n_lines = nanos(length) / interval_ns;
        let started = self.begin();
        while self.loaded.n_lines < n_lines {
            let due_lines = nanos(started.elapsed()) / interval_ns;
            while self.loaded.n_lines < due_lines.min(n_lines) {
                self.say_next(started + Duration::from_nanos(self.loaded.n_lines * interval_ns));
            }
            // The core is the load's own: spinning keeps the pace finer than a timer's millisecond.
            tokio::task::yield_now().await;
            self.collect();
        }
        self.finish(started).await
    }

    fn begin(&mut self) -> Instant {
        self.collect();
        self.pending.clear();
        self.loaded = Loaded::default();
        self.last_reply_at = Instant::now();
        self.last_reply_at
    }

    async fn finish(&mut self, started: Instant) -> Loaded {
        let deadline = Instant::now() + STRAGGLERS;
        while !self.pending.is_empty() && Instant::now() < deadline {
            self.next_replies(deadline).await;
        }
        let mut loaded = std::mem::take(&mut self.loaded);
        loaded.tally.lost = self.pending.len() as u64;
        loaded.wall = self.last_reply_at - started;
        loaded.latencies.sort_unstable();
        loaded.lags.sort_unstable();
        loaded
    }

    async fn next_replies(&mut self, deadline: Instant) {
        let seen = self.fake.next_seq();
        self.collect();
        if !self.pending.is_empty() {
            self.fake.wait_until(|fake| fake.next_seq() > seen, deadline).await;
            self.collect();
        }
    }

    /// The last of each twenty lines is the command, so that its reply stands for those before it.
    fn say_next(&mut self, due: Instant) {
        let channel = self.random_below(self.channels.len());
        if self.loaded.n_lines % LINES_PER_COMMAND == LINES_PER_COMMAND - 1 {
            self.say_command(channel, due);
            self.loaded.lags.push(due.elapsed());
        } else {
            self.say(channel, None);
        }
        self.loaded.n_lines += 1;
    }

    fn say_command(&mut self, channel: usize, due: Instant) {
        let command = self.next_command;
        self.next_command += 1;
        self.loaded.tally.commands += 1;
        self.pending.insert(command, Pending { channel, due });
        self.say(channel, Some(command));
    }

    fn say(&mut self, channel: usize, command: Option<u64>) {
        let chatter = self.random_below(N_CHATTERS);
        self.line.chatter.clone_from(&self.chatters[chatter]);
        self.line.channel_login.clone_from(&self.channels[channel]);
        self.line.text.clear();
        match command {
            Some(command) => {
                self.line.text.push_str("!echo bench-");
                self.line.text.push_str(&command.to_string());
            }
            None => self.line.text.push_str(TEXT),
        }
        self.fake.say_line(&self.line);
    }

    fn collect(&mut self) {
        for reply in self.fake.take_received() {
            let id = reply
                .text
                .split_whitespace()
                .find_map(|word| word.strip_prefix("bench-")?.parse::<u64>().ok());
            let Some(id) = id else { continue };
            self.last_reply_at = reply.at;
            let Some(pending) = self.pending.remove(&id) else {
                self.loaded.tally.doubled += 1;
                continue;
            };
            self.loaded.tally.answered += 1;
            self.loaded.latencies.push(reply.at.saturating_duration_since(pending.due));
            if self.channels[pending.channel] != reply.channel_login {
                self.loaded.tally.misrouted += 1;
            }
            if self.latest[pending.channel] > id {
                self.loaded.tally.disordered += 1;
            }
            self.latest[pending.channel] = self.latest[pending.channel].max(id);
        }
    }

    /// The same sequence in every run.
    fn random_below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % bound as u64).expect("it is below a usize")
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The value below which this many thousandths of the sorted samples lie; zero without samples.
pub(crate) fn percentile(sorted: &[Duration], thousandths: usize) -> Duration {
    let rank = (thousandths * sorted.len()).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 500), Duration::from_millis(100));
        assert_eq!(percentile(&samples, 990), Duration::from_millis(198));
        assert_eq!(percentile(&samples, 1000), Duration::from_millis(200));
        assert_eq!(percentile(&[], 500), Duration::ZERO);
    }
}
