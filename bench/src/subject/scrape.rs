//! What a process counts itself, read from its Prometheus endpoint at one moment.

use std::io::Result;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The samples of one answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    pub(super) async fn read(address: &str) -> Result<Self> {
        let answer = tokio::time::timeout(TIMEOUT, async {
            let mut socket = TcpStream::connect(address).await?;
            let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
            socket.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            socket.read_to_string(&mut text).await?;
            Ok(Self { text })
        });
        answer.await.unwrap_or_else(|elapsed| Err(elapsed.into()))
    }

    /// Labels, as they stand between the braces, and values of a metric.
    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.trim().parse().ok()?))
        })
    }

    /// Sum over all labels; `None`: there is no such metric.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.samples(name).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Sum over the samples with this label, e.g. `platform="twitch"`.
    pub(crate) fn with_label(&self, name: &str, label: &str) -> f64 {
        self.samples(name).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    }

    /// Value by the label `reason`, those above 0.
    pub(crate) fn by_reason(&self, name: &str) -> Vec<(String, f64)> {
        let reason = |labels: &str| Some(labels.split_once("reason=\"")?.1.split_once('"')?.0.to_owned());
        let reasons = self.samples(name).filter(|(_, value)| *value > 0.0);
        reasons.map(|(labels, value)| (reason(labels).unwrap_or_default(), value)).collect()
    }

    /// Cumulative counts of a histogram by the upper end of each bucket, as they are exported.
    pub(crate) fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let bound = |labels: &str| labels.split_once("le=\"")?.1.split_once('"')?.0.parse().ok();
        let name = format!("{name}_bucket");
        self.samples(&name).filter_map(|(labels, value)| Some((bound(labels)?, value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_and_without_labels() {
        let scrape = Scrape {
            text: "# TYPE a counter\na{reason=\"full\"} 3\na{reason=\"budget\",x=\"y\"} 4\na_more 9\nb 5\n\
                   d_bucket{le=\"1\"} 2\nd_bucket{le=\"+Inf\"} 7\n"
                .to_owned(),
        };
        assert_eq!((scrape.sum("a"), scrape.sum("b"), scrape.sum("c")), (Some(7.0), Some(5.0), None));
        assert_eq!(scrape.by_reason("a"), [("full".to_owned(), 3.0), ("budget".to_owned(), 4.0)]);
        assert!((scrape.with_label("a", "x=\"y\"") - 4.0).abs() < f64::EPSILON);
        assert_eq!(scrape.buckets("d"), [(1.0, 2.0), (f64::INFINITY, 7.0)]);
    }
}
