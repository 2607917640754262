//! The figures as Markdown: medians of the runs, sums of what must be 0.

use std::fmt::Write;
use std::io::Result;

use crate::arguments::Plan;
use crate::load::Tally;
use crate::process;
use crate::run::{Figures, Series};
use crate::subject::Kind;

/// The 99th percentile may be so long, or twice the echo loop's when that is more.
const HALF_P99_MS_MAX: f64 = 5.0;
const ECHO_LOOPS_MAX: f64 = 2.0;

/// The whole report.
///
/// # Errors
/// The machine's description cannot be read.
pub(crate) fn markdown(plan: &Plan, series: &[Series]) -> Result<String> {
    let mut out = head(plan)?;
    write_throughput(&mut out, series).map_err(std::io::Error::other)?;
    write_latency(&mut out, series).map_err(std::io::Error::other)?;
    write_memory(&mut out, series).map_err(std::io::Error::other)?;
    write_comparison(&mut out, series).map_err(std::io::Error::other)?;
    Ok(out)
}

/// What all reports begin with.
pub(crate) fn head(plan: &Plan) -> Result<String> {
    let shape = if plan.exponent == 0.0 { "all as busy" } else { "busy as Zipf has it (exponent 1)" };
    Ok(format!(
        "Machine: {}. Command: `{}`. Medians of {} runs; load on core {}, the measured process on core {}; \
         {} s for each load; 5 % of the lines are commands, lines of about 440 bytes with all tags; channels {shape}.\n\n",
        process::machine()?,
        plan.command,
        plan.n_runs,
        plan.load_core,
        plan.bot_core,
        plan.length.as_secs(),
    ))
}

/// What went wrong with the bot's replies, as a sentence; `None`: nothing.
pub(crate) fn trouble(series: &[Series]) -> Option<String> {
    let mut sentences = Vec::new();
    for one in series.iter().filter(|one| one.kind.is_bot()) {
        let Tally { commands, lost, doubled, misrouted, disordered, .. } = total_tally(one);
        if lost + doubled + misrouted + disordered > 0 {
            sentences.push(format!(
                "{} at {} channels: of {commands} commands {lost} lost, {doubled} doubled, {misrouted} misrouted, \
                 {disordered} out of order",
                one.kind.name(),
                one.n_channels
            ));
        }
    }
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

fn total_tally(series: &Series) -> Tally {
    series.runs.iter().fold(Tally::default(), |sum, run| sum.plus(run.tally))
}

fn write_throughput(out: &mut String, series: &[Series]) -> std::fmt::Result {
    out.push_str("| subject | channels | lines/s and core | lines/s | its core | load's core | lost | doubled | misrouted | out of order | lines shed | replies dropped |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in series {
        let of = |field: fn(&Figures) -> f64| median(one, field);
        let tally = total_tally(one);
        write!(out, "| {} | {} ", one.kind.name(), one.n_channels)?;
        write!(out, "| {:.0} | {:.0} ", of(|run| run.lines_per_cpu_second), of(|run| run.lines_per_second))?;
        let shares = (of(|run| run.subject_share * 100.0), of(|run| run.load_share * 100.0));
        write!(out, "| {:.0} % | {:.0} % ", shares.0, shares.1)?;
        write!(out, "| {} of {} | {} ", tally.lost, tally.commands, tally.doubled)?;
        write!(out, "| {} | {} ", tally.misrouted, tally.disordered)?;
        let counted = (total(one, |run| run.shed_lines), total(one, |run| run.dropped_replies));
        writeln!(out, "| {} | {} |", counted.0, counted.1)?;
    }
    out.push_str(
        "\nClosed loop. Lines/s and core: lines by CPU second of the measured process. Shed and dropped: what the process \
         itself counts, in all loads. The echo loop only finds the commands and answers them: the machine's and the load's own limit.\n\n",
    );
    Ok(())
}

fn write_latency(out: &mut String, series: &[Series]) -> std::fmt::Result {
    out.push_str("| subject | channels | at lines/s | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | load's lag p99 ms |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in series {
        for point in 0..2 {
            let of = |field: fn(&Figures, usize) -> f64| median(one, |run| field(run, point));
            write!(out, "| {} | {} ", one.kind.name(), one.n_channels)?;
            write!(out, "| {:.0} ", of(|run, point| run.paced[point].lines_per_second))?;
            write!(out, "| {:.3} ", of(|run, point| run.paced[point].latency.p50_ms))?;
            write!(out, "| {:.3} ", of(|run, point| run.paced[point].latency.p90_ms))?;
            write!(out, "| {:.2} ", of(|run, point| run.paced[point].latency.p99_ms))?;
            write!(out, "| {:.2} ", of(|run, point| run.paced[point].latency.p999_ms))?;
            write!(out, "| {:.2} ", of(|run, point| run.paced[point].latency.max_ms))?;
            writeln!(out, "| {:.2} |", of(|run, point| run.paced[point].lag_p99_ms))?;
        }
    }
    out.push_str(
        "\nOpen loop, raw percentiles from the moment a command was due to the moment its reply was read: at half the lines/s of \
         the subject's closed loop, the echo loop at those of the bot in the same run; and at 1,000 lines/s.\n\n",
    );
    Ok(())
}

fn write_memory(out: &mut String, series: &[Series]) -> std::fmt::Result {
    out.push_str("| subject | channels | KiB per idle channel | KiB per channel that answered | KiB per passivated channel | RSS idle MiB | RSS after load MiB | first commands/s | ready ms | first reply ms | all joined ms |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in series.iter().filter(|one| one.kind != Kind::EchoLoop) {
        let of = |field: fn(&Figures) -> f64| median(one, field);
        write!(out, "| {} | {} ", one.kind.name(), one.n_channels)?;
        write!(
            out,
            "| {} | {} ",
            per_channel(one, |run| run.rss_idle_kib),
            per_channel(one, |run| run.rss_answered_kib)
        )?;
        if one.runs.iter().all(|run| run.rss_passivated_kib.is_some()) {
            write!(out, "| {} ", per_channel(one, |run| run.rss_passivated_kib.unwrap_or_default()))?;
        } else {
            out.push_str("| – ");
        }
        let rss = (of(|run| run.rss_idle_kib / 1024.0), of(|run| run.rss_loaded_kib / 1024.0));
        write!(out, "| {:.1} | {:.1} ", rss.0, rss.1)?;
        write!(out, "| {:.0} | {:.0} ", of(|run| run.first_commands_per_second), of(|run| run.ready_ms))?;
        writeln!(out, "| {:.0} | {:.0} |", of(|run| run.first_reply_ms), of(|run| run.all_joined_ms))?;
    }
    out.push_str(
        "\nKiB per channel: the growth of RSS over the same process with one channel, by the channels more. \
         First commands: one in each channel, nothing warm. Times: from the start of the process, with all its channels to join.\n",
    );
    Ok(())
}

/// The bot beside the others of the same runs.
fn write_comparison(out: &mut String, series: &[Series]) -> std::fmt::Result {
    for bot in series.iter().filter(|one| one.kind.is_bot()) {
        let beside =
            |kind: &Kind| series.iter().find(|one| one.kind == *kind && one.n_channels == bot.n_channels);
        write!(out, "\n- {} at {} channels", bot.kind.name(), bot.n_channels)?;
        if let Some(bare) = beside(&Kind::BareClient) {
            let of = |one| median(one, |run| run.lines_per_cpu_second);
            write!(out, ": {:.1} times the bare client's lines/s and core", of(bot) / of(bare))?;
        }
        if let Some(echo) = beside(&Kind::EchoLoop) {
            let p99_ms = |one| median(one, |run| run.paced[0].latency.p99_ms);
            let (own, echo) = (p99_ms(bot), p99_ms(echo));
            let bar = HALF_P99_MS_MAX.max(ECHO_LOOPS_MAX * echo);
            write!(
                out,
                "; p99 {own:.2} ms beside the echo loop's {echo:.2} ms, where {bar:.2} ms is allowed"
            )?;
        }
        out.push('.');
    }
    out.push('\n');
    Ok(())
}

pub(crate) fn median(series: &Series, field: impl Fn(&Figures) -> f64) -> f64 {
    middle(series.runs.iter().map(field).collect())
}

pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The sum of what the subject counts itself; a dash when it counts nothing of the kind.
fn total(series: &Series, field: fn(&Figures) -> Option<f64>) -> String {
    let known: Vec<f64> = series.runs.iter().filter_map(field).collect();
    if known.is_empty() { "–".to_owned() } else { format!("{:.0}", known.iter().sum::<f64>()) }
}

fn per_channel(series: &Series, field: fn(&Figures) -> f64) -> String {
    if series.n_channels < 2 {
        return "–".to_owned();
    }
    let grown = median(series, |run| field(run) - run.rss_empty_kib);
    format!("{:.1}", grown / (series.n_channels - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n_channels: usize, idle: [f64; 3]) -> Series {
        let of = |rss_idle_kib| Figures { rss_empty_kib: 900.0, rss_idle_kib, ..Figures::default() };
        Series { kind: Kind::BareClient, n_channels, runs: idle.map(of).to_vec() }
    }

    #[test]
    fn memory_of_a_channel_is_growth_over_one_channel() {
        assert_eq!(per_channel(&series(101, [1300.0, 1500.0, 1100.0]), |run| run.rss_idle_kib), "4.0");
        assert_eq!(per_channel(&series(1, [1000.0; 3]), |run| run.rss_idle_kib), "–");
    }

    #[test]
    fn only_the_bots_replies_are_trouble() {
        let mut one = series(1, [0.0; 3]);
        one.runs[1].tally = Tally { commands: 7, lost: 2, ..Tally::default() };
        assert_eq!(trouble(std::slice::from_ref(&one)), None);
        one.kind = Kind::Bot("waddlebot".into(), crate::subject::Transport::Tcp);
        let text = trouble(&[one]).unwrap();
        assert!(text.contains("of 7 commands 2 lost, 0 doubled"), "{text}");
    }
}
