//! The table that a run ends in.

use std::time::Duration;

use super::faults::Spread;
use super::ledger::Judgement;
use crate::percentiles::{Percentiles, millis};

/// One figure beside what is asked of it.
pub(crate) struct Line {
    row: &'static str,
    what: String,
    measured: String,
    bar: String,
    is_met: bool,
}

impl Line {
    pub(crate) fn new(
        row: &'static str,
        what: impl Into<String>,
        measured: String,
        bar: &str,
        is_met: bool,
    ) -> Self {
        Self { row, what: what.into(), measured, bar: bar.to_owned(), is_met }
    }

    /// A count that may not be passed.
    pub(crate) fn count(row: &'static str, what: &str, n: usize, n_max: usize) -> Self {
        Self::new(row, what, n.to_string(), &n_max.to_string(), n <= n_max)
    }

    pub(crate) fn at_most(row: &'static str, what: &str, measured: f64, most: f64) -> Self {
        Self::new(row, what, format!("{measured:.2}"), &format!("≤{most}"), measured <= most)
    }

    pub(crate) fn is_met(&self) -> bool {
        self.is_met
    }
}

pub(crate) fn ms(duration: Duration) -> f64 {
    millis(duration)
}

/// A line of waiting times. Without samples it is not met: then nothing was tried.
pub(crate) fn row(
    row: &'static str,
    what: String,
    samples: &[Duration],
    bar: &str,
    is_met: impl FnOnce(&Spread) -> bool,
) -> Line {
    let p = Percentiles::of(samples.to_vec());
    let spread = Spread::of(samples);
    let measured = format!(
        "p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, max {:.0} ms (n = {})",
        p.p50_ms, spread.p95_ms, p.p99_ms, p.max_ms, p.n_samples
    );
    let is_met = !samples.is_empty() && is_met(&spread);
    Line::new(row, what, measured, bar, is_met)
}

/// What the books say after everything.
pub(crate) fn judged(judgement: &Judgement) -> Vec<Line> {
    let Judgement { n_said, n_unheard, n_replied, n_refusals, n_effects, n_acknowledged, .. } = *judgement;
    let seen = format!(
        "{n_said} said in chat ({n_unheard} in a gap), {n_acknowledged} acknowledged over the API; {n_effects} entries, {n_replied} replies, {n_refusals} refused in words"
    );
    let count = |what, n: i64| {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        Line::count("all", what, n, 0)
    };
    vec![
        Line::new("all", "the load", seen, "", true),
        Line::count("all", "acknowledged or answered, and not in the ledger", judgement.n_lost, 0),
        count("double effects", judgement.n_double_effects),
        Line::count("all", "double replies", judgement.n_double_replies, 0),
        Line::count("all", "replies in a wrong channel or to nobody", judgement.n_misrouted, 0),
        count("entries committed by who did not own the channel", judgement.n_strays),
    ]
}

pub(crate) fn markdown(lines: &[Line]) -> String {
    "| # | what | measured | bar | |\n|---|---|---|---|---|\n".to_owned() + &rows(lines)
}

pub(crate) fn rows(lines: &[Line]) -> String {
    let one = |line: &Line| {
        let verdict = if line.is_met { "" } else { "**missed**" };
        format!("| {} |\n", [line.row, &line.what, &line.measured, &line.bar, verdict].join(" | "))
    };
    lines.iter().map(one).collect()
}
