use std::path::Path;

use sqlx::{Executor, SqlSafeStr, SqlStr};

use crate::db::Pools;
use crate::statements::ALL;
use crate::testing::{event_store, postgres, sqlite};

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    let (lite, pg) = (sqlite().await, postgres().await);
    let events = event_store(&lite).await;
    let Pools::Lite { readers: event_readers, .. } = events.db().pools() else { panic!("not SQLite") };
    let Pools::Lite { readers, .. } = lite.db.pools() else { panic!("not SQLite") };
    let Pools::Pg(pool) = pg.db.pools() else { panic!("not PostgreSQL") };
    let text = |text: &'static str| -> SqlStr { text.into_sql_str() };
    let mut wrong = Vec::new();
    for statement in ALL.iter().copied().flatten() {
        let readers = if statement.table == "event_log" { event_readers } else { readers };
        if let Err(error) = readers.prepare(text(statement.sqlite)).await {
            wrong.push(format!("sqlite: {}: {error}", statement.sqlite));
        }
        if let Err(error) = pool.prepare(text(statement.postgres)).await {
            wrong.push(format!("postgres: {}: {error}", statement.postgres));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_statement_of_the_source_is_listed_once() {
    let n_written = n_written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let listed: Vec<_> = ALL.iter().copied().flatten().map(|s| (s.table, s.sqlite, s.postgres)).collect();
    assert_eq!(listed.len(), n_written, "a `const …: Statement` is missing in its file's STATEMENTS");
    let mut unique = listed.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), listed.len(), "a statement is listed twice");
}

/// How many statements the sources in that folder have, tests left out.
fn n_written(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let n_of = |path: std::path::PathBuf| match path.is_dir() {
        true if path.ends_with("tests") => 0,
        true => n_written(&path),
        false => {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().filter(|line| line.contains(": Statement =")).count()
        }
    };
    files.map(n_of).sum()
}

#[test]
fn only_lists_and_searches_may_be_asked_of_replicas() {
    let marked: Vec<_> = ALL.iter().copied().flatten().filter(|statement| statement.on_replicas).collect();
    let tables: std::collections::BTreeSet<_> = marked.iter().map(|statement| statement.table).collect();
    // What decides who may do what, who owns what, or whether something was done is never among them.
    assert_eq!(
        tables.into_iter().collect::<Vec<_>>(),
        [
            "aliases",
            "audit_log",
            "bookmark_tag_counts",
            "bookmarks",
            "commands",
            "quote_categories",
            "quotes",
            "reminders",
            "shoutouts"
        ]
    );
    for statement in marked {
        assert_eq!(statement.operation, "select");
        assert!(statement.postgres.contains(" ORDER BY "), "no list: {}", statement.postgres);
    }
}

#[test]
fn every_list_has_a_limit_and_no_statement_reads_the_servers_clock() {
    for statement in ALL.iter().copied().flatten() {
        for text in [statement.sqlite, statement.postgres] {
            let is_list = text.contains(" ORDER BY ") && statement.operation == "select";
            assert!(!is_list || text.contains(" LIMIT "), "{text}");
            // SQLite plans by the value of a bare `LIMIT $n`, and so parses the text anew at every run: measured, a
            // quarter of the time of reading a channel.
            assert!(!text.contains("LIMIT $"), "write LIMIT 0 + $n: {text}");
            let lower = text.to_lowercase();
            for clock in ["now()", "current_timestamp", "datetime("] {
                assert!(!lower.contains(clock), "{text}");
            }
        }
    }
}
