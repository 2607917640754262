//! What was asked, what was answered, and what the database holds of it: the run's own account, kept outside the nodes.

use std::collections::{HashMap, HashSet};
use std::io::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fake_twitch::Received;
use sqlx::PgPool;

/// A command that was said in a channel.
struct Said {
    login: String,
    at: Instant,
    /// Connections that heard it; none in a gap.
    n_heard: usize,
    replies: Vec<Reply>,
}

/// One line of the bot.
struct Reply {
    at: Instant,
    connection: u64,
    login: String,
}

#[derive(Default)]
struct Books {
    said: HashMap<String, Said>,
    acknowledged: HashSet<String>,
    /// Lines of the bot with a token that nobody said.
    n_unasked: usize,
    /// Lines without one: `try again`, `busy`.
    n_refusals: usize,
    last_reply: Option<Instant>,
    n_api_asked: usize,
}

/// Every operation has a token of its own, which its reply repeats.
#[derive(Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
}

/// What the books and the database say together.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "all are counts")]
pub(crate) struct Judgement {
    pub(crate) n_said: usize,
    /// Said while no connection listened.
    pub(crate) n_unheard: usize,
    pub(crate) n_replied: usize,
    pub(crate) n_effects: i64,
    pub(crate) n_acknowledged: usize,
    /// Answered, in chat or over the API, and not in the database.
    pub(crate) n_lost: usize,
    pub(crate) n_double_replies: usize,
    /// The sum of all accounts beyond their entries.
    pub(crate) n_double_effects: i64,
    pub(crate) n_misrouted: usize,
    /// Commands that the bot refused in words, such as `try again`.
    pub(crate) n_refusals: usize,
    /// Entries by a process that did not own the channel when it committed.
    pub(crate) n_strays: i64,
}

/// The waiting times of probes, by channel.
pub(crate) struct Gaps {
    pub(crate) longest: Vec<Duration>,
    pub(crate) n_asked: usize,
    pub(crate) n_unanswered: usize,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a command that is about to be said.
    pub(crate) fn said(&self, token: String, login: &str) {
        let said = Said { login: login.to_owned(), at: Instant::now(), n_heard: 0, replies: Vec::new() };
        self.books().said.insert(token, said);
    }

    /// Enters how many connections heard it.
    pub(crate) fn heard(&self, token: &str, n_heard: usize) {
        if let Some(said) = self.books().said.get_mut(token) {
            said.n_heard = n_heard;
        }
    }

    pub(crate) fn asked(&self) {
        self.books().n_api_asked += 1;
    }

    pub(crate) fn acknowledged(&self, token: String) {
        self.books().acknowledged.insert(token);
    }

    /// Enters what the bot said. The token is the last word.
    pub(crate) fn received(&self, lines: Vec<Received>) {
        let mut books = self.books();
        for line in lines {
            books.last_reply = Some(line.at);
            let token = line.text.rsplit(' ').next().unwrap_or_default();
            match books.said.get_mut(token) {
                Some(said) => {
                    if said.login != line.channel_login {
                        eprintln!("{token} was asked in {}, answered: {line:?}", said.login);
                    }
                    let (at, connection) = (line.at, line.connection);
                    said.replies.push(Reply { at, connection, login: line.channel_login });
                }
                None if is_token(token) => {
                    eprintln!("nobody asked for {line:?}");
                    books.n_unasked += 1;
                }
                None => books.n_refusals += 1,
            }
        }
    }

    /// Since when nothing was said by the bot.
    pub(crate) fn is_quiet_for(&self, span: Duration) -> bool {
        self.books().last_reply.is_none_or(|at| at.elapsed() > span)
    }

    /// Lines of these connections after that moment.
    pub(crate) fn n_from(&self, connections: &HashSet<u64>, after: Instant) -> usize {
        let books = self.books();
        let replies = books.said.values().flat_map(|said| &said.replies);
        replies.filter(|reply| reply.at > after && connections.contains(&reply.connection)).count()
    }

    /// How long the probes of this name took, the longest of each channel.
    pub(crate) fn gaps(&self, name: &str) -> Gaps {
        let books = self.books();
        let mut longest: HashMap<&str, Duration> = HashMap::new();
        let (mut n_asked, mut n_unanswered) = (0, 0);
        for (_, said) in books.said.iter().filter(|(token, _)| token.starts_with(name)) {
            n_asked += 1;
            match said.replies.first() {
                Some(reply) => {
                    let took = reply.at.saturating_duration_since(said.at);
                    let longest = longest.entry(said.login.as_str()).or_default();
                    *longest = took.max(*longest);
                }
                None => n_unanswered += 1,
            }
        }
        Gaps { longest: longest.into_values().collect(), n_asked, n_unanswered }
    }

    /// Compares everything so far. The load must rest, or what is under way counts as lost.
    pub(crate) async fn judge(&self, pool: &PgPool) -> Result<Judgement> {
        let entries: Vec<(String,)> =
            sqlx::query_as("SELECT split_part(op_id, '|', 3) FROM ops WHERE op_id LIKE '%|fault_ledger|1'")
                .fetch_all(pool)
                .await
                .map_err(Error::other)?;
        let sum = "SELECT CAST(COALESCE(sum(value), 0) AS BIGINT) FROM counters WHERE name = 'ledger'";
        let (sum,): (i64,) = sqlx::query_as(sum).fetch_one(pool).await.map_err(Error::other)?;
        let n_strays = n_strays(pool).await?;
        let n_effects = i64::try_from(entries.len()).map_err(Error::other)?;
        let entries: HashSet<String> = entries.into_iter().map(|(token,)| token).collect();
        let books = self.books();
        let mut judgement = Judgement {
            n_effects,
            n_strays,
            n_double_effects: sum - n_effects,
            n_acknowledged: books.acknowledged.len(),
            n_misrouted: books.n_unasked,
            n_refusals: books.n_refusals,
            ..Judgement::default()
        };
        judgement.n_lost = books.acknowledged.iter().filter(|token| !entries.contains(*token)).count();
        for (token, said) in &books.said {
            let is_entry = token.starts_with("chat-");
            judgement.n_said += usize::from(is_entry);
            judgement.n_unheard += usize::from(is_entry && said.n_heard == 0);
            judgement.n_replied += usize::from(is_entry && !said.replies.is_empty());
            judgement.n_double_replies += said.replies.len().saturating_sub(1);
            judgement.n_misrouted += said.replies.iter().filter(|reply| reply.login != said.login).count();
            judgement.n_lost += usize::from(is_entry && !said.replies.is_empty() && !entries.contains(token));
        }
        Ok(judgement)
    }

    pub(crate) fn n_api_asked(&self) -> usize {
        self.books().n_api_asked
    }
}

/// A kind and a number.
fn is_token(word: &str) -> bool {
    word.split_once('-').is_some_and(|(kind, number)| !kind.is_empty() && number.parse::<usize>().is_ok())
}

/// Entries whose writer did not own the channel when it committed.
pub(crate) async fn n_strays(pool: &PgPool) -> Result<i64> {
    let counted: (i64,) =
        sqlx::query_as("SELECT count(*) FROM chaos_strays").fetch_one(pool).await.map_err(Error::other)?;
    Ok(counted.0)
}
