//! Every line is accounted for: said = read = handled + dropped + repeated.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::FakeTwitch;

use crate::subject::{Scrape, Subject};

/// How long the bot may take to come to rest.
const REST_TIMEOUT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The bot's counters at one moment, beside what the load's side counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance {
    /// Lines of every kind that were queued for the bot.
    pub(crate) n_sent: i64,
    pub(crate) n_in: i64,
    pub(crate) n_handled: i64,
    pub(crate) dropped: Vec<(String, i64)>,
    pub(crate) n_repeated: i64,
    pub(crate) dropped_replies: Vec<(String, i64)>,
    /// Connections that ended: what was on its way to them was never read.
    pub(crate) n_disconnects: u64,
}

impl Balance {
    /// Waits until the counters agree or no longer change.
    pub(crate) async fn at_rest(fake: &FakeTwitch, subject: &Subject) -> Result<Self> {
        let deadline = Instant::now() + REST_TIMEOUT;
        let mut last = Self::read(fake, subject).await?;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let balance = Self::read(fake, subject).await?;
            let at_rest = balance.n_in == last.n_in && balance.n_unaccounted() == last.n_unaccounted();
            let agree = balance.n_unaccounted() == 0 && balance.n_unread() == 0;
            let is_over = at_rest && (agree || balance.n_disconnects > 0);
            if is_over || Instant::now() >= deadline {
                return Ok(balance);
            }
            last = balance;
        }
    }

    async fn read(fake: &FakeTwitch, subject: &Subject) -> Result<Self> {
        let n_sent = i64::try_from(fake.n_wire_lines()).unwrap_or(i64::MAX);
        let scrape =
            subject.scrape().await.ok_or_else(|| Error::other("the bot's metrics cannot be read"))?;
        let twitch = "platform=\"twitch\"";
        Ok(Self {
            n_sent,
            n_in: whole(scrape.with_label("waddlebot_lines_in_total", twitch)),
            n_handled: whole(scrape.with_label("waddlebot_lines_handled_total", twitch)),
            dropped: whole_by_reason(&scrape, "waddlebot_messages_dropped_total"),
            n_repeated: whole(scrape.sum("waddlebot_duplicates_suppressed_total").unwrap_or(0.0)),
            dropped_replies: whole_by_reason(&scrape, "waddlebot_replies_dropped_total"),
            n_disconnects: fake.counters().disconnects,
        })
    }

    pub(crate) fn n_dropped(&self) -> i64 {
        self.dropped.iter().map(|(_, n)| n).sum()
    }

    /// Lines that were queued and not read.
    pub(crate) fn n_unread(&self) -> i64 {
        self.n_sent - self.n_in
    }

    /// Lines that were read and neither handled nor dropped nor repeated.
    pub(crate) fn n_unaccounted(&self) -> i64 {
        self.n_in - self.n_handled - self.n_dropped() - self.n_repeated
    }

    /// `None`: it comes out even.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.n_unaccounted() != 0 {
            return Some(format!("{} lines were read and are not accounted for", self.n_unaccounted()));
        }
        // On a connection that ended, lines were on their way.
        let unread = self.n_unread() != 0 && self.n_disconnects == 0;
        unread.then(|| format!("{} lines were sent and not counted as read", self.n_unread()))
    }
}

/// Prometheus knows only floating point; these count lines.
#[expect(clippy::cast_possible_truncation, reason = "counts of lines are far below 2^53")]
fn whole(value: f64) -> i64 {
    value as i64
}

fn whole_by_reason(scrape: &Scrape, name: &str) -> Vec<(String, i64)> {
    scrape.by_reason(name).into_iter().map(|(reason, value)| (reason, whole(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_counted_is_a_problem() {
        let even = Balance {
            n_sent: 10,
            n_in: 10,
            n_handled: 6,
            dropped: vec![("channel_full".to_owned(), 3)],
            n_repeated: 1,
            ..Balance::default()
        };
        assert_eq!(even.problem(), None);
        assert!(Balance { n_handled: 5, ..even.clone() }.problem().unwrap().starts_with("1 lines were read"));
        let unread = Balance { n_sent: 12, ..even };
        assert!(unread.problem().unwrap().starts_with("2 lines were sent"));
        assert_eq!(Balance { n_disconnects: 1, ..unread }.problem(), None);
    }
}
