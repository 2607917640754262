//! What a second worker costs: CPU seconds a line on several cores beside those on one, at the same lines a second.

use std::fmt::Write;
use std::io::Result;

use fake_twitch::{FakeConfig, FakeTwitch};

use crate::arguments::Plan;
use crate::load::{Load, Tally, Waiting};
use crate::process;
use crate::report::{head, middle};
use crate::run::{bots, joined};
use crate::subject::{Kind, Setup, Subject};

/// Share of what one core takes, so that both have room.
const SHARE: f64 = 0.3;
const WARM_UP: std::time::Duration = std::time::Duration::from_secs(1);
/// What the second worker may cost.
const RATIO_MAX: f64 = 1.15;

/// One process under a pace.
#[derive(Clone, Copy, Debug, Default)]
struct Worked {
    cpu_micros_per_line: f64,
    p50_ms: f64,
    p99_ms: f64,
    tally: Tally,
}

/// The same pace on one core and on several.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    lines_per_second: f64,
    one: Worked,
    several: Worked,
}

/// Measures, prints nothing but progress, and returns the report and what went wrong with the replies.
pub(crate) async fn report(plan: &Plan, cores: &str) -> Result<(String, Option<String>)> {
    let mut out = head(plan)?;
    out.push_str("| subject | channels | at lines/s | one core: µs CPU a line | cores ");
    writeln!(
        out,
        "{cores}: µs CPU a line | ratio (median of the runs) | p50, p99 ms on one | p50, p99 ms on {cores} |"
    )
    .map_err(std::io::Error::other)?;
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    let mut tally = Tally::default();
    for kind in bots(plan) {
        for n_channels in &plan.channels {
            let mut pairs = Vec::new();
            for n_run in 1..=plan.n_runs {
                eprintln!(
                    "run {n_run}/{}: {}, {n_channels} channels, cores {cores}",
                    plan.n_runs,
                    kind.name()
                );
                pairs.push(pair(plan, &kind, *n_channels, cores).await?);
            }
            tally = pairs.iter().fold(tally, |sum, pair| sum.plus(pair.one.tally).plus(pair.several.tally));
            write_row(&mut out, &kind, *n_channels, &pairs).map_err(std::io::Error::other)?;
        }
    }
    writeln!(
        out,
        "\nOpen loop at {:.0} % of what the bot takes on core {}. The bot has as many workers as cores. The load runs on core {} and sleeps a \
         millisecond between its lines; with only two cores it shares one of them with the bot: \
         the waiting times are then longer, and reads that come later bring more lines at once. Wanted: at most {RATIO_MAX}.",
        SHARE * 100.0,
        plan.bot_core,
        plan.load_core
    )
    .map_err(std::io::Error::other)?;
    Ok((out, trouble(tally)))
}

fn trouble(tally: Tally) -> Option<String> {
    let Tally { commands, lost, doubled, misrouted, disordered, .. } = tally;
    (lost + doubled + misrouted + disordered > 0).then(|| {
        format!("of {commands} commands {lost} lost, {doubled} doubled, {misrouted} misrouted, {disordered} out of order")
    })
}

fn write_row(out: &mut String, kind: &Kind, n_channels: usize, pairs: &[Pair]) -> std::fmt::Result {
    let of = |field: fn(&Pair) -> f64| middle(pairs.iter().map(field).collect());
    write!(out, "| {} | {n_channels} | {:.0} ", kind.name(), of(|pair| pair.lines_per_second))?;
    let costs = (of(|pair| pair.one.cpu_micros_per_line), of(|pair| pair.several.cpu_micros_per_line));
    write!(out, "| {:.2} | {:.2} ", costs.0, costs.1)?;
    write!(out, "| {:.2} ", of(|pair| pair.several.cpu_micros_per_line / pair.one.cpu_micros_per_line))?;
    write!(out, "| {:.2}, {:.1} ", of(|pair| pair.one.p50_ms), of(|pair| pair.one.p99_ms))?;
    writeln!(out, "| {:.2}, {:.1} |", of(|pair| pair.several.p50_ms), of(|pair| pair.several.p99_ms))
}

async fn pair(plan: &Plan, kind: &Kind, n_channels: usize, cores: &str) -> Result<Pair> {
    let one_core = plan.bot_core.to_string();
    let setup = Setup { kind, cores: &one_core, n_channels, module_idle_secs: None, environment: &[] };
    let (lines_per_second, one) = worked(plan, setup, None).await?;
    let (_, several) = worked(plan, Setup { cores, ..setup }, Some(lines_per_second)).await?;
    Ok(Pair { lines_per_second, one, several })
}

/// `rate` `None`: it is found out first.
async fn worked(plan: &Plan, setup: Setup<'_>, rate: Option<f64>) -> Result<(f64, Worked)> {
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let subject = Subject::start(setup, &fake).await?;
    joined(&fake, setup.n_channels).await?;
    let mut load = Load::new(&fake, setup.n_channels, plan.exponent);
    load.command_in_each().await;
    let rate = if let Some(rate) = rate {
        rate
    } else {
        let saturated = load.saturate(plan.length).await;
        saturated.n_lines as f64 / saturated.wall.as_secs_f64() * SHARE
    };
    // Both begin the measured pace from the same pace.
    load.pace(rate, WARM_UP, Waiting::Tick).await;
    let before = process::usage(subject.process_id)?;
    let loaded = load.pace(rate, plan.length, Waiting::Tick).await;
    let cpu_secs = process::usage(subject.process_id)?.cpu_secs - before.cpu_secs;
    subject.stop().await?;
    let worked = Worked {
        cpu_micros_per_line: cpu_secs * 1e6 / loaded.n_lines as f64,
        p50_ms: loaded.latency.p50_ms,
        p99_ms: loaded.latency.p99_ms,
        tally: loaded.tally,
    };
    Ok((rate, worked))
}
