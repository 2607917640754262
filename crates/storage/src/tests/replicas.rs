use std::time::{Duration, Instant};

use domain::{ChannelKey, Platform};
use secrecy::SecretString;

use super::{new_channel, write};
use crate::commands::{self, CommandScope, CommandSpec};
use crate::testing::start_of_tests;
use crate::testing::streaming::{Streaming, eventually};
use crate::{Db, Lsn, StorageError, StorageOptions, Target, Unfit, channels};

const DAY: Duration = Duration::from_hours(24);

fn options(servers: &Streaming, n_replicas: usize, lag_max: Duration) -> StorageOptions {
    let replicas = (1..=n_replicas).map(|n| SecretString::from(servers.url(n))).collect();
    StorageOptions { replicas, replica_lag_max: lag_max, ..StorageOptions::new(servers.url(0)) }
}

/// A migrated primary whose replicas are well.
async fn open(servers: &Streaming, n_replicas: usize, lag_max: Duration) -> Db {
    let db = Db::open(&options(servers, n_replicas, lag_max)).await.unwrap();
    db.migrate(start_of_tests()).await.unwrap();
    for n in 1..=n_replicas {
        servers.caught_up(n).await;
    }
    become_well(&db).await;
    db
}

async fn become_well(db: &Db) {
    eventually("every replica is well", async || {
        db.check_replicas().await;
        db.replicas().iter().all(|replica| replica.state.is_ok())
    })
    .await;
}

async fn become_unfit(db: &Db, why: Unfit) {
    eventually("the replica is found unfit", async || {
        db.check_replicas().await;
        db.replicas()[0].state == Err(why)
    })
    .await;
}

async fn add(db: &Db, name: &str) {
    let spec = CommandSpec::custom(name, "Hello");
    let added =
        write(db, async |tx| commands::add(tx, CommandScope::Global, &spec, start_of_tests()).await).await;
    assert!(added.unwrap().is_some());
}

/// The names of all global commands.
async fn names(on: impl Into<Target<'_>> + Send) -> Vec<String> {
    let listed = commands::list(on, CommandScope::Global, "", 100).await.unwrap();
    listed.into_iter().map(|command| command.spec.command).collect()
}

#[tokio::test]
async fn lists_come_from_the_replicas_in_turn_and_everything_else_from_the_primary() {
    let servers = Streaming::start(2).await;
    let db = open(&servers, 2, DAY).await;
    add(&db, "a").await;
    servers.caught_up(1).await;
    servers.pause(1).await;
    add(&db, "b").await;
    servers.caught_up(2).await;
    servers.pause(2).await;
    add(&db, "c").await;
    new_channel(&db, "ann").await;
    db.check_replicas().await;
    let (first, second) = (names(db.lists(None)).await, names(db.lists(None)).await);
    let mut seen = [first.clone(), second.clone()];
    seen.sort();
    assert_eq!(seen, [vec!["a"], vec!["a", "b"]], "each replica is as far as it replayed");
    for _ in 0..2 {
        assert_eq!(names(db.lists(None)).await, first);
        assert_eq!(names(db.lists(None)).await, second);
    }
    assert_eq!(names(&db).await, ["a", "b", "c"]);
    let mut tx = db.begin().await.unwrap();
    assert_eq!(names(&mut tx).await, ["a", "b", "c"]);
    tx.rollback().await.unwrap();
    let ann = ChannelKey::new(Platform::Twitch, "ann").unwrap();
    let found = channels::by_key(db.lists(None), &ann).await.unwrap();
    assert!(found.is_some(), "a statement that is not marked runs on the primary");

    let after_c = db.position().await;
    assert_eq!(names(db.lists(after_c)).await, ["a", "b", "c"], "no replica has replayed it: the primary");
    servers.resume(1).await;
    servers.caught_up(1).await;
    servers.pause(1).await;
    db.check_replicas().await;
    add(&db, "d").await;
    for _ in 0..2 {
        let listed = names(db.lists(after_c)).await;
        assert_eq!(listed, ["a", "b", "c"], "the replica that has replayed it, whoever's turn it is");
    }
    assert_eq!(names(db.lists(Some(Lsn::MAX))).await, ["a", "b", "c", "d"], "nobody has that");
}

#[tokio::test]
async fn a_replica_that_is_behind_or_gone_or_hangs_serves_nothing_until_it_is_well_again() {
    let mut servers = Streaming::start(1).await;
    let db = open(&servers, 1, Duration::from_millis(500)).await;
    servers.pause(1).await;
    add(&db, "a").await;
    become_unfit(&db, Unfit::Behind).await;
    assert_eq!(names(db.lists(None)).await, ["a"], "the primary");
    servers.resume(1).await;
    become_well(&db).await;

    // Nobody looked since: no connection is to be had, and the caller does not see it.
    servers.kill(1);
    assert_eq!(names(db.lists(None)).await, ["a"]);
    become_unfit(&db, Unfit::Silent).await;
    servers.revive(1).await;
    become_well(&db).await;

    assert_eq!(names(db.lists(None)).await, ["a"], "a connection of the replica's pool stands");
    servers.freeze(1, true);
    let started = Instant::now();
    assert_eq!(names(db.lists(None)).await, ["a"]);
    assert!(started.elapsed() < Duration::from_secs(4), "given up in time: {:?}", started.elapsed());
    let started = Instant::now();
    become_unfit(&db, Unfit::Silent).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    servers.freeze(1, false);
    become_well(&db).await;

    // The replica stops replaying while somebody changes the table: a query waits there, and not on the primary.
    let mut changing = db.begin().await.unwrap();
    changing.run_script("LOCK TABLE commands IN ACCESS EXCLUSIVE MODE").await.unwrap();
    new_channel(&db, "ann").await;
    servers.caught_up(1).await;
    servers.pause(1).await;
    changing.rollback().await.unwrap();
    let started = Instant::now();
    assert_eq!(names(db.lists(None)).await, ["a"], "the query fails on the replica and runs on the primary");
    let took = started.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(4), "asked and given up: {took:?}");
    servers.resume(1).await;
    become_well(&db).await;

    servers.promote(1).await;
    become_unfit(&db, Unfit::NotInRecovery).await;
    db.close().await;
}

#[tokio::test]
async fn replicas_are_refused_where_they_cannot_be_and_their_address_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let lite = format!("sqlite://{}", folder.path().join("w.db").display());
    let of = |url: &str, replicas: &[&str]| StorageOptions {
        replicas: replicas.iter().map(|url| SecretString::from(*url)).collect(),
        ..StorageOptions::new(url)
    };
    let pg = "postgres://u:hunter2@127.0.0.1:1/d";
    for (options, why) in [
        (of(&lite, &[pg]), "needs PostgreSQL"),
        (of(pg, &["postgres://u:hunter2@h:port/d"]), "storage.replicas is not a PostgreSQL address"),
        (of(pg, &[pg; 9]), "at most 8"),
    ] {
        let error = Db::open(&options).await.unwrap_err();
        assert!(matches!(error, StorageError::Invalid { .. }), "{error:?}");
        let shown = format!("{error:?} {error} {options:?}");
        assert!(shown.contains(why) && !shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn without_replicas_nobody_asks_for_a_position() {
    crate::testing::on_both(|db| async move {
        assert_eq!(db.position().await, None);
        db.check_replicas().await;
        assert_eq!(db.replicas(), []);
        add(&db, "a").await;
        assert_eq!(names(db.lists(None)).await, ["a"]);
        assert_eq!(names(db.lists(Some(Lsn::MAX))).await, ["a"]);
    })
    .await;
}
