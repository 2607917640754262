//! Ten times more than the bot can take: what it keeps, what it drops, and whether the others notice.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::{FakeConfig, FakeTwitch};

mod balance;
mod phase;
mod report;

use self::balance::Balance;
use self::phase::{Flood, Phase, Shown};
pub(crate) use self::report::markdown;
use crate::arguments::Plan;
use crate::load::{Group, Load, Tally};
use crate::percentiles::Percentiles;
use crate::process;
use crate::run::{bots, joined, settled};
use crate::subject::{Kind, Scrape, Setup, Subject, channel_login};

/// How much more than can be taken is offered.
const TIMES: f64 = 10.0;
/// How long it is found out what can be taken, and how the others fare before the overload at least.
const PROBE: Duration = Duration::from_secs(2);
const BEFORE_MIN: Duration = Duration::from_secs(10);
/// Recovery is looked for within this time, over windows of this length.
const AFTER: Duration = Duration::from_secs(12);
const WINDOW: Duration = Duration::from_secs(2);
const WINDOW_STEP: Duration = Duration::from_millis(500);
/// Below this a waiting time is not told from the machine's noise.
const NOISE_MS: f64 = 5.0;
const STRAGGLERS: Duration = Duration::from_secs(10);
/// While sends are stalled: commands a second on that connection, and the characters that make their replies long.
const STALLED_COMMANDS_PER_SECOND: f64 = 2_000.0;
const STALLED_MORE_CHARS: usize = 300;

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    OneChannel,
    AllChannels,
    /// The platform does not read from one connection.
    StalledSends,
}

impl Scenario {
    const ALL: [Self; 3] = [Self::OneChannel, Self::AllChannels, Self::StalledSends];

    fn name(self) -> &'static str {
        match self {
            Self::OneChannel => "10× on one channel",
            Self::AllChannels => "10× on all channels",
            Self::StalledSends => "one connection's sends stalled",
        }
    }

    fn length(self, plan: &Plan) -> Duration {
        match self {
            Self::OneChannel => plan.overload.one_channel,
            Self::AllChannels => plan.overload.all_channels,
            Self::StalledSends => plan.overload.stall,
        }
    }
}

/// What the others waited in one phase.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Channels on other connections.
    others: Percentiles,
    /// Other channels on the connection that is loaded.
    same_connection: Percentiles,
    /// From PING to PONG.
    ping: Percentiles,
}

/// What one scenario showed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    subject: String,
    scenario: Scenario,
    n_channels: usize,
    length: Duration,
    /// Commands a second that were answered in a closed loop.
    sustained: f64,
    offered: f64,
    n_taken: u64,
    n_not_taken: u64,
    rss_before_kib: u64,
    rss_peak_kib: u64,
    rss_after_kib: u64,
    /// Upper end of the highest bucket of `waddlebot_mailbox_depth` that was filled; `None`: no sample.
    mailbox_max: Option<f64>,
    before: Look,
    during: Look,
    after: Look,
    /// From the end of the overload; `None`: not within the time that was watched.
    recovered_after: Option<Duration>,
    tally: Tally,
    balance: Balance,
}

/// Plays all scenarios that have a length.
pub(crate) async fn all(plan: &Plan) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for n_run in 1..=plan.n_runs {
        for kind in bots(plan) {
            for n_channels in &plan.channels {
                for scenario in Scenario::ALL {
                    let length = scenario.length(plan);
                    if length.is_zero() {
                        continue;
                    }
                    eprintln!(
                        "run {n_run}/{}: {}, {n_channels} channels, {} for {} s",
                        plan.n_runs,
                        kind.name(),
                        scenario.name(),
                        length.as_secs()
                    );
                    outcomes.push(once(plan, &kind, *n_channels, scenario).await?);
                }
            }
        }
    }
    Ok(outcomes)
}

/// What a correct bot does not do even under overload, as a sentence; `None`: nothing of it.
pub(crate) fn trouble(outcomes: &[Outcome]) -> Option<String> {
    let mut sentences = Vec::new();
    for one in outcomes {
        let Tally { doubled, misrouted, disordered, .. } = one.tally;
        if doubled + misrouted + disordered > 0 {
            let counts = format!("{doubled} doubled, {misrouted} misrouted, {disordered} out of order");
            sentences.push(format!("{}: {counts}", one.scenario.name()));
        }
        if let Some(problem) = one.balance.problem() {
            sentences.push(format!("{}: {problem}", one.scenario.name()));
        }
    }
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// Little waits on the way, so that what waits is in the bot and in the system's buffers of its sockets.
///
/// When the bot does not read, the bytes wait in the socket's buffers, then up to `feed_bytes_max` in the
/// connection's outbox; a line of the flood that finds it full is counted as not taken by the socket, and gone.
fn fake_config() -> FakeConfig {
    FakeConfig {
        feed_bytes_max: 256 << 10,
        outbox_bytes_max: 4 << 20,
        send_buffer_bytes: Some(256 << 10),
        receive_buffer_bytes: Some(64 << 10),
        ..FakeConfig::default().without_limits()
    }
}

async fn once(plan: &Plan, kind: &Kind, n_channels: usize, scenario: Scenario) -> Result<Outcome> {
    let fake = FakeTwitch::start(fake_config()).await?;
    let cores = plan.bot_core.to_string();
    let setup = Setup { kind, cores: &cores, n_channels, module_idle_secs: None, environment: &[] };
    let subject = Subject::start(setup, &fake).await?;
    let outcome = match joined(&fake, n_channels).await {
        Ok(()) => play(plan, &fake, &subject, Load::new(&fake, n_channels, plan.exponent), scenario).await,
        Err(error) => Err(error),
    };
    let outcome = outcome.map(|outcome| Outcome { subject: kind.name(), ..outcome });
    let outcome = outcome.map_err(|error| Error::other(format!("{error}\n{}", subject.log_tail())));
    subject.stop().await?;
    outcome
}

async fn play(
    plan: &Plan,
    fake: &FakeTwitch,
    subject: &Subject,
    mut load: Load<'_>,
    scenario: Scenario,
) -> Result<Outcome> {
    load.command_in_each().await;
    let one_channel = (scenario == Scenario::OneChannel).then_some(0);
    let sustained = load.saturate_with_commands(one_channel, PROBE).await;
    let rss_before_kib = settled(subject).await?.rss_kib;
    process::forget_peak(subject.process_id)?;
    let depths_before = scrape(subject).await?;
    let length = scenario.length(plan);
    let (flood, offered) = flood(&mut load, scenario, sustained);
    load.begin();

    let quiet = Phase::new(fake, &mut load, scenario, None);
    let before = quiet.run(&mut load, plan.length.max(BEFORE_MIN)).await;
    if scenario == Scenario::StalledSends {
        fake.stall_channel(&channel_login(0), true);
    }
    let during = Phase::new(fake, &mut load, scenario, Some(flood)).run(&mut load, length).await;
    fake.stall(false);
    let ended = Instant::now();
    let after = Phase::new(fake, &mut load, scenario, None).run(&mut load, AFTER).await;
    load.await_stragglers(STRAGGLERS).await;

    let tally = load.tally();
    let balance = Balance::at_rest(fake, subject).await?;
    let mailbox_max = highest(&depths_before, &scrape(subject).await?);
    let before = before.look();
    Ok(Outcome {
        subject: String::new(),
        scenario,
        n_channels: load.n_channels(),
        length,
        sustained,
        offered,
        n_taken: during.n_flood - during.n_refused,
        n_not_taken: during.n_refused,
        rss_before_kib,
        rss_peak_kib: process::rss_peak_kib(subject.process_id)?,
        rss_after_kib: process::usage(subject.process_id)?.rss_kib,
        mailbox_max,
        during: during.look(),
        recovered_after: recovery(&after, ended, before.others.p99_ms),
        after: after.look(),
        before,
        tally: Tally { lost: load.n_pending() as u64, ..tally },
        balance,
    })
}

/// What is said too much, and how many of it a second.
fn flood(load: &mut Load<'_>, scenario: Scenario, sustained: f64) -> (Flood, f64) {
    let offered = match scenario {
        Scenario::StalledSends => STALLED_COMMANDS_PER_SECOND,
        Scenario::OneChannel | Scenario::AllChannels => sustained * TIMES,
    };
    let channels = match scenario {
        Scenario::OneChannel => vec![0],
        Scenario::AllChannels => Vec::new(),
        Scenario::StalledSends => phase::on_connection_of(load, 0),
    };
    let n_more = if scenario == Scenario::StalledSends { STALLED_MORE_CHARS } else { 0 };
    (Flood { channels, commands_per_second: offered, n_more }, offered)
}

async fn scrape(subject: &Subject) -> Result<Scrape> {
    subject.scrape().await.ok_or_else(|| Error::other("the bot's metrics cannot be read"))
}

/// The highest bucket of the mailboxes' depths that grew.
fn highest(before: &Scrape, after: &Scrape) -> Option<f64> {
    let name = "waddlebot_mailbox_depth";
    let (before, after) = (before.buckets(name), after.buckets(name));
    let mut below = 0.0;
    let mut highest = None;
    for (index, (bound, count)) in after.iter().enumerate() {
        let grown = count - before.get(index).map_or(0.0, |(_, count)| *count);
        if grown > below {
            highest = Some(*bound);
            below = grown;
        }
    }
    highest
}

/// When the others' 99th percentile is back under twice what it was before.
fn recovery(after: &Shown, ended: Instant, before_p99_ms: f64) -> Option<Duration> {
    let bar_ms = (2.0 * before_p99_ms).max(NOISE_MS);
    let mut start = Duration::ZERO;
    while start + WINDOW <= AFTER {
        let window = (ended + start)..(ended + start + WINDOW);
        let waited = after.answers.iter().filter(|answer| answer.group == Group::Measured);
        let waited: Vec<Duration> =
            waited.filter(|answer| window.contains(&answer.due)).map(|answer| answer.waited).collect();
        if !waited.is_empty() && Percentiles::of(waited).p99_ms <= bar_ms {
            return Some(start);
        }
        start += WINDOW_STEP;
    }
    None
}
