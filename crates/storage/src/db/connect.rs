//! Opens the pools of either database.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use membership::Incarnation;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgPool, SqliteConnection, SqlitePool};
use tokio::sync::Semaphore;

use super::background;
use super::pool::Pool;
use super::replicas::{ANSWER_TIMEOUT, LIST_TIMEOUT, NAMES, REPLICAS_MAX, Replicas};
use super::{Db, Inner, Pools};
use crate::StorageError;
use crate::cluster::application_name;
use crate::rows::Place;
use crate::unit_of_work::Group;

/// Longest wait for a free connection; the caller turns a longer one into "try again".
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait of `SQLite` for another process that holds the file (migrations from the command line).
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A file that is not synced holds what may be lost: it never grows beyond 1 GiB (in pages of 4 KiB).
const UNSYNCED_PAGES_MAX: &str = "262144";

/// How much later than the server our clock gives a statement up.
const OWN_CLOCK_MARGIN: Duration = Duration::from_secs(1);

/// Longest time that a transaction may stand idle at the server.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The same where other nodes wait for a frozen one's rows.
const IDLE_IN_CLUSTER_MAX: Duration = Duration::from_secs(1);

/// Attempts to open a `SQLite` file that another process is opening at the same moment.
const OPEN_ATTEMPTS_MAX: u32 = 5;

/// Where the database is and how long it may take.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// `sqlite://path` or `postgres://…`.
    pub url: SecretString,
    /// Streaming replicas of that `PostgreSQL`, for lists; at most 8.
    pub replicas: Vec<SecretString>,
    /// A replica that is further behind serves nothing.
    pub replica_lag_max: Duration,
    /// Connections of each pool; on `SQLite` the readers beside the one writer.
    pub max_connections: u32,
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    /// Queries that take longer are logged as a warning.
    pub slow_query: Duration,
    /// The process's name in a cluster: its sessions carry it, so that burying it ends them. `None` for one node.
    pub incarnation: Option<Incarnation>,
}

impl StorageOptions {
    /// The defaults for a database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            replicas: Vec::new(),
            replica_lag_max: Duration::from_secs(10),
            max_connections: 10,
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            slow_query: Duration::from_secs(1),
            incarnation: None,
        }
    }
}

pub(super) async fn connect(options: &StorageOptions, synced: bool) -> Result<Inner, StorageError> {
    let url = options.url.expose_secret();
    if options.max_connections == 0 {
        return Err(StorageError::invalid("storage.max_connections must be at least 1"));
    }
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !options.replicas.is_empty() && !is_postgres {
        return Err(StorageError::invalid(
            "storage.replicas needs PostgreSQL; storage.url names another database",
        ));
    }
    if let Some(path) = sqlite_path(url) {
        let (pools, place) = open_sqlite(&path?, options, synced).await?;
        return Ok(inner(pools, place, options));
    }
    if !is_postgres {
        return Err(StorageError::invalid("storage.url must begin with sqlite:// or postgres://"));
    }
    let main = Kind { name: "main", key: "storage.url", acquire_timeout: ACQUIRE_TIMEOUT, limit: None };
    let primary = open_postgres(&options.url, options, &main)?;
    if options.replicas.is_empty() {
        return Ok(primary);
    }
    Ok(Inner { replicas: open_replicas(options)?, ..primary })
}

fn open_replicas(options: &StorageOptions) -> Result<Replicas, StorageError> {
    if options.replicas.len() > REPLICAS_MAX {
        return Err(StorageError::invalid(format!("storage.replicas: at most {REPLICAS_MAX}")));
    }
    let probing = StorageOptions { max_connections: 1, ..options.clone() };
    let open = |url: &SecretString, options: &StorageOptions, name, limit| {
        let kind =
            Kind { name, key: "storage.replicas", acquire_timeout: ANSWER_TIMEOUT, limit: Some(limit) };
        open_postgres(url, options, &kind).map(Db::new)
    };
    let primary = open(&options.url, &probing, "probe", ANSWER_TIMEOUT)?;
    let pairs = NAMES.into_iter().zip(&options.replicas).map(|(name, url)| {
        Ok((open(url, options, name, LIST_TIMEOUT)?, open(url, &probing, "probe", ANSWER_TIMEOUT)?))
    });
    let pairs: Vec<(Db, Db)> = pairs.collect::<Result<_, StorageError>>()?;
    Ok(Replicas::new(primary, pairs, options.replica_lag_max))
}

fn inner(pools: Pools, place: Place, options: &StorageOptions) -> Inner {
    Inner {
        pools,
        place,
        slow_query: options.slow_query,
        limit: None,
        replicas: Replicas::none(),
        // Of four connections one stays free of units; of a single one none can.
        unit_slots: Arc::new(Semaphore::new(
            usize::try_from(options.max_connections * 3).map_or(1, |n| n.div_ceil(4)),
        )),
        #[cfg(any(test, feature = "test-support"))]
        is_fence_off: crate::testing::is_fence_off().into(),
    }
}

/// The file that the address names. `None` when it is no `SQLite` address.
fn sqlite_path(url: &str) -> Option<Result<PathBuf, StorageError>> {
    let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    let wrong = rest.is_empty() || rest.contains([':', '?']) || rest.ends_with('/');
    Some(if wrong {
        Err(StorageError::invalid("storage.url must name a file, for example sqlite://data/waddlebot.db"))
    } else {
        Ok(PathBuf::from(rest))
    })
}

async fn open_sqlite(
    path: &Path,
    options: &StorageOptions,
    synced: bool,
) -> Result<(Pools, Place), StorageError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let place: Place = folder.display().to_string().into();
    tokio::fs::create_dir_all(&folder).await.map_err(|error| folder_error(&error, &place))?;
    let lite = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if synced { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let lite = if synced {
        lite
    } else {
        lite.pragma("max_page_count", UNSYNCED_PAGES_MAX)
            .thread_name(|number| format!("{}{number}", background::THREAD_NAME))
    };
    let writer = open_writer(&lite, synced, &place).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(lite.pragma("query_only", "ON"));
    let (writer, readers) = (Pool::new("writer", writer), Pool::new("readers", readers));
    Ok((Pools::Lite { writer, readers, units: Group::default() }, place))
}

async fn open_writer(
    lite: &SqliteConnectOptions,
    synced: bool,
    place: &Place,
) -> Result<SqlitePool, StorageError> {
    let mut attempt = 1;
    loop {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |_, _| {
                if !synced {
                    background::step_back();
                }
                Box::pin(async { Ok(()) })
            })
            .after_release(|conn, _| Box::pin(is_clean(conn)))
            .connect_with(lite.clone())
            .await;
        match pool.map_err(|error| StorageError::sort(&error, place)) {
            Err(StorageError::Busy) if attempt < OPEN_ATTEMPTS_MAX => attempt += 1,
            other => return other,
        }
    }
}

/// Whether the connection may be used again. After a full disk `SQLite` may end a transaction by itself; the driver
/// then still counts one as open and would refuse every later one, so that connection is closed instead.
async fn is_clean(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    conn.ping().await?;
    Ok(!conn.is_in_transaction())
}

fn folder_error(error: &std::io::Error, place: &Place) -> StorageError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StorageError::ReadOnly { place: Place::clone(place) }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StorageError::Full { place: Place::clone(place) }
        }
        _ => StorageError::invalid(format!("the folder {place} cannot be made: {error}")),
    }
}

/// What a pool of `PostgreSQL` is for.
struct Kind {
    name: &'static str,
    /// The setting its address comes from.
    key: &'static str,
    acquire_timeout: Duration,
    /// Longest statement, for the server. `None`: as set.
    limit: Option<Duration>,
}

fn open_postgres(url: &SecretString, options: &StorageOptions, kind: &Kind) -> Result<Inner, StorageError> {
    // The driver's own message may repeat the address with its password, so it is not passed on.
    let pg = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| StorageError::invalid(format!("{} is not a PostgreSQL address", kind.key)))?
        .application_name(&options.incarnation.map_or_else(|| "waddlebot".to_owned(), application_name))
        .disable_statement_logging();
    let place: Place =
        format!("PostgreSQL at {}/{}", pg.get_host(), pg.get_database().unwrap_or("postgres")).into();
    let statement_ms = millis(kind.limit.unwrap_or(options.statement_timeout).min(options.statement_timeout));
    let lock_ms = millis(options.lock_timeout);
    let idle = idle_limit(options);
    let limits = [statement_ms, lock_ms, millis(idle)].map(|limit| limit.to_string());
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(kind.acquire_timeout)
        .after_connect(move |conn, _| {
            let [statement, lock, idle] = limits.clone();
            Box::pin(async move {
                conn.execute(sqlx::query(SET_TIMEOUTS).bind(statement).bind(lock).bind(idle)).await.map(drop)
            })
        })
        .connect_lazy_with(pg);
    // The server gives up first, and says so; our clock is for one that does not answer.
    let limit = kind.limit.unwrap_or(options.statement_timeout + OWN_CLOCK_MARGIN);
    Ok(Inner { limit: Some(limit), ..inner(Pools::Pg(Pool::new(kind.name, pool)), place, options) })
}

fn idle_limit(options: &StorageOptions) -> Duration {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::is_fence_off() {
        // It would end what only the fence is to end.
        return IDLE_MAX;
    }
    if options.incarnation.is_some() { IDLE_IN_CLUSTER_MAX } else { IDLE_MAX }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const SET_TIMEOUTS: &str = "SELECT set_config('statement_timeout', $1, FALSE), set_config('lock_timeout', $2, FALSE), \
     set_config('idle_in_transaction_session_timeout', $3, FALSE), \
     set_config('client_connection_check_interval', '1000', FALSE)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_address_names_a_file() {
        let path = |url| sqlite_path(url).map(Result::ok);
        assert_eq!(path("sqlite://data/waddlebot.db"), Some(Some(PathBuf::from("data/waddlebot.db"))));
        assert_eq!(path("sqlite:///var/lib/w.db"), Some(Some(PathBuf::from("/var/lib/w.db"))));
        assert_eq!(path("sqlite::memory:"), Some(None));
        assert_eq!(path("sqlite://"), Some(None));
        assert_eq!(path("postgres://x"), None);
    }
}
