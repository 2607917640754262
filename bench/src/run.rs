//! One measured process from its start to its end, for each subject and number of channels.

use std::collections::HashMap;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::{FakeConfig, FakeTwitch};

use crate::arguments::Plan;
use crate::load::{Load, Loaded, Tally, Waiting};
use crate::percentiles::{Percentiles, millis};
use crate::process::{self, Usage};
use crate::subject::{Kind, Setup, Subject, channel_login};

const JOIN_TIMEOUT: Duration = Duration::from_mins(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Load before the saturated one that is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// The first paced load is this share of what a saturated one showed.
const PACED_SHARE: f64 = 0.5;
/// The second one, in lines a second, and its shortest length: it has only fifty commands a second.
const QUIET_LINES_PER_SECOND: f64 = 1_000.0;
const QUIET_LENGTH_MIN: Duration = Duration::from_secs(10);
/// The bot's `limits.module_idle_secs` while it is watched falling asleep, and how long that may take.
const PASSIVATE_IDLE_SECS: u64 = 60;
const PASSIVATE_TIMEOUT: Duration = Duration::from_mins(5);

/// An open loop's figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paced {
    pub(crate) lines_per_second: f64,
    pub(crate) latency: Percentiles,
    /// How late the load itself was.
    pub(crate) lag_p99_ms: f64,
}

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) ready_ms: f64,
    pub(crate) first_reply_ms: f64,
    pub(crate) all_joined_ms: f64,
    /// The same process with one channel, all else alike.
    pub(crate) rss_empty_kib: f64,
    /// All joined, nothing said but one line.
    pub(crate) rss_idle_kib: f64,
    /// After one command in each channel.
    pub(crate) rss_answered_kib: f64,
    /// After its actors have ended for lack of work; `None`: not waited for.
    pub(crate) rss_passivated_kib: Option<f64>,
    /// How fast those first commands were answered.
    pub(crate) first_commands_per_second: f64,
    pub(crate) rss_loaded_kib: f64,
    pub(crate) lines_per_cpu_second: f64,
    pub(crate) lines_per_second: f64,
    /// Share of its core that the subject used while saturated.
    pub(crate) subject_share: f64,
    /// Share of its core that the load used meanwhile.
    pub(crate) load_share: f64,
    /// At half of a saturated load, and at a thousand lines a second.
    pub(crate) paced: [Paced; 2],
    /// `None`: the subject does not count them.
    pub(crate) shed_lines: Option<f64>,
    /// `None`: the subject counted none.
    pub(crate) dropped_replies: Option<f64>,
    /// Of all loads but the warm-up.
    pub(crate) tally: Tally,
}

/// All runs of one subject at one number of channels.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) kind: Kind,
    pub(crate) n_channels: usize,
    pub(crate) runs: Vec<Figures>,
}

/// Measures everything in the plan, subjects in turn, so that a drift of the machine meets all of them.
pub(crate) async fn all(plan: &Plan) -> Result<Vec<Series>> {
    let mut kinds = bots(plan);
    kinds.extend(plan.echo_loop.then_some(Kind::EchoLoop));
    kinds.extend(plan.bare_client.then_some(Kind::BareClient));
    let mut series: Vec<Series> = Vec::new();
    for n_channels in &plan.channels {
        let of = |kind: &Kind| Series { kind: kind.clone(), n_channels: *n_channels, runs: Vec::new() };
        series.extend(kinds.iter().map(of));
    }
    for n_run in 1..=plan.n_runs {
        let mut empty = HashMap::new();
        for kind in &kinds {
            eprintln!("run {n_run}/{}: {}, empty", plan.n_runs, kind.name());
            empty.insert(kind.name(), rss_empty_kib(plan, kind).await?);
        }
        // The echo loop gets what the bot took in the same run, so that their waiting times compare.
        let mut bot_rates = HashMap::new();
        for one in &mut series {
            eprintln!("run {n_run}/{}: {}, {} channels", plan.n_runs, one.kind.name(), one.n_channels);
            let rate =
                (one.kind == Kind::EchoLoop).then(|| bot_rates.get(&one.n_channels).copied()).flatten();
            let mut figures = once(plan, &one.kind, one.n_channels, rate).await?;
            figures.rss_empty_kib = empty[&one.kind.name()];
            if one.kind.is_bot() {
                bot_rates.entry(one.n_channels).or_insert(figures.paced[0].lines_per_second);
            }
            one.runs.push(figures);
        }
    }
    Ok(series)
}

/// The bot over each of the plan's transports.
pub(crate) fn bots(plan: &Plan) -> Vec<Kind> {
    let of = |bot| {
        plan.transports.iter().map(move |transport| Kind::Bot(std::path::PathBuf::clone(bot), *transport))
    };
    plan.bot.iter().flat_map(of).collect()
}

/// Waits until all channels of the load are joined.
pub(crate) async fn joined(fake: &FakeTwitch, n_channels: usize) -> Result<()> {
    let deadline = Instant::now() + JOIN_TIMEOUT;
    // The counter is cheaper to ask than all channels.
    fake.wait_until(|fake| fake.counters().joins >= n_channels as u64, deadline).await;
    if fake.wait_joined(n_channels, deadline).await {
        return Ok(());
    }
    Err(Error::other(format!("only {} of {n_channels} channels were joined", fake.n_joined())))
}

async fn rss_empty_kib(plan: &Plan, kind: &Kind) -> Result<f64> {
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let cores = plan.bot_core.to_string();
    let setup = Setup { kind, cores: &cores, n_channels: 1, module_idle_secs: None, environment: &[] };
    let subject = Subject::start(setup, &fake).await?;
    joined(&fake, 1).await?;
    Load::new(&fake, 1, 0.0).first_reply(REPLY_TIMEOUT).await?;
    let usage = settled(&subject).await?;
    subject.stop().await?;
    Ok(usage.rss_kib as f64)
}

/// `rate`: lines a second of the first open loop; `None`: half of its own saturated ones.
async fn once(plan: &Plan, kind: &Kind, n_channels: usize, rate: Option<f64>) -> Result<Figures> {
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let cores = plan.bot_core.to_string();
    let setup = Setup { kind, cores: &cores, n_channels, module_idle_secs: None, environment: &[] };
    let subject = Subject::start(setup, &fake).await?;
    let mut load = Load::new(&fake, n_channels, plan.exponent);
    let figures = measure(plan, &subject, &fake, &mut load, rate).await;
    let figures =
        figures.map_err(|error| Error::other(format!("{}: {error}\n{}", kind.name(), subject.log_tail())));
    subject.stop().await?;
    let mut figures = figures?;
    // How it is connected makes no difference here, and the wait is long.
    let is_first_bot = bots(plan).first() == Some(kind);
    if plan.passivate && is_first_bot && n_channels > 1 {
        let setup = Setup { module_idle_secs: Some(PASSIVATE_IDLE_SECS), ..setup };
        figures.rss_passivated_kib = Some(rss_passivated_kib(setup).await?);
    }
    Ok(figures)
}

async fn measure(
    plan: &Plan,
    subject: &Subject,
    fake: &FakeTwitch,
    load: &mut Load<'_>,
    rate: Option<f64>,
) -> Result<Figures> {
    let mut figures = Figures { ready_ms: millis(subject.ready_after), ..Figures::default() };
    let joined_by = Instant::now() + JOIN_TIMEOUT;
    if !fake.wait_until(|fake| fake.joined_channel(&channel_login(0)), joined_by).await {
        return Err(Error::other("the first channel was not joined"));
    }
    figures.first_reply_ms = millis(load.first_reply(REPLY_TIMEOUT).await? - subject.started_at);
    joined(fake, load.n_channels()).await?;
    figures.all_joined_ms = millis(subject.started_at.elapsed());
    figures.rss_idle_kib = settled(subject).await?.rss_kib as f64;
    let first = load.command_in_each().await;
    figures.first_commands_per_second = first.n_lines as f64 / first.wall.as_secs_f64();
    figures.rss_answered_kib = settled(subject).await?.rss_kib as f64;

    let saturated = saturate(plan, subject, load, &mut figures).await?;
    let rate = rate.unwrap_or(figures.lines_per_second * PACED_SHARE);
    let half = load.pace(rate, plan.length, Waiting::Spin).await;
    let quiet_length = plan.length.max(QUIET_LENGTH_MIN);
    let quiet = load.pace(QUIET_LINES_PER_SECOND, quiet_length, Waiting::Spin).await;
    figures.paced = [paced(rate, &half), paced(QUIET_LINES_PER_SECOND, &quiet)];
    figures.rss_loaded_kib = process::usage(subject.process_id)?.rss_kib as f64;
    if let Some(scrape) = subject.scrape().await {
        figures.shed_lines = Some(scrape.sum("waddlebot_messages_dropped_total").unwrap_or(0.0));
        figures.dropped_replies = Some(scrape.sum("waddlebot_replies_dropped_total").unwrap_or(0.0));
    }
    figures.tally = [saturated, half, quiet].iter().fold(first.tally, |sum, loaded| sum.plus(loaded.tally));
    Ok(figures)
}

async fn saturate(
    plan: &Plan,
    subject: &Subject,
    load: &mut Load<'_>,
    figures: &mut Figures,
) -> Result<Loaded> {
    load.saturate(WARM_UP).await;
    let own = std::process::id();
    let before = (process::usage(subject.process_id)?, process::usage(own)?);
    let saturated = load.saturate(plan.length).await;
    let after = (process::usage(subject.process_id)?, process::usage(own)?);
    let subject_cpu_secs = after.0.cpu_secs - before.0.cpu_secs;
    let wall_secs = saturated.wall.as_secs_f64();
    figures.lines_per_second = saturated.n_lines as f64 / wall_secs;
    figures.lines_per_cpu_second = saturated.n_lines as f64 / subject_cpu_secs;
    figures.subject_share = subject_cpu_secs / wall_secs;
    figures.load_share = (after.1.cpu_secs - before.1.cpu_secs) / wall_secs;
    Ok(saturated)
}

fn paced(lines_per_second: f64, loaded: &Loaded) -> Paced {
    Paced { lines_per_second, latency: loaded.latency, lag_p99_ms: loaded.lag.p99_ms }
}

/// Answers one command in each channel, and waits until the bot says that no channel is active any more.
async fn rss_passivated_kib(setup: Setup<'_>) -> Result<f64> {
    eprintln!("  waiting for {} channels to be passivated", setup.n_channels);
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let subject = Subject::start(setup, &fake).await?;
    joined(&fake, setup.n_channels).await?;
    Load::new(&fake, setup.n_channels, 0.0).command_in_each().await;
    let deadline = Instant::now() + PASSIVATE_TIMEOUT;
    loop {
        tokio::time::sleep(SETTLE).await;
        let scrape = subject.scrape().await.ok_or_else(|| Error::other("the bot has no metrics"))?;
        if scrape.with_label("waddlebot_active_channels", "platform=\"twitch\"") < 1.0 {
            break;
        }
        if Instant::now() >= deadline {
            return Err(Error::other("the channels were not passivated in time"));
        }
    }
    let usage = settled(&subject).await?;
    subject.stop().await?;
    Ok(usage.rss_kib as f64)
}

pub(crate) async fn settled(subject: &Subject) -> Result<Usage> {
    tokio::time::sleep(SETTLE).await;
    process::usage(subject.process_id)
}
