use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use domain::CommunityId;

use super::{new_channel, write};
use crate::quotes::{self, NewQuote, Quote, QuoteFilter, Vote, Votes};
use crate::testing::{on_both, start_of_tests};
use crate::{Db, StorageError};

fn said(body: &str, author: &str, category: &str) -> NewQuote {
    NewQuote {
        body: body.into(),
        author: author.into(),
        category: category.into(),
        created_by: "twitch:1".into(),
        ..NewQuote::default()
    }
}

async fn keep(db: &Db, community: CommunityId, new: NewQuote) -> i64 {
    write(db, async |tx| quotes::add(tx, community, &new, start_of_tests()).await).await.unwrap().unwrap()
}

async fn drop_one(db: &Db, community: CommunityId, number: i64) -> Option<Quote> {
    write(db, async |tx| quotes::remove(tx, community, number).await).await.unwrap()
}

async fn found(db: &Db, community: CommunityId, words: &str) -> Vec<i64> {
    let filter = QuoteFilter { words: words.into(), ..QuoteFilter::default() };
    let hits = quotes::list(db, community, &filter, 100, 0).await.unwrap();
    hits.into_iter().map(|quote| quote.number).collect()
}

/// Many quotes in few transactions: two words that are everywhere, one of a hundred, and one of its own.
async fn fill(db: &Db, community: CommunityId, n_quotes: u32) {
    for from in (0..n_quotes).step_by(5_000) {
        write(db, async |tx| {
            for n in from..n_quotes.min(from + 5_000) {
                let body = format!("everybody said word{} and unique{n} again", n % 100);
                quotes::add(
                    tx,
                    community,
                    &said(&body, &format!("author{}", n % 50), "fun"),
                    start_of_tests(),
                )
                .await?;
            }
            Ok::<_, StorageError>(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn quotes_have_numbers_of_their_community_that_are_never_given_again() {
    on_both(|db| async move {
        let (ann, bob) =
            (new_channel(&db, "ann").await.community_id, new_channel(&db, "bob").await.community_id);
        for number in 1..=3 {
            assert_eq!(keep(&db, ann, said("cake", "Ann", "food")).await, number);
        }
        assert_eq!(keep(&db, bob, said("pie", "", "")).await, 1);
        assert_eq!(drop_one(&db, ann, 3).await.unwrap().body, "cake");
        assert_eq!(drop_one(&db, ann, 3).await, None);
        assert_eq!(keep(&db, ann, said("more", "", "")).await, 4);
        let quote = quotes::get(&db, ann, 1).await.unwrap().unwrap();
        assert_eq!(
            (quote.author.as_str(), quote.category.as_str(), quote.votes),
            ("Ann", "food", Votes::default())
        );
        assert_eq!(quotes::get(&db, bob, 2).await.unwrap(), None);
        let categories = quotes::categories(&db, ann, 10, 0).await.unwrap();
        assert_eq!((categories.len(), categories[0].n_quotes), (1, 2));
        drop_one(&db, ann, 1).await;
        drop_one(&db, ann, 2).await;
        assert_eq!(quotes::categories(&db, ann, 10, 0).await.unwrap(), []);
        let stats = quotes::stats(&db, ann).await.unwrap();
        assert_eq!(
            (stats.n_quotes, stats.n_categories, stats.last_number, stats.best),
            (1, 0, 4, Some((4, 0)))
        );
    })
    .await;
}

#[tokio::test]
async fn the_same_words_find_the_same_quotes_on_both_databases_the_best_first() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        let bob = new_channel(&db, "bob").await.community_id;
        keep(&db, bob, said("cake of somebody else", "", "")).await;
        keep(&db, ann, said("It's a LONG story about many things, and cake comes last: cake", "Bob", ""))
            .await;
        keep(&db, ann, said("Größe, naïve 3.14 v2 – cake!", "Ann", "maths")).await;
        keep(&db, ann, said("nothing at all", "Cake", "")).await;
        keep(&db, ann, said("snake_case and kebab-case", "", "maths")).await;
        for (words, wanted) in [
            ("cake", vec![1, 2, 3]),
            ("CAKE ann", vec![2]),
            ("story it's", vec![1]),
            ("größe", vec![2]),
            ("grösse", vec![]),
            ("3.14", vec![2]),
            ("maths", vec![2, 4]),
            ("snake", vec![4]),
            ("case kebab", vec![4]),
            ("cak", vec![]),
            ("cake story nothing", vec![]),
        ] {
            let hits = found(&db, ann, words).await;
            assert_eq!(
                hits.iter().copied().collect::<BTreeSet<_>>(),
                wanted.into_iter().collect(),
                "{words}"
            );
        }
        // A word of the text counts more than a name.
        assert_eq!(found(&db, ann, "cake").await.last(), Some(&3));
        assert_eq!(drop_one(&db, ann, 2).await.unwrap().number, 2);
        assert_eq!(found(&db, ann, "größe").await, Vec::<i64>::new());
        let filter = QuoteFilter { words: "case".into(), category: "Maths".into(), author: String::new() };
        assert_eq!(quotes::list(&db, ann, &filter, 10, 0).await.unwrap().len(), 1);
        assert_eq!(quotes::list(&db, ann, &filter, 10, 1).await.unwrap().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn no_search_that_can_be_typed_is_an_error() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        keep(&db, ann, said("'; DROP TABLE quotes; -- \\ \" & | ! <-> :*", "o'Neil", "'")).await;
        assert_eq!(found(&db, ann, "drop table").await, [1]);
        let long = "x".repeat(5_000);
        for hostile in [
            "\"",
            "'",
            "*",
            "(",
            ")",
            "-",
            ":",
            "a*",
            "a:*",
            "!a",
            "a & | b",
            "NEAR(a b)",
            "a AND",
            "OR",
            "NOT",
            "^a",
            "body : a",
            "{body} : a",
            "\\",
            "\\'",
            "''",
            "<->",
            "a <2> b",
            "\u{0}",
            "\u{fffd}",
            "%",
            "$1",
            "😀",
            "²",
            "ﬀ",
            "İ",
            "\u{0345}",
            "ﷺ",
            &long,
        ] {
            found(&db, ann, hostile).await;
            // Kept, it can be found and removed as everything else; no database takes NUL, which callers clean away.
            let body = hostile.replace('\u{0}', " ");
            let number = keep(&db, ann, said(&format!("{body} kept"), &body, &body)).await;
            assert_eq!(found(&db, ann, "kept").await, [number], "{hostile}");
            drop_one(&db, ann, number).await;
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_narrowed_by_category_and_author_and_paged() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        for n in 0..6 {
            let author = if n % 3 == 0 { "Ann" } else { "Bob" };
            keep(&db, ann, said("x", author, if n % 2 == 0 { "fun" } else { "" })).await;
        }
        let list = async |category: &str, author: &str, limit, offset| {
            let filter =
                QuoteFilter { words: String::new(), category: category.into(), author: author.into() };
            let listed = quotes::list(&db, ann, &filter, limit, offset).await.unwrap();
            listed.into_iter().map(|quote| quote.number).collect::<Vec<_>>()
        };
        assert_eq!(list("", "", 4, 0).await, [6, 5, 4, 3]);
        assert_eq!(list("", "", 4, 4).await, [2, 1]);
        assert_eq!(list("FUN", "", 10, 1).await, [3, 1]);
        assert_eq!(list("", "ann", 10, 0).await, [4, 1]);
        assert_eq!(list("fun", "aNN", 10, 0).await, [1]);
        assert_eq!(list("sad", "", 10, 0).await, Vec::<i64>::new());
    })
    .await;
}

#[tokio::test]
async fn a_voter_has_one_vote_that_can_be_switched_and_withdrawn() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        let number = keep(&db, ann, said("x", "", "")).await;
        let vote = async |voter: &str, vote| {
            write(&db, async |tx| {
                quotes::vote(tx, (ann, number), (voter, None), vote, start_of_tests()).await
            })
            .await
            .unwrap()
            .map(|votes| (votes.up, votes.down))
        };
        assert_eq!(vote("twitch:1", Vote::Up).await, Some((1, 0)));
        assert_eq!(vote("twitch:1", Vote::Up).await, Some((1, 0)));
        assert_eq!(vote("twitch:1", Vote::Down).await, Some((0, 1)));
        assert_eq!(vote("kick:1", Vote::Up).await, Some((1, 1)));
        assert_eq!(vote("twitch:1", Vote::Withdrawn).await, Some((1, 0)));
        assert_eq!(vote("twitch:1", Vote::Withdrawn).await, Some((1, 0)));
        assert_eq!(quotes::stats(&db, ann).await.unwrap().best, Some((number, 1)));
        drop_one(&db, ann, number).await.unwrap();
        assert_eq!(vote("twitch:1", Vote::Up).await, None);
    })
    .await;
}

#[tokio::test]
async fn sixty_four_voters_at_once_are_counted_exactly() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        let number = keep(&db, ann, said("x", "", "")).await;
        let voters = (0..64).map(|n| {
            let db = &db;
            async move {
                let voter = format!("twitch:{n}");
                // Everybody votes down, then up; every fourth takes it back, every fourth goes down again.
                let last = [Vote::Up, Vote::Up, Vote::Withdrawn, Vote::Down][n % 4];
                for vote in [Vote::Down, Vote::Up, last] {
                    let voter = (voter.as_str(), None);
                    let done = write(db, async |tx| {
                        quotes::vote(tx, (ann, number), voter, vote, start_of_tests()).await
                    });
                    done.await.unwrap().unwrap();
                }
            }
        });
        futures_util::future::join_all(voters).await;
        let quote = quotes::get(&db, ann, number).await.unwrap().unwrap();
        assert_eq!((quote.votes.up, quote.votes.down, quote.votes.sum()), (32, 16, 16));
    })
    .await;
}

#[tokio::test]
async fn every_quote_is_drawn_as_often_whatever_was_deleted() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        assert_eq!(quotes::random(&db, ann, 7).await.unwrap(), None);
        for _ in 0..40 {
            keep(&db, ann, said("x", "", "")).await;
        }
        for number in (1..=40).filter(|number| number % 4 != 0 || *number > 36) {
            drop_one(&db, ann, number).await.unwrap();
        }
        let mut drawn = std::collections::BTreeMap::<i64, u32>::new();
        // A fixed generator: the same draws at every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..900 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let quote = quotes::random(&db, ann, state ^ (state >> 29)).await.unwrap().unwrap();
            *drawn.entry(quote.number).or_default() += 1;
        }
        assert_eq!(drawn.keys().copied().collect::<Vec<_>>(), (1..=9).map(|n| n * 4).collect::<Vec<_>>());
        let chi_square: f64 = drawn.values().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
        // The limit of eight degrees of freedom at p = 0.001.
        assert!(chi_square < 26.12, "{chi_square}: {drawn:?}");
    })
    .await;
}

/// Times of `n` runs, the p99 of them.
async fn p99(n: u32, mut run: impl AsyncFnMut(u32)) -> Duration {
    let mut times = Vec::new();
    for n in 0..n {
        let started = Instant::now();
        run(n).await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

async fn timed(db: &Db, n_quotes: u32) -> (Duration, Duration) {
    let ann = new_channel(db, "ann").await.community_id;
    let started = Instant::now();
    fill(db, ann, n_quotes).await;
    eprintln!("{n_quotes} quotes kept in {:?}", started.elapsed());
    let search = p99(300, async |n| {
        let words = match n % 4 {
            0 => "everybody said".to_owned(),
            1 => format!("word{}", n % 100),
            2 => format!("unique{} again", n * 7 % n_quotes),
            _ => format!("author{}", n % 50),
        };
        assert!(!found(db, ann, &words).await.is_empty(), "{words}");
    });
    let search = search.await;
    let random = p99(300, async |n| {
        assert!(quotes::random(db, ann, u64::from(n) << 40).await.unwrap().is_some());
    });
    (search, random.await)
}

#[tokio::test]
async fn searching_and_drawing_stay_quick_among_many_quotes() {
    on_both(|db| async move {
        let (search, random) = timed(&db, 5_000).await;
        eprintln!("5,000 quotes: search p99 {search:?}, random p99 {random:?}");
        assert!(
            search < Duration::from_millis(500) && random < Duration::from_millis(200),
            "{search:?} {random:?}"
        );
    })
    .await;
}
