use std::collections::BTreeMap;

use crate::db::Pools;
use crate::migrate::program_version;
use crate::testing::{self, TestDatabase, start_of_tests};
use crate::{Db, StorageError, StorageOptions};

/// Table and column, but those of the search, which is each database's own, with whether NULL is allowed.
type Columns = BTreeMap<(String, String), bool>;

async fn columns(db: &Db) -> Columns {
    let rows: Vec<(String, String, bool)> = match db.pools() {
        Pools::Lite { readers, .. } => sqlx::query_as(
            "SELECT m.name, c.name, c.\"notnull\" = 0 AND c.pk = 0 FROM sqlite_master m, \
             pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' \
             AND m.name NOT LIKE '%s_search%'",
        )
        .fetch_all(&**readers)
        .await
        .unwrap(),
        Pools::Pg(pool) => sqlx::query_as(
            "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), is_nullable = 'YES' \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'event_log_day_%' \
             AND column_name <> 'search'",
        )
        .fetch_all(&**pool)
        .await
        .unwrap(),
    };
    rows.into_iter().map(|(table, column, nullable)| ((table, column), nullable)).collect()
}

async fn indexes(db: &Db) -> Vec<String> {
    let rows: Vec<(String,)> = match db.pools() {
        Pools::Lite { readers, .. } => {
            let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
            sqlx::query_as(sql).fetch_all(&**readers).await.unwrap()
        }
        Pools::Pg(pool) => {
            let sql = "SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = 'public' \
                 AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_search_idx' ORDER BY 1";
            sqlx::query_as(sql).fetch_all(&**pool).await.unwrap()
        }
    };
    rows.into_iter().map(|(name,)| name).collect()
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_and_indexes() {
    let (lite, pg) = (testing::sqlite().await, testing::postgres().await);
    // What happened stands in a file of its own on SQLite.
    let events = testing::event_store(&lite).await;
    let mut lite_columns = columns(&lite.db).await;
    lite_columns.extend(columns(events.db()).await);
    assert!(lite_columns.len() > 100, "only {} columns", lite_columns.len());
    assert_eq!(lite_columns, columns(&pg.db).await);
    let (mut lite_indexes, mut pg_indexes) = (indexes(&lite.db).await, indexes(&pg.db).await);
    lite_indexes.extend(indexes(events.db()).await);
    lite_indexes.sort();
    pg_indexes.sort();
    assert_eq!(lite_indexes, pg_indexes);
}

#[test]
fn both_folders_have_the_same_migrations() {
    let names = |folder: &str| {
        let path = format!("{}/../../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let lite = names("sqlite");
    assert_eq!(lite, names("postgres"));
    assert_eq!(i64::try_from(lite.len()).unwrap(), program_version(), "a file is missing in migrate.rs");
}

async fn three_at_once(test: TestDatabase, clean: Columns) {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let options = StorageOptions::new(&test.url);
        nodes.push(tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let db = Db::open(&options).await?;
                db.migrate(start_of_tests()).await
            })
        }));
    }
    let mut applied = Vec::new();
    for node in nodes {
        applied.extend(node.await.unwrap().unwrap());
    }
    // One node may apply the first versions and another the rest: only that each is applied once is promised.
    applied.sort_unstable();
    assert_eq!(applied, (1..=program_version()).collect::<Vec<_>>(), "each version is applied by one node");
    assert_eq!(columns(&test.db).await, clean);
    assert_eq!(test.db.schema_version().await.unwrap(), program_version());
}

#[tokio::test]
async fn three_nodes_that_migrate_at_once_leave_the_schema_of_a_clean_run() {
    let (lite, pg) = (testing::sqlite().await, testing::postgres().await);
    three_at_once(testing::empty_sqlite().await, columns(&lite.db).await).await;
    three_at_once(testing::empty_postgres().await, columns(&pg.db).await).await;
}

/// Ends a run after `wait`, wherever it is then, as a killed process would.
async fn killed_run(test: &TestDatabase, wait: std::time::Duration) {
    let db = Db::open(&StorageOptions::new(&test.url)).await.unwrap();
    let run = tokio::time::timeout(wait, db.migrate(start_of_tests())).await;
    drop(run);
    db.close().await;
}

#[tokio::test]
async fn a_run_that_ends_anywhere_is_finished_by_the_next_one() {
    let lite = columns(&testing::sqlite().await.db).await;
    let pg = columns(&testing::postgres().await.db).await;
    for millis in [0, 1, 2, 3, 5, 8, 13, 21, 34] {
        let tests = [(testing::empty_sqlite().await, &lite), (testing::empty_postgres().await, &pg)];
        for (test, clean) in tests {
            killed_run(&test, std::time::Duration::from_millis(millis)).await;
            test.db.migrate(start_of_tests()).await.unwrap();
            assert_eq!(columns(&test.db).await, *clean, "ended after {millis} ms");
            assert_eq!(test.db.migrate(start_of_tests()).await.unwrap(), Vec::<i64>::new());
        }
    }
}

async fn edit_versions(db: &Db, lite: &'static str, pg: &'static str) {
    match db.pools() {
        Pools::Lite { writer, .. } => drop(sqlx::query(lite).execute(&**writer).await.unwrap()),
        Pools::Pg(pool) => drop(sqlx::query(pg).execute(&**pool).await.unwrap()),
    }
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    testing::on_both(|db| async move {
        let edit = "UPDATE schema_versions SET checksum = 'other' WHERE version = 1";
        edit_versions(&db, edit, edit).await;
        let error = db.migrate(start_of_tests()).await.unwrap_err();
        assert!(matches!(error, StorageError::Migration { version: 1, .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_old_program_runs_on_a_newer_schema_until_that_names_it_too_old() {
    testing::on_both(|db| async move {
        let newer = "INSERT INTO schema_versions VALUES (900, 'later', 'x', 1, '')";
        edit_versions(&db, newer, newer).await;
        assert_eq!(db.migrate(start_of_tests()).await.unwrap(), Vec::<i64>::new());
        let too_new = "INSERT INTO schema_versions VALUES (901, 'much later', 'x', 901, '')";
        edit_versions(&db, too_new, too_new).await;
        let error = db.migrate(start_of_tests()).await.unwrap_err();
        assert!(matches!(error, StorageError::Migration { version: 901, .. }), "{error}");
        assert!(error.advice().contains("newest version"), "{}", error.advice());
    })
    .await;
}
