//! Search and draw among 100,000 quotes of one community, on both databases.

use std::fmt::Write;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

use domain::{ChannelKey, CommunityId, Platform};
use storage::quotes::{self, NewQuote, QuoteFilter};
use storage::{Db, StorageError};
use waddlebot::messages::Clock;

use crate::percentiles::Percentiles;
use crate::queue;

const N_QUOTES: usize = 100_000;
/// Quotes of one transaction while they are made.
const BATCH: usize = 5_000;
const N_SEARCHES: usize = 1_000;
const N_DRAWS: usize = 10_000;
/// Draws are counted by which hundredth of the quotes they hit.
const N_CELLS: usize = 100;
/// Of chi-square with 99 degrees of freedom at p = 0.001.
const CHI_SQUARE_MAX: f64 = 148.2;
/// Hits that a search asks for: a page of the API, and more than a chat line holds.
const PAGE: u32 = 25;

/// What is searched for in the search of that number.
type WordsOf = fn(usize) -> String;

/// Measures `SQLite` and `PostgreSQL`; a Markdown table.
pub(crate) async fn run(postgres_url: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let sqlite_url = format!("sqlite://{}", folder.path().join("quotes.db").display());
    let mut table = format!("| {N_QUOTES} quotes | n | p50 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|\n");
    for (name, url) in [("SQLite", sqlite_url.as_str()), ("PostgreSQL", postgres_url)] {
        let db = queue::open(url).await?;
        measure(&db, name, &mut table).await?;
    }
    Ok(table)
}

async fn measure(db: &Db, name: &str, table: &mut String) -> Result<()> {
    let community = fill(db).await.map_err(Error::other)?;
    let searches: [(&str, WordsOf); 4] = [
        ("a word of one quote", |n| format!("unique{}", n * 97 % N_QUOTES)),
        ("a word of a hundredth", |n| format!("word{}", n % 100)),
        ("an author of a fiftieth", |n| format!("author{}", n % 50)),
        ("two words of all", |_| "everybody said".to_owned()),
    ];
    for (what, words) in searches {
        let mut times = Vec::with_capacity(N_SEARCHES);
        for n in 0..N_SEARCHES {
            let filter = QuoteFilter { words: words(n), ..QuoteFilter::default() };
            let started = Instant::now();
            let hits = quotes::list(db, community, &filter, PAGE, 0).await.map_err(Error::other)?;
            times.push(started.elapsed());
            if hits.is_empty() {
                return Err(Error::other(format!("{name}: {} is not found", filter.words)));
            }
        }
        line(table, &format!("{name}, search: {what}"), times)?;
    }
    let (times, chi_square) = draw(db, community).await?;
    let verdict = if chi_square < CHI_SQUARE_MAX { "uniform" } else { "**not uniform**" };
    line(
        table,
        &format!("{name}, drawn at random; chi-square {chi_square:.0} of {CHI_SQUARE_MAX}: {verdict}"),
        times,
    )
}

/// Times, and how evenly the draws fell.
async fn draw(db: &Db, community: CommunityId) -> Result<(Vec<Duration>, f64)> {
    let (mut times, mut cells) = (Vec::with_capacity(N_DRAWS), [0_u32; N_CELLS]);
    for _ in 0..N_DRAWS {
        let number: u64 = rand::random();
        let started = Instant::now();
        let quote = quotes::random(db, community, number).await.map_err(Error::other)?;
        times.push(started.elapsed());
        let quote = quote.ok_or_else(|| Error::other("no quote was drawn"))?;
        let place = usize::try_from(quote.number - 1).map_err(Error::other)?;
        cells[place * N_CELLS / N_QUOTES] += 1;
    }
    let expected = N_DRAWS as f64 / N_CELLS as f64;
    let chi_square = cells.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
    Ok((times, chi_square))
}

fn line(table: &mut String, what: &str, times: Vec<Duration>) -> Result<()> {
    let n = times.len();
    let Percentiles { p50_ms, p99_ms, max_ms, .. } = Percentiles::of(times);
    writeln!(table, "| {what} | {n} | {p50_ms:.2} | {p99_ms:.2} | {max_ms:.1} |").map_err(Error::other)
}

async fn fill(db: &Db) -> std::result::Result<CommunityId, StorageError> {
    let now = Clock::System.now();
    let key = ChannelKey::new(Platform::Console, "quotes")
        .map_err(|error| StorageError::Invalid { detail: error.to_string() })?;
    let mut tx = db.begin().await?;
    let community = storage::channels::ensure(&mut tx, &key, None, now).await?.channel.community_id;
    tx.commit().await?;
    for from in (0..N_QUOTES).step_by(BATCH) {
        let mut tx = db.begin().await?;
        for n in from..from + BATCH {
            let new = NewQuote {
                body: format!("everybody said word{} and unique{n} again", n % 100),
                author: format!("author{}", n % 50),
                category: "fun".to_owned(),
                created_by: "console:1".to_owned(),
                ..NewQuote::default()
            };
            quotes::add(&mut tx, community, &new, now).await?;
        }
        tx.commit().await?;
    }
    Ok(community)
}
