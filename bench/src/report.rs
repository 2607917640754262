//! The figures as Markdown: medians of the runs, sums of what must be 0.

use std::fmt::Write;
use std::io::Result;

use crate::arguments::Plan;
use crate::process;
use crate::run::{Figures, Series};
use crate::subject::Kind;

/// The whole report.
///
/// # Errors
/// The machine's description cannot be read.
pub(crate) fn markdown(plan: &Plan, series: &[Series]) -> Result<String> {
    let mut out = format!(
        "Machine: {}. Command: `{}`. Medians of {} runs; load on core {}, the measured process on core {}; \
         {} s for each load; 5 % of the lines are commands, lines of about 440 bytes with all tags.\n\n",
        process::machine()?,
        plan.command,
        plan.n_runs,
        plan.load_core,
        plan.bot_core,
        plan.length.as_secs(),
    );
    write_throughput(&mut out, series).map_err(std::io::Error::other)?;
    write_memory(&mut out, series).map_err(std::io::Error::other)?;
    Ok(out)
}

fn write_throughput(out: &mut String, series: &[Series]) -> std::fmt::Result {
    out.push_str("| subject | channels | lines/s and core | lines/s | its core | load's core | at lines/s | p50 ms | p99 ms | max ms | load's lag p99 ms | lost | doubled | misrouted | out of order | lines shed | replies dropped |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in series {
        let of = |field: fn(&Figures) -> f64| median(one, field);
        let sum = |field: fn(&Figures) -> u64| one.runs.iter().map(field).sum::<u64>();
        write!(out, "| {} | {} ", one.kind.name(), one.n_channels)?;
        write!(out, "| {:.0} | {:.0} ", of(|run| run.lines_per_cpu_second), of(|run| run.lines_per_second))?;
        write!(
            out,
            "| {:.0} % | {:.0} % ",
            of(|run| run.subject_share * 100.0),
            of(|run| run.load_share * 100.0)
        )?;
        write!(out, "| {:.0} | {:.2} ", of(|run| run.paced_lines_per_second), of(|run| run.p50_ms))?;
        write!(out, "| {:.2} | {:.2} ", of(|run| run.p99_ms), of(|run| run.max_ms))?;
        write!(out, "| {:.2} ", of(|run| run.load_lag_p99_ms))?;
        write!(out, "| {} of {} ", sum(|run| run.tally.lost), sum(|run| run.tally.commands))?;
        write!(out, "| {} | {} ", sum(|run| run.tally.doubled), sum(|run| run.tally.misrouted))?;
        write!(out, "| {} ", sum(|run| run.tally.disordered))?;
        writeln!(
            out,
            "| {} | {} |",
            total(one, |run| run.shed_lines),
            total(one, |run| run.dropped_replies)
        )?;
    }
    out.push_str(
        "\nLines/s and core: lines by CPU second of the measured process, in a closed loop. Latency: from the moment \
         a command was due to the moment its reply was read, in an open loop at half the lines/s of the closed one. \
         Shed and dropped: what the process itself counts. `(discards all)` reads and forgets: the load's own ceiling.\n\n",
    );
    Ok(())
}

fn write_memory(out: &mut String, series: &[Series]) -> std::fmt::Result {
    out.push_str("| subject | channels | KiB per idle channel | KiB per channel that answered | RSS idle MiB | RSS after load MiB | first commands/s | ready ms | first reply ms | all joined ms |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in series.iter().filter(|one| one.kind != Kind::DrainClient) {
        let of = |field: fn(&Figures) -> f64| median(one, field);
        write!(out, "| {} | {} ", one.kind.name(), one.n_channels)?;
        write!(out, "| {} ", per_channel(series, one, |run| run.rss_idle_kib))?;
        write!(out, "| {} ", per_channel(series, one, |run| run.rss_answered_kib))?;
        write!(
            out,
            "| {:.1} | {:.1} ",
            of(|run| run.rss_idle_kib / 1024.0),
            of(|run| run.rss_loaded_kib / 1024.0)
        )?;
        write!(out, "| {:.0} | {:.0} ", of(|run| run.first_commands_per_second), of(|run| run.ready_ms))?;
        writeln!(out, "| {:.0} | {:.0} |", of(|run| run.first_reply_ms), of(|run| run.all_joined_ms))?;
    }
    out.push_str(
        "\nKiB per channel: the growth of RSS over the same process with the fewest channels, by the channels added. \
         First commands: one in each channel, nothing warm. Times: from the start of the process, with all its channels to join.\n",
    );
    Ok(())
}

fn median(series: &Series, field: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = series.runs.iter().map(field).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The sum of what the subject counts itself; a dash when it counts nothing of the kind.
fn total(series: &Series, field: fn(&Figures) -> Option<f64>) -> String {
    let known: Vec<f64> = series.runs.iter().filter_map(field).collect();
    if known.is_empty() { "–".to_owned() } else { format!("{:.0}", known.iter().sum::<f64>()) }
}

fn per_channel(all: &[Series], one: &Series, field: fn(&Figures) -> f64) -> String {
    let same = all.iter().filter(|other| other.kind == one.kind);
    let fewest = same.min_by_key(|other| other.n_channels).expect("the series itself is among them");
    let n_added = one.n_channels - fewest.n_channels;
    if n_added == 0 {
        return "–".to_owned();
    }
    format!("{:.1}", (median(one, field) - median(fewest, field)) / n_added as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n_channels: usize, idle: [f64; 3]) -> Series {
        let runs =
            idle.iter().map(|rss_idle_kib| Figures { rss_idle_kib: *rss_idle_kib, ..Figures::default() });
        Series { kind: Kind::BareClient, n_channels, runs: runs.collect() }
    }

    #[test]
    fn memory_of_a_channel_is_growth_over_the_fewest() {
        let all = [series(1, [1000.0, 900.0, 5000.0]), series(101, [1500.0, 1200.0, 1400.0])];
        assert_eq!(per_channel(&all, &all[1], |run| run.rss_idle_kib), "4.0");
        assert_eq!(per_channel(&all, &all[0], |run| run.rss_idle_kib), "–");
    }
}
