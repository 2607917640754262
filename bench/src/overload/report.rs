//! The overload's figures as Markdown.

use std::fmt::Write;
use std::io::{Error, Result};

use super::{AFTER, NOISE_MS, Outcome, Scenario, WINDOW};
use crate::arguments::Plan;
use crate::process;

/// The whole report: one row a run.
///
/// # Errors
/// The machine's description cannot be read.
pub(crate) fn markdown(plan: &Plan, outcomes: &[Outcome]) -> Result<String> {
    let mut out = format!(
        "Machine: {}. Command: `{}`. One row a run; load on core {}, the bot on core {}.\n\n",
        process::machine()?,
        plan.command,
        plan.load_core,
        plan.bot_core
    );
    write_load(&mut out, outcomes).map_err(Error::other)?;
    write_waits(&mut out, outcomes).map_err(Error::other)?;
    write_balance(&mut out, outcomes).map_err(Error::other)?;
    Ok(out)
}

fn label(one: &Outcome) -> String {
    let secs = one.length.as_secs();
    format!("| {}: {}, {secs} s | {} ", one.subject, one.scenario.name(), one.n_channels)
}

fn write_load(out: &mut String, outcomes: &[Outcome]) -> std::fmt::Result {
    out.push_str("| overload | channels | sustained commands/s | offered commands/s | taken by the socket | not taken | RSS before MiB | peak | after | peak : before | mailbox at most |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let mib = |kib: u64| kib as f64 / 1024.0;
        out.push_str(&label(one));
        write!(out, "| {:.0} | {:.0} | {} | {} ", one.sustained, one.offered, one.n_taken, one.n_not_taken)?;
        write!(out, "| {:.1} | {:.1} ", mib(one.rss_before_kib), mib(one.rss_peak_kib))?;
        write!(out, "| {:.1} ", mib(one.rss_after_kib))?;
        write!(out, "| {:.2} ", one.rss_peak_kib as f64 / one.rss_before_kib as f64)?;
        writeln!(out, "| {} |", one.mailbox_max.map_or_else(|| "–".to_owned(), |depth| format!("{depth}")))?;
    }
    out.push_str(
        "\nSustained: answered in a closed loop of commands alone, in that channel or in all. Offered: ten times as many, each at its \
         time; while sends are stalled, a fixed number with long replies on that connection. Not taken: the bot did not read fast enough, its \
         socket and the 256 KiB before it were full. Peak: the kernel's own. Mailbox: upper end of the highest filled bucket, sampled each second.\n\n",
    );
    Ok(())
}

fn write_waits(out: &mut String, outcomes: &[Outcome]) -> std::fmt::Result {
    out.push_str("| overload | channels | others' p50 ms before, during, after | others' p99 ms before, during, after | on the same connection, p99 ms | PING to PONG, p99 ms | recovered after s | watched commands unanswered |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let looks = [&one.before, &one.during, &one.after];
        let three = |values: [f64; 3]| values.map(|value| format!("{value:.2}")).join(", ");
        out.push_str(&label(one));
        write!(out, "| {} ", three(looks.map(|look| look.others.p50_ms)))?;
        write!(out, "| {} ", three(looks.map(|look| look.others.p99_ms)))?;
        write!(out, "| {} ", three(looks.map(|look| look.same_connection.p99_ms)))?;
        write!(out, "| {} ", three(looks.map(|look| look.ping.p99_ms)))?;
        let recovered = one.recovered_after.map(|after| format!("{:.1}", after.as_secs_f64()));
        writeln!(out, "| {} | {} |", recovered.unwrap_or_else(|| "not".to_owned()), one.tally.lost)?;
    }
    writeln!(
        out,
        "\nOthers: channels on other connections, from the moment a command was due. PING to PONG: on the loaded connection{}; it stands for \
         control lines, as no moderation filter exists yet. Recovered: the start of the first {} s in which the others' p99 is at most twice \
         what it was before, or {NOISE_MS} ms; watched for {} s. With all channels flooded the watched ones are flooded too, and may be shed.\n",
        if outcomes.iter().any(|one| one.scenario == Scenario::StalledSends) {
            ", while sends are stalled on another one"
        } else {
            ""
        },
        WINDOW.as_secs(),
        AFTER.as_secs()
    )
}

fn write_balance(out: &mut String, outcomes: &[Outcome]) -> std::fmt::Result {
    out.push_str("| overload | channels | lines sent | lines in | handled | dropped | repeated | in − handled − dropped − repeated | sent − in | connections ended | replies dropped | answered | doubled | misrouted | out of order |\n");
    out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for one in outcomes {
        let balance = &one.balance;
        out.push_str(&label(one));
        write!(out, "| {} | {} | {} ", balance.n_sent, balance.n_in, balance.n_handled)?;
        write!(out, "| {} | {} ", by_reason(&balance.dropped), balance.n_repeated)?;
        write!(out, "| {} | {} ", balance.n_unaccounted(), balance.n_unread())?;
        write!(out, "| {} | {} ", balance.n_disconnects, by_reason(&balance.dropped_replies))?;
        write!(out, "| {} of {} ", one.tally.answered, one.tally.commands)?;
        writeln!(out, "| {} | {} | {} |", one.tally.doubled, one.tally.misrouted, one.tally.disordered)?;
    }
    out.push_str(
        "\nLines of every kind on the wire, since the start of the bot, at rest. Sent and not in: what was on its way to connections that ended.\n",
    );
    Ok(())
}

fn by_reason(counts: &[(String, i64)]) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let parts: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    parts.join(", ")
}
