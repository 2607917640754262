use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{append, new_channel, write};
use crate::testing::{self, on_both, start_of_tests};
use crate::{AuditEntry, Db, StorageError, StorageOptions, counters};

/// A folder in which this user cannot write; root may write nearly everywhere, but not into the kernel's files.
fn unwritable(folder: &tempfile::TempDir) -> PathBuf {
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.path().join("probe"), "").is_err() {
        return folder.path().to_owned();
    }
    PathBuf::from("/sys/kernel")
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let place = unwritable(&folder);
    for path in [place.join("waddlebot.db"), place.join("data/waddlebot.db")] {
        let options = StorageOptions::new(format!("sqlite://{}", path.display()));
        let error = Db::open(&options).await.unwrap_err();
        assert!(matches!(error, StorageError::ReadOnly { .. }), "{path:?}: {error:?}");
        assert!(error.advice().contains(&place.display().to_string()), "{}", error.advice());
    }
}

#[tokio::test]
async fn a_wrong_address_is_refused_without_repeating_it() {
    for url in ["", "mysql://u:hunter2@h/d", "sqlite://", "postgres://u:hunter2@h:port/d"] {
        let error = Db::open(&StorageOptions::new(url)).await.unwrap_err();
        assert!(matches!(error, StorageError::Invalid { .. }), "{url}: {error:?}");
        assert!(!format!("{error:?} {error} {}", error.advice()).contains("hunter2"), "{error:?}");
    }
    assert!(!format!("{:?}", StorageOptions::new("postgres://u:hunter2@h/d")).contains("hunter2"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_within_the_limit() {
    let started = Instant::now();
    let error = Db::open(&StorageOptions::new("postgres://u@127.0.0.1:1/d")).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waddlebot.db");
    std::fs::write(&path, "this is a diary, not a database. ".repeat(200)).unwrap();
    let error = Db::open(&StorageOptions::new(format!("sqlite://{}", path.display()))).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
}

/// Fills the file until a write fails, and returns that failure.
async fn fill(db: &Db) -> StorageError {
    let entry =
        AuditEntry { detail: serde_json::json!("x".repeat(4_000)), ..AuditEntry::new("ann", "fill", "disk") };
    for _ in 0..10_000 {
        if let Err(error) = append(db, entry.clone(), start_of_tests()).await {
            return error;
        }
    }
    panic!("the disk never became full");
}

#[tokio::test]
async fn a_full_disk_is_told_reading_goes_on_and_space_alone_heals_it() {
    let test = testing::sqlite().await;
    let (db, community) = (&test.db, new_channel(&test.db, "ann").await.community_id);
    write(db, async |tx| counters::set(tx, community, "deaths", 5, start_of_tests()).await).await.unwrap();
    db.limit_pages(200).await.unwrap();
    let error = fill(db).await;
    assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
    let folder = test.folder.as_ref().unwrap().path().display().to_string();
    assert!(error.advice().contains(&folder), "{}", error.advice());
    assert_eq!(counters::get(db, community, "deaths").await.unwrap(), Some(5));
    db.limit_pages(0).await.unwrap();
    let added = write(db, async |tx| counters::add(tx, community, "deaths", 1, start_of_tests()).await).await;
    assert_eq!(added.unwrap(), 6);
    let reopened = Db::open(&StorageOptions::new(&test.url)).await.unwrap();
    assert_eq!(counters::get(&reopened, community, "deaths").await.unwrap(), Some(6));
}

#[tokio::test]
async fn a_read_only_disk_is_told_and_its_end_heals_it() {
    let test = testing::sqlite().await;
    let (db, community) = (&test.db, new_channel(&test.db, "ann").await.community_id);
    db.make_read_only(true).await.unwrap();
    let add = async || {
        write(db, async |tx| counters::add(tx, community, "deaths", 1, start_of_tests()).await).await
    };
    let error = add().await.unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly { .. }), "{error:?}");
    assert_eq!(counters::get(db, community, "deaths").await.unwrap(), None);
    db.make_read_only(false).await.unwrap();
    assert_eq!(add().await.unwrap(), 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_changes_nothing() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let mut tx = db.begin().await.unwrap();
        counters::add(&mut tx, community, "deaths", 1, start_of_tests()).await.unwrap();
        drop(tx);
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), None);
        let added =
            write(&db, async |tx| counters::add(tx, community, "deaths", 1, start_of_tests()).await).await;
        assert_eq!(added.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_whose_end_failed_does_not_poison_the_writer() {
    let test = testing::sqlite().await;
    // Ends the transaction behind the driver's back, as SQLite does when the disk is full at a bad moment.
    let mut tx = test.db.begin().await.unwrap();
    tx.run_script("ROLLBACK").await.unwrap();
    drop(tx);
    new_channel(&test.db, "ann").await;
}

#[tokio::test]
async fn a_closed_handle_says_so() {
    on_both(|db| async move {
        db.close().await;
        assert_eq!(db.ping().await.unwrap_err(), StorageError::Closed);
    })
    .await;
}
