//! The load: tagged chat lines of which each twentieth is a command, and the check of every reply.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::{FakeTwitch, Feed, LineStamps, Taken};

mod ledger;
mod lines;

use self::ledger::Ledger;
pub(crate) use self::ledger::{Answer, Group, Tally};
use self::lines::Lines;
use crate::percentiles::Percentiles;
use crate::subject::channel_login;
use crate::zipf::{Channels, Random};

/// 5 % of the lines are commands.
pub(crate) const LINES_PER_COMMAND: u64 = 20;
/// Commands in flight in the closed loop: one channel's lines stay below its mailbox and send queue.
const WINDOW_ONE_CHANNEL: usize = 25;
const WINDOW: usize = 200;
/// How long replies are awaited after the last line.
const STRAGGLERS: Duration = Duration::from_secs(10);
/// How far apart the lines of a pace are said when the load does not spin.
const TICK: Duration = Duration::from_millis(1);

/// What the load does until its next line is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Looks at the clock: its core is its own, and a timer's millisecond would be too coarse.
    Spin,
    /// Sleeps for a millisecond, because the bot wants the core too.
    Tick,
}

/// What one load showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) n_lines: u64,
    /// From the first line to the last reply.
    pub(crate) wall: Duration,
    /// From the due time of each command to its reply.
    pub(crate) latency: Percentiles,
    /// How late the load itself was with each command.
    pub(crate) lag: Percentiles,
    pub(crate) tally: Tally,
}

/// A channel of the load.
struct Channel {
    login: String,
    /// `None`: nothing was said in it since its connection was opened.
    feed: Option<Feed>,
}

/// The generator; sequence numbers go on over several loads of one process.
pub(crate) struct Load<'a> {
    fake: &'a FakeTwitch,
    channels: Vec<Channel>,
    shares: Channels,
    lines: Lines,
    stamps: LineStamps,
    random: Random,
    ledger: Ledger,
    n_lines: u64,
    /// Lines for which there was no connection or no room.
    n_not_taken: u64,
    lags: Vec<Duration>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(fake: &'a FakeTwitch, n_channels: usize, exponent: f64) -> Self {
        let channels = (0..n_channels).map(|index| Channel { login: channel_login(index), feed: None });
        Self {
            fake,
            channels: channels.collect(),
            shares: Channels::new(n_channels, exponent),
            lines: Lines::new(),
            stamps: fake.line_stamps(),
            random: Random::new(),
            ledger: Ledger::new(n_channels),
            n_lines: 0,
            n_not_taken: 0,
            lags: Vec::new(),
        }
    }

    pub(crate) fn n_channels(&self) -> usize {
        self.channels.len()
    }

    /// How the replies since the last `begin` matched the commands.
    pub(crate) fn tally(&self) -> Tally {
        self.ledger.tally
    }

    /// Takes the replies with their waiting times out.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.ledger.answers)
    }

    /// Commands that wait for their reply.
    pub(crate) fn n_pending(&self) -> usize {
        self.ledger.n_pending()
    }

    /// A channel as its connection sees it now; `None`: it is not joined.
    pub(crate) fn open_feed(&mut self, channel: usize) -> Option<&Feed> {
        let Channel { login, feed } = &mut self.channels[channel];
        *feed = self.fake.feed(login);
        feed.as_ref()
    }

    /// Draws a channel by its share of the lines.
    pub(crate) fn draw_channel(&mut self) -> usize {
        self.shares.draw(&mut self.random)
    }

    /// Says one command in the first channel and waits for its reply.
    pub(crate) async fn first_reply(&mut self, timeout: Duration) -> Result<Instant> {
        let deadline = Instant::now() + timeout;
        self.say_command(0, Instant::now(), Group::Measured, 0);
        while self.ledger.n_pending() > 0 {
            self.next_replies(deadline).await;
            if Instant::now() >= deadline {
                return Err(Error::other("no reply to the first command"));
            }
        }
        Ok(self.ledger.last_reply_at)
    }

    /// Says one command in each channel, a window of them at a time, and waits for the replies.
    pub(crate) async fn command_in_each(&mut self) -> Loaded {
        let started = self.begin();
        for channel in 0..self.channels.len() {
            let deadline = Instant::now() + STRAGGLERS;
            while self.ledger.n_pending() >= WINDOW && Instant::now() < deadline {
                self.next_replies(deadline).await;
            }
            self.stamps.refresh_time();
            self.say_command(channel, Instant::now(), Group::Measured, 0);
            self.n_lines += 1;
        }
        self.finish(started).await
    }

    /// Closed loop: as many commands in flight as the window allows, with their plain lines between them.
    pub(crate) async fn saturate(&mut self, length: Duration) -> Loaded {
        let window = self.window();
        let started = self.begin();
        let end = started + length;
        while Instant::now() < end {
            self.stamps.refresh_time();
            while self.ledger.n_pending() < window {
                let before = self.n_not_taken;
                (0..LINES_PER_COMMAND).for_each(|_| self.say_next(None));
                if self.n_not_taken > before {
                    break;
                }
            }
            self.next_replies(end).await;
        }
        self.finish(started).await
    }

    /// Closed loop of commands alone: how many of them a second are answered, in one channel or in all.
    pub(crate) async fn saturate_with_commands(&mut self, channel: Option<usize>, length: Duration) -> f64 {
        let window = if channel.is_some() { WINDOW_ONE_CHANNEL } else { self.window() };
        let started = self.begin();
        let end = started + length;
        while Instant::now() < end {
            self.stamps.refresh_time();
            while self.ledger.n_pending() < window {
                let channel = channel.unwrap_or_else(|| self.shares.draw(&mut self.random));
                if !self.say_command(channel, Instant::now(), Group::Measured, 0) {
                    break;
                }
            }
            self.next_replies(end).await;
        }
        let loaded = self.finish(started).await;
        loaded.tally.answered as f64 / loaded.wall.as_secs_f64().max(f64::EPSILON)
    }

    fn window(&self) -> usize {
        if self.channels.len() == 1 { WINDOW_ONE_CHANNEL } else { WINDOW }
    }

    /// Open loop: each line has its time, whatever became of those before it.
    pub(crate) async fn pace(&mut self, lines_per_second: f64, length: Duration, waiting: Waiting) -> Loaded {
        let interval_ns = nanos(Duration::from_secs_f64(lines_per_second.recip())).max(1);
        let n_lines = nanos(length) / interval_ns;
        let started = self.begin();
        while self.n_lines < n_lines {
            // The first is due at the start.
            let due_lines = nanos(started.elapsed()) / interval_ns + 1;
            self.stamps.refresh_time();
            while self.n_lines < due_lines.min(n_lines) {
                self.say_next(Some(started + Duration::from_nanos(self.n_lines * interval_ns)));
            }
            self.pause(waiting).await;
            self.collect();
        }
        self.finish(started).await
    }

    /// Lets the sockets be served.
    pub(crate) async fn pause(&self, waiting: Waiting) {
        match waiting {
            Waiting::Spin => tokio::task::yield_now().await,
            Waiting::Tick => tokio::time::sleep(TICK).await,
        }
    }

    /// Forgets what came before, and returns when that was.
    pub(crate) fn begin(&mut self) -> Instant {
        self.collect();
        self.n_lines = 0;
        self.lags.clear();
        self.ledger.begin()
    }

    async fn finish(&mut self, started: Instant) -> Loaded {
        self.await_stragglers(STRAGGLERS).await;
        let answers = self.take_answers();
        let mut tally = self.ledger.tally;
        tally.lost = self.ledger.n_pending() as u64;
        Loaded {
            n_lines: self.n_lines,
            wall: self.ledger.last_reply_at - started,
            latency: Percentiles::of(answers.iter().map(|answer| answer.waited).collect()),
            lag: Percentiles::of(std::mem::take(&mut self.lags)),
            tally,
        }
    }

    /// Waits until every command is answered, but not for longer.
    pub(crate) async fn await_stragglers(&mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.ledger.n_pending() > 0 && Instant::now() < deadline {
            self.next_replies(deadline).await;
        }
    }

    async fn next_replies(&mut self, deadline: Instant) {
        let seen = self.fake.next_seq();
        self.collect();
        if self.ledger.n_pending() > 0 {
            self.fake.wait_until(|fake| fake.next_seq() > seen, deadline).await;
            self.collect();
        }
    }

    /// The last of each twenty lines is the command, so that its reply stands for those before it.
    ///
    /// `due` `None`: now.
    fn say_next(&mut self, due: Option<Instant>) {
        let channel = self.shares.draw(&mut self.random);
        if self.n_lines % LINES_PER_COMMAND == LINES_PER_COMMAND - 1 {
            let now = Instant::now();
            self.say_command(channel, due.unwrap_or(now), Group::Measured, 0);
            self.lags.push(due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due)));
        } else {
            self.lines.plain(&mut self.random);
            self.say(channel);
        }
        self.n_lines += 1;
    }

    /// Says a command whose reply is awaited, longer by `n_more` characters; `false`: the socket did not take it.
    pub(crate) fn say_command(&mut self, channel: usize, due: Instant, group: Group, n_more: usize) -> bool {
        let command = self.ledger.next_command();
        self.lines.command(&mut self.random, command, n_more);
        let taken = self.say(channel);
        if taken {
            self.ledger.ask(channel, due, group);
        }
        taken
    }

    fn say(&mut self, channel: usize) -> bool {
        if self.stamps.is_spent() {
            self.fake.refill(&mut self.stamps);
        }
        for _ in 0..2 {
            let Channel { login, feed } = &mut self.channels[channel];
            if feed.is_none() {
                *feed = self.fake.feed(login);
            }
            let Some(open) = feed else { break };
            match open.say(self.lines.line(), &mut self.stamps, self.lines.text()) {
                Taken::Yes => return true,
                Taken::Full => break,
                Taken::Ended => *feed = None,
            }
        }
        self.n_not_taken += 1;
        false
    }

    /// Takes the time for the lines from now on.
    pub(crate) fn refresh_time(&mut self) {
        self.stamps.refresh_time();
    }

    /// Takes in the replies that have come.
    pub(crate) fn collect(&mut self) {
        for reply in self.fake.take_received() {
            self.ledger.take(&reply, |channel| &self.channels[channel].login);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
