//! A stretch of time with a flood or without one, while other channels and PINGs are watched.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fake_twitch::{FakeTwitch, Feed};

use super::{Look, Scenario};
use crate::load::{Answer, Group, Load, Waiting};
use crate::percentiles::Percentiles;

/// Commands a second in the channels beside the flood, in each of the two groups.
const WATCHED_PER_SECOND: f64 = 100.0;
/// Watched commands that found their socket full and wait, with their due time.
const WATCHED_WAITING_MAX: usize = 10_000;
const PING_EVERY: Duration = Duration::from_millis(50);
/// A PING without an answer for so long counts as that long.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of the flood between two looks at everything else.
const FLOOD_AT_ONCE: u64 = 2_000;

/// What is said too much.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    /// Spoken in turn; empty: any, by their shares.
    pub(super) channels: Vec<usize>,
    pub(super) commands_per_second: f64,
    /// Characters more in each command.
    pub(super) n_more: usize,
}

/// What came of it.
pub(super) struct Shown {
    pub(super) answers: Vec<Answer>,
    /// Lines of the flood that were said, and those of them that found their socket full.
    pub(super) n_flood: u64,
    pub(super) n_refused: u64,
    pings: Vec<Duration>,
}

impl Shown {
    pub(super) fn look(&self) -> Look {
        let of = |group: Group| {
            let answers = self.answers.iter().filter(|answer| answer.group == group);
            Percentiles::of(answers.map(|answer| answer.waited).collect())
        };
        Look {
            others: of(Group::Measured),
            same_connection: of(Group::SameConnection),
            ping: Percentiles::of(self.pings.clone()),
        }
    }
}

/// PINGs on one connection, one at a time.
struct Pings<'a> {
    fake: &'a FakeTwitch,
    /// `None`: the connection is gone.
    feed: Option<Feed>,
    n_sent: u64,
    /// `None`: the last one was answered or given up.
    waits_since: Option<Instant>,
    waited: Vec<Duration>,
}

impl Pings<'_> {
    fn look(&mut self, now: Instant, started: Instant) {
        let payload = format!("bench-ping-{}", self.n_sent);
        for pong in self.fake.take_pongs() {
            if pong.payload == payload
                && let Some(since) = self.waits_since.take()
            {
                self.waited.push(pong.at.saturating_duration_since(since));
            }
        }
        if let Some(since) = self.waits_since
            && now.saturating_duration_since(since) >= PING_TIMEOUT
        {
            self.waited.push(PING_TIMEOUT);
            self.waits_since = None;
        }
        let due = started + PING_EVERY.saturating_mul(u32::try_from(self.waited.len()).unwrap_or(u32::MAX));
        if self.waits_since.is_none() && now >= due {
            self.n_sent += 1;
            let payload = format!("bench-ping-{}", self.n_sent);
            if self.feed.as_ref().is_some_and(|feed| feed.ping(&payload)) {
                self.waits_since = Some(now);
            }
        }
    }
}

/// A watched command that is due.
struct Watched {
    channel: usize,
    due: Instant,
    group: Group,
}

/// What is said in a stretch of time.
pub(super) struct Phase<'a> {
    /// `None`: only the watched channels speak.
    flood: Option<Flood>,
    others: Vec<usize>,
    /// Empty: not watched.
    same_connection: Vec<usize>,
    pings: Pings<'a>,
    waiting: VecDeque<Watched>,
}

impl<'a> Phase<'a> {
    pub(super) fn new(
        fake: &'a FakeTwitch,
        load: &mut Load<'_>,
        scenario: Scenario,
        flood: Option<Flood>,
    ) -> Self {
        let beside = on_connection_of(load, 0);
        let others: Vec<usize> =
            (0..load.n_channels()).filter(|channel| beside.binary_search(channel).is_err()).collect();
        let stalled = scenario == Scenario::StalledSends;
        // On the stalled connection no answer gets out: PINGs go to another one, and nobody waits there.
        let pinged = if stalled { others.last().copied().unwrap_or(0) } else { 0 };
        let watched_beside = !(stalled && flood.is_some());
        let feed = load.open_feed(pinged).cloned();
        Self {
            flood,
            same_connection: if watched_beside { beside.into_iter().skip(1).collect() } else { Vec::new() },
            others,
            pings: Pings { fake, feed, n_sent: 0, waits_since: None, waited: Vec::new() },
            waiting: VecDeque::new(),
        }
    }

    /// Lasts for `length`; what is not answered at its end is answered in the next phase.
    pub(super) async fn run(mut self, load: &mut Load<'_>, length: Duration) -> Shown {
        let started = Instant::now();
        let (mut n_watched, mut n_flood, mut n_refused) = (0, 0, 0);
        load.take_answers();
        while started.elapsed() < length {
            load.refresh_time();
            let elapsed = started.elapsed();
            let due = due_by(elapsed, WATCHED_PER_SECOND) + 1;
            while n_watched < due {
                self.make_due(n_watched, started + elapsed);
                n_watched += 1;
            }
            self.say_watched(load);
            self.pings.look(Instant::now(), started);
            if let Some(flood) = &self.flood {
                let due = due_by(elapsed, flood.commands_per_second);
                let n = (due - n_flood).min(FLOOD_AT_ONCE);
                n_refused += say_flood(load, flood, n_flood..n_flood + n);
                n_flood += n;
            }
            load.pause(Waiting::Spin).await;
            load.collect();
        }
        Shown { answers: load.take_answers(), n_flood, n_refused, pings: self.pings.waited }
    }

    fn make_due(&mut self, n: u64, due: Instant) {
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        for (channels, group) in
            [(&self.others, Group::Measured), (&self.same_connection, Group::SameConnection)]
        {
            if !channels.is_empty() && self.waiting.len() < WATCHED_WAITING_MAX {
                self.waiting.push_back(Watched { channel: channels[index % channels.len()], due, group });
            }
        }
    }

    /// One whose socket is full stays due, so that its wait counts.
    fn say_watched(&mut self, load: &mut Load<'_>) {
        self.waiting.retain(|watched| !load.say_command(watched.channel, watched.due, watched.group, 0));
    }
}

/// How many of something are due after this time.
fn due_by(elapsed: Duration, per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a small positive number"
    )]
    let due = (elapsed.as_secs_f64() * per_second) as u64;
    due
}

/// A line that finds its socket full is not said again; returns how many did.
fn say_flood(load: &mut Load<'_>, flood: &Flood, numbers: std::ops::Range<u64>) -> u64 {
    let now = Instant::now();
    let mut n_refused = 0;
    for number in numbers {
        let channel = match flood.channels.as_slice() {
            [] => load.draw_channel(),
            some => some[usize::try_from(number % some.len() as u64).unwrap_or(0)],
        };
        n_refused += u64::from(!load.say_command(channel, now, Group::Flood, flood.n_more));
    }
    n_refused
}

/// The channels of the connection that joined this one, in order.
pub(super) fn on_connection_of(load: &mut Load<'_>, channel: usize) -> Vec<usize> {
    let connection = |load: &mut Load<'_>, channel| load.open_feed(channel).map(Feed::connection_id);
    let wanted = connection(load, channel);
    (0..load.n_channels()).filter(|other| connection(load, *other) == wanted).collect()
}
