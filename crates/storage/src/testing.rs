//! Databases for tests: each test gets one of its own, already migrated, on `SQLite` and on a real `PostgreSQL`.
//!
//! The `PostgreSQL` server is the one of `WADDLEBOT_TEST_POSTGRES`, an address where databases may be created;
//! without that variable the first test that needs one starts one. A missing `PostgreSQL` is a failure, never a
//! skip.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::db::Pools;
use crate::rows::new_id;
use crate::{Db, EventStore, StorageError, StorageOptions};

pub mod streaming;

mod server;

/// Attempts to copy the template while somebody is still connected to it.
const COPY_ATTEMPTS_MAX: u32 = 50;

/// A migrated database for one test.
#[derive(Debug)]
pub struct TestDatabase {
    pub db: Db,
    /// What to write into `storage.url`.
    pub url: String,
    /// The folder of the `SQLite` file, deleted with this value. `None` on `PostgreSQL`.
    pub folder: Option<TempDir>,
}

/// The time at which tests begin.
pub fn start_of_tests() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 123_456_000).expect("a time within chrono's range")
}

/// Runs `test` twice: with a new `SQLite` database, then with a new `PostgreSQL` database.
pub async fn on_both<F, R>(test: F)
where
    F: Fn(Db) -> R,
    R: Future<Output = ()>,
{
    let lite = sqlite().await;
    eprintln!("on sqlite:");
    test(lite.db.clone()).await;
    let pg = postgres().await;
    eprintln!("on postgres:");
    test(pg.db.clone()).await;
}

/// A new, migrated `SQLite` database.
pub async fn sqlite() -> TestDatabase {
    let test = empty_sqlite().await;
    test.db.migrate(start_of_tests()).await.expect("migrations apply to an empty file");
    test
}

/// A new `SQLite` database without tables.
pub async fn empty_sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let url = format!("sqlite://{}", folder.path().join("waddlebot.db").display());
    let db = Db::open(&StorageOptions::new(&url)).await.expect("a new file can be opened");
    TestDatabase { db, url, folder: Some(folder) }
}

/// A new, migrated `PostgreSQL` database, copied from a template.
pub async fn postgres() -> TestDatabase {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async { make_template().await.expect("the template") }).await;
    new_postgres(Some(template)).await
}

/// A new `PostgreSQL` database without tables.
pub async fn empty_postgres() -> TestDatabase {
    new_postgres(None).await
}

/// The event log beside a test's database.
pub async fn event_store(test: &TestDatabase) -> EventStore {
    let folder = test.folder.as_ref().map_or_else(std::env::temp_dir, |folder| folder.path().to_owned());
    let options = StorageOptions::new(&test.url);
    EventStore::open(&options, &folder.join("events.db")).await.expect("the event log opens")
}

async fn new_postgres(template: Option<&str>) -> TestDatabase {
    let name = format!("waddlebot_test_{}", unique());
    let mut admin = connect("postgres").await.expect("the test server answers");
    let template = template.unwrap_or("template1");
    create_database(&mut admin, &name, template).await.expect("a database can be created");
    let url = server::url_of(&name).await;
    let db = Db::open(&StorageOptions::new(&url)).await.expect("the new database answers");
    TestDatabase { db, url, folder: None }
}

/// Makes the migrated template unless it is there, and returns its name.
async fn make_template() -> Result<String, sqlx::Error> {
    let schema = crate::migrate::schema_name();
    let template = format!("waddlebot_template_{schema}");
    let mut admin = connect("postgres").await?;
    // Released when this connection ends, with the process at the latest.
    sqlx::query("SELECT pg_advisory_lock(7305792)").execute(&mut admin).await?;
    let there = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(&template);
    if there.fetch_optional(&mut admin).await?.is_none() {
        let building = format!("waddlebot_building_{}", unique());
        create_database(&mut admin, &building, "template1").await?;
        let options = StorageOptions::new(server::url_of(&building).await);
        let db = Db::open(&options).await.expect("the template answers");
        db.migrate(start_of_tests()).await.expect("migrations apply to an empty database");
        db.close().await;
        let rename = format!("ALTER DATABASE {building} RENAME TO {template}");
        admin.execute(AssertSqlSafe(rename)).await?;
    }
    admin.close().await?;
    Ok(template)
}

async fn create_database(admin: &mut PgConnection, name: &str, template: &str) -> Result<(), sqlx::Error> {
    let mut attempt = 1;
    loop {
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        match admin.execute(AssertSqlSafe(create)).await {
            Ok(_) => return Ok(()),
            Err(error) if attempt >= COPY_ATTEMPTS_MAX || !is_in_use(&error) => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        attempt += 1;
    }
}

fn is_in_use(error: &sqlx::Error) -> bool {
    const OBJECT_IN_USE: &str = "55006";
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == OBJECT_IN_USE)
}

async fn connect(database: &str) -> Result<PgConnection, sqlx::Error> {
    let options: sqlx::postgres::PgConnectOptions = server::url_of(database).await.parse()?;
    options.disable_statement_logging().connect().await
}

fn unique() -> String {
    new_id(start_of_tests()).expect("randomness").to_string().to_lowercase()
}

impl Db {
    /// Lets the `SQLite` file grow to at most `n_pages`, as a full disk would; 0 lifts the limit.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] on `PostgreSQL`.
    pub async fn limit_pages(&self, n_pages: u32) -> Result<(), StorageError> {
        let limit = if n_pages == 0 { u32::MAX - 1 } else { n_pages };
        self.run_on_writer(format!("PRAGMA max_page_count = {limit}")).await
    }

    /// Lets writes of channels pass that somebody else owns.
    pub fn turn_fence_off(&self) {
        self.inner.is_fence_off.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Has a living node say that it speaks those versions of the protocol between nodes, both included.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] on `SQLite`.
    pub async fn set_protocol(&self, node: &str, oldest: i64, newest: i64) -> Result<(), StorageError> {
        let Pools::Pg(pool) = self.pools() else {
            return Err(StorageError::invalid("a cluster is on PostgreSQL"));
        };
        let change =
            "UPDATE nodes SET protocol_min = $2, protocol_max = $3 WHERE node_id = $1 AND state <> 'dead'";
        let changed = sqlx::query(change).bind(node).bind(oldest).bind(newest).execute(&**pool).await;
        assert_eq!(changed.expect("the statement is right").rows_affected(), 1, "{node} lives");
        Ok(())
    }

    /// Makes the `SQLite` database refuse every write, as a read-only disk would.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] on `PostgreSQL`.
    pub async fn make_read_only(&self, is_read_only: bool) -> Result<(), StorageError> {
        self.run_on_writer(format!("PRAGMA query_only = {}", u8::from(is_read_only))).await
    }

    async fn run_on_writer(&self, pragma: String) -> Result<(), StorageError> {
        let Pools::Lite { writer, .. } = self.pools() else {
            return Err(StorageError::invalid("only SQLite has one writer"));
        };
        let mut conn = writer.acquire().await.expect("the writer is free");
        conn.execute(AssertSqlSafe(pragma)).await.expect("the pragma is right");
        Ok(())
    }
}

/// How many rows each table holds, for tests that nothing was written.
pub async fn row_counts(db: &Db) -> BTreeMap<String, i64> {
    let names: Vec<(String,)> = match db.pools() {
        Pools::Lite { readers, .. } => {
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&**readers).await
        }
        Pools::Pg(pool) => {
            sqlx::query_as("SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'")
                .fetch_all(&**pool)
                .await
        }
    }
    .expect("the tables are listed");
    let mut counts = BTreeMap::new();
    for (name,) in names {
        let text = AssertSqlSafe(format!("SELECT COUNT(*) FROM {name}"));
        let (count,): (i64,) = match db.pools() {
            Pools::Lite { readers, .. } => sqlx::query_as(text).fetch_one(&**readers).await,
            Pools::Pg(pool) => sqlx::query_as(text).fetch_one(&**pool).await,
        }
        .expect("the rows are counted");
        counts.insert(name, count);
    }
    counts
}

/// Whether this process shall show what the fence is for.
pub(crate) fn is_fence_off() -> bool {
    std::env::var_os("WADDLEBOT_TEST_FENCE").is_some_and(|value| value == "off")
}
