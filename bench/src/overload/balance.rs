//! Every line is accounted for: said = read = handled + dropped + repeated.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fake_twitch::FakeTwitch;

use crate::subject::Subject;

/// How long the bot may take to come to rest.
const REST_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The bot's counters at one moment, beside what the load's side counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance {
    /// Lines of every kind that were queued for the bot.
    pub(crate) n_sent: f64,
    pub(crate) n_in: f64,
    pub(crate) n_handled: f64,
    pub(crate) dropped: Vec<(String, f64)>,
    pub(crate) n_repeated: f64,
    pub(crate) dropped_replies: Vec<(String, f64)>,
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
            let agree = balance.n_unaccounted() == 0.0 && balance.n_unread() == 0.0;
            if (agree && at_rest) || (at_rest && balance.n_disconnects > 0) || Instant::now() >= deadline {
                return Ok(balance);
            }
            last = balance;
        }
    }

    async fn read(fake: &FakeTwitch, subject: &Subject) -> Result<Self> {
        let n_sent = fake.n_wire_lines() as f64;
        let scrape =
            subject.scrape().await.ok_or_else(|| Error::other("the bot's metrics cannot be read"))?;
        let twitch = "platform=\"twitch\"";
        Ok(Self {
            n_sent,
            n_in: scrape.with_label("waddlebot_lines_in_total", twitch),
            n_handled: scrape.with_label("waddlebot_lines_handled_total", twitch),
            dropped: scrape.by_reason("waddlebot_messages_dropped_total"),
            n_repeated: scrape.sum("waddlebot_duplicates_suppressed_total").unwrap_or(0.0),
            dropped_replies: scrape.by_reason("waddlebot_replies_dropped_total"),
            n_disconnects: fake.counters().disconnects,
        })
    }

    pub(crate) fn n_dropped(&self) -> f64 {
        self.dropped.iter().map(|(_, n)| n).sum()
    }

    /// Lines that were queued and not read.
    pub(crate) fn n_unread(&self) -> f64 {
        self.n_sent - self.n_in
    }

    /// Lines that were read and neither handled nor dropped nor repeated.
    pub(crate) fn n_unaccounted(&self) -> f64 {
        self.n_in - self.n_handled - self.n_dropped() - self.n_repeated
    }

    /// `None`: it comes out even.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.n_unaccounted() != 0.0 {
            return Some(format!("{:.0} lines were read and are not accounted for", self.n_unaccounted()));
        }
        // On a connection that ended, lines were on their way.
        let unread = self.n_unread() != 0.0 && self.n_disconnects == 0;
        unread.then(|| format!("{:.0} lines were sent and not counted as read", self.n_unread()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_counted_is_a_problem() {
        let even = Balance {
            n_sent: 10.0,
            n_in: 10.0,
            n_handled: 6.0,
            dropped: vec![("channel_full".to_owned(), 3.0)],
            n_repeated: 1.0,
            ..Balance::default()
        };
        assert_eq!(even.problem(), None);
        assert!(
            Balance { n_handled: 5.0, ..even.clone() }.problem().unwrap().starts_with("1 lines were read")
        );
        let unread = Balance { n_sent: 12.0, ..even };
        assert!(unread.problem().unwrap().starts_with("2 lines were sent"));
        assert_eq!(Balance { n_disconnects: 1, ..unread }.problem(), None);
    }
}
