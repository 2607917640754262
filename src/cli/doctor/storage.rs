//! Whether the database opens, is of this version, and answers quickly.

use std::time::{Duration, Instant};

use domain::Platform;
use secrecy::ExposeSecret;
use storage::{Db, DbKind, ReplicaReport, StorageOptions, Unfit};

use super::{Finding, TheirTime};
use crate::config::{Config, StorageKind};
use crate::messages::Clock;
use crate::supervision::boot::storage_options;

const NAME: &str = "storage";

/// Time for opening it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A slower answer costs every command.
const LATENCY_WARN: Duration = Duration::from_millis(50);

/// Topic of what is found about replicas.
const REPLICA: &str = "storage replica";

/// Looks at the replicas while one is behind, and the time between two.
const REPLICA_LOOKS_MAX: u32 = 4;
const REPLICA_LOOK_PAUSE: Duration = Duration::from_millis(300);

/// Most channels that are read to count Twitch's.
const CHANNELS_READ_MAX: u32 = 1_000;

/// What the database said.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub findings: Vec<Finding>,
    /// Active channels of Twitch, counted up to 1,000; `None` when they could not be read.
    pub n_twitch_channels: Option<usize>,
    /// The database server's clock; `None` on SQLite, whose clock is ours.
    pub database_time: Option<TheirTime>,
}

/// Opens the configured database without making one.
pub(super) async fn look(config: &Config) -> Examined {
    if config.storage.kind == StorageKind::Sqlite && !sqlite_file_exists(config) {
        let finding = Finding::ok(NAME, "there is no database yet; the first start makes it");
        return Examined { findings: vec![finding], ..Examined::default() };
    }
    let options = StorageOptions {
        max_connections: 1,
        statement_timeout: OPEN_TIMEOUT,
        lock_timeout: OPEN_TIMEOUT,
        ..storage_options(config)
    };
    let opened = match tokio::time::timeout(OPEN_TIMEOUT, Db::open(&options)).await {
        Ok(Ok(db)) => db,
        Ok(Err(error)) => {
            let finding = Finding::fail(NAME, format!("{error}. {}", error.advice()));
            return Examined { findings: vec![finding], ..Examined::default() };
        }
        Err(_elapsed) => {
            let finding = Finding::fail(NAME, "the database did not open within 5 s; check storage.url");
            return Examined { findings: vec![finding], ..Examined::default() };
        }
    };
    let examined = examine(&opened).await;
    opened.close().await;
    examined
}

async fn examine(db: &Db) -> Examined {
    let mut examined = Examined::default();
    examined.findings.push(schema(db).await);
    examined.findings.push(latency(db).await);
    examined.findings.extend(replicas(db).await);
    if db.kind() == DbKind::Postgres {
        let before = Clock::System.now();
        let theirs = db.time().await;
        let ours = before + (Clock::System.now() - before) / 2;
        examined.database_time = theirs.ok().map(|theirs| TheirTime { theirs, ours });
    }
    if let Ok(channels) = storage::channels::active_all(db, None, CHANNELS_READ_MAX).await {
        let of_twitch = channels.iter().filter(|channel| channel.platform == Platform::Twitch);
        examined.n_twitch_channels = Some(of_twitch.count());
    }
    examined
}

/// Looks at each replica, and once more at one that has not replayed what was written just before the first look.
async fn replicas(db: &Db) -> Vec<Finding> {
    for _ in 0..REPLICA_LOOKS_MAX {
        db.check_replicas().await;
        if db.replicas().iter().all(|replica| replica.state != Err(Unfit::Unknown)) {
            break;
        }
        tokio::time::sleep(REPLICA_LOOK_PAUSE).await;
    }
    let finding = |replica: ReplicaReport| {
        let which = format!("{} ({})", replica.name, replica.place);
        match replica.state {
            Ok(lag) => {
                Finding::ok(REPLICA, format!("{which} serves lists, {:.1} s behind", lag.as_secs_f64()))
            }
            Err(why) => Finding::warn(
                REPLICA,
                format!(
                    "{which}: {why}; the primary serves lists meanwhile; check that server and storage.replicas"
                ),
            ),
        }
    };
    db.replicas().into_iter().map(finding).collect()
}

async fn schema(db: &Db) -> Finding {
    let wanted = storage::program_version();
    match db.schema_version().await {
        Ok(version) if version == wanted => {
            Finding::ok(NAME, format!("{} with schema {version}", db.kind().as_str()))
        }
        Ok(version) if version < wanted => Finding::warn(
            NAME,
            format!(
                "schema {version} is older than this program's {wanted}; the next start updates it, or `waddlebot migrate`"
            ),
        ),
        Ok(version) => Finding::fail(
            NAME,
            format!("schema {version} is newer than this program's {wanted}; install the newest waddlebot"),
        ),
        Err(error) => Finding::fail(NAME, format!("{error}. {}", error.advice())),
    }
}

async fn latency(db: &Db) -> Finding {
    let started = Instant::now();
    if let Err(error) = db.ping().await {
        return Finding::fail(NAME, format!("{error}. {}", error.advice()));
    }
    let took = started.elapsed();
    let shown = format!("answers in {:.1} ms", took.as_secs_f64() * 1_000.0);
    match (took > LATENCY_WARN, db.kind()) {
        (false, _) => Finding::ok(NAME, shown),
        (true, DbKind::Sqlite) => {
            Finding::warn(NAME, format!("{shown}; put the data folder on a faster disk"))
        }
        (true, DbKind::Postgres) => {
            Finding::warn(NAME, format!("{shown}; run the database nearer to the node"))
        }
    }
}

fn sqlite_file_exists(config: &Config) -> bool {
    let url = config.storage.url.expose_secret();
    let path = url.strip_prefix("sqlite://").unwrap_or(url);
    std::path::Path::new(path.split('?').next().unwrap_or(path)).exists()
}
