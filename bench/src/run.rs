//! One measured process from its start to its end, for each subject and number of channels.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::{FakeConfig, FakeTwitch};

use crate::arguments::Plan;
use crate::load::{Load, Loaded, Tally, percentile};
use crate::process::{self, Usage};
use crate::subject::{Kind, Subject};

const JOIN_TIMEOUT: Duration = Duration::from_mins(2);
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Load before the saturated one that is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// The paced load is this share of what the saturated one showed.
const PACED_SHARE: f64 = 0.5;

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) ready_ms: f64,
    pub(crate) first_reply_ms: f64,
    pub(crate) all_joined_ms: f64,
    /// All joined, nothing said but one line.
    pub(crate) rss_idle_kib: f64,
    /// After one command in each channel.
    pub(crate) rss_answered_kib: f64,
    /// How fast those first commands were answered.
    pub(crate) first_commands_per_second: f64,
    pub(crate) rss_loaded_kib: f64,
    pub(crate) lines_per_cpu_second: f64,
    pub(crate) lines_per_second: f64,
    /// Share of its core that the subject used while saturated.
    pub(crate) subject_share: f64,
    /// Share of its core that the load used meanwhile.
    pub(crate) load_share: f64,
    pub(crate) paced_lines_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) load_lag_p99_ms: f64,
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
    let mut kinds: Vec<Kind> = plan.bot.iter().cloned().map(Kind::Bot).collect();
    if plan.bare_client {
        kinds.extend([Kind::BareClient, Kind::DrainClient]);
    }
    if kinds.is_empty() {
        return Err(Error::other("nothing to measure: give --bot, or leave out --no-bare-client"));
    }
    let mut series: Vec<Series> = Vec::new();
    for n_channels in &plan.channels {
        series.extend(kinds.iter().map(|kind| Series {
            kind: kind.clone(),
            n_channels: *n_channels,
            runs: Vec::new(),
        }));
    }
    for n_run in 1..=plan.n_runs {
        for one in &mut series {
            eprintln!("run {n_run}/{}: {}, {} channels", plan.n_runs, one.kind.name(), one.n_channels);
            one.runs.push(once(plan, &one.kind, one.n_channels).await?);
        }
    }
    Ok(series)
}

async fn once(plan: &Plan, kind: &Kind, n_channels: usize) -> Result<Figures> {
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let subject = Subject::start(kind, plan, &fake, n_channels).await?;
    let mut load = Load::new(&fake, n_channels);
    let figures = measure(plan, &subject, &fake, &mut load).await;
    let figures =
        figures.map_err(|error| Error::other(format!("{}: {error}\n{}", kind.name(), subject.log_tail())));
    subject.stop().await?;
    figures
}

async fn measure(plan: &Plan, subject: &Subject, fake: &FakeTwitch, load: &mut Load<'_>) -> Result<Figures> {
    let mut figures = Figures { ready_ms: millis(subject.ready_after), ..Figures::default() };
    let joined_by = Instant::now() + JOIN_TIMEOUT;
    if !fake.wait_until(|fake| fake.joined_channel(&crate::subject::channel_login(0)), joined_by).await {
        return Err(Error::other("the first channel was not joined"));
    }
    figures.first_reply_ms = millis(load.first_reply(REPLY_TIMEOUT).await? - subject.started_at);
    if !fake.wait_joined(load.n_channels(), joined_by).await {
        return Err(Error::other(format!("only {} channels were joined", fake.n_joined())));
    }
    figures.all_joined_ms = millis(subject.started_at.elapsed());
    figures.rss_idle_kib = settled(subject).await?.rss_kib as f64;
    let first = load.command_in_each().await;
    figures.first_commands_per_second = first.n_lines as f64 / first.wall.as_secs_f64();
    figures.rss_answered_kib = settled(subject).await?.rss_kib as f64;

    load.saturate(WARM_UP).await;
    let before = (process::usage(subject.process_id)?, process::usage(std::process::id())?);
    let saturated = load.saturate(plan.length).await;
    let after = (process::usage(subject.process_id)?, process::usage(std::process::id())?);
    saturation(
        &mut figures,
        &saturated,
        after.0.cpu_secs - before.0.cpu_secs,
        after.1.cpu_secs - before.1.cpu_secs,
    );

    figures.paced_lines_per_second = figures.lines_per_second * PACED_SHARE;
    let paced = load.pace(figures.paced_lines_per_second, plan.length).await;
    figures.p50_ms = millis(percentile(&paced.latencies, 500));
    figures.p99_ms = millis(percentile(&paced.latencies, 990));
    figures.max_ms = millis(percentile(&paced.latencies, 1000));
    figures.load_lag_p99_ms = millis(percentile(&paced.lags, 990));
    figures.rss_loaded_kib = process::usage(subject.process_id)?.rss_kib as f64;
    figures.shed_lines = subject.metric("waddlebot_messages_dropped_total").await;
    figures.dropped_replies = subject.metric("waddlebot_replies_dropped_total").await;
    figures.tally = first.tally.plus(saturated.tally).plus(paced.tally);
    Ok(figures)
}

fn saturation(figures: &mut Figures, loaded: &Loaded, subject_cpu_secs: f64, load_cpu_secs: f64) {
    let wall_secs = loaded.wall.as_secs_f64();
    figures.lines_per_second = loaded.n_lines as f64 / wall_secs;
    figures.lines_per_cpu_second = loaded.n_lines as f64 / subject_cpu_secs;
    figures.subject_share = subject_cpu_secs / wall_secs;
    figures.load_share = load_cpu_secs / wall_secs;
}

async fn settled(subject: &Subject) -> Result<Usage> {
    tokio::time::sleep(SETTLE).await;
    process::usage(subject.process_id)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
