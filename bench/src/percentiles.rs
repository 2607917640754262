//! Raw percentiles: nearest ranks of all samples, nothing put into buckets.

use std::time::Duration;

/// What a set of waiting times looks like, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) n_samples: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Percentiles {
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |thousandths| millis(percentile(&samples, thousandths));
        Self {
            n_samples: samples.len(),
            p50_ms: at(500),
            p90_ms: at(900),
            p99_ms: at(990),
            p999_ms: at(999),
            max_ms: at(1000),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The value below which this many thousandths of the sorted samples lie; zero without samples.
fn percentile(sorted: &[Duration], thousandths: usize) -> Duration {
    let rank = (thousandths * sorted.len()).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let percentiles = Percentiles::of(samples);
        let wanted = Percentiles {
            n_samples: 200,
            p50_ms: 100.0,
            p90_ms: 180.0,
            p99_ms: 198.0,
            p999_ms: 200.0,
            max_ms: 200.0,
        };
        assert_eq!(percentiles, wanted);
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }
}
