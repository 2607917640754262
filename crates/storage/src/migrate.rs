//! Migrations: forward only, one transaction each, one runner at a time.
//!
//! Each migration has one version number and one text for either database. A killed run leaves whole
//! migrations behind, never half of one, and the next run goes on from there. `schema_versions` also says the
//! oldest program that may still run, so that an old node survives a new schema until it would do harm.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::SqlSafeStr;
use sqlx::migrate::MigrationType;

use crate::db::{Db, DbKind, Statement, Tx, on, sql};
use crate::rows::micros;
use crate::{StorageError, db};

/// Longest wait for another runner. A migration that takes longer than this fails the second node's start,
/// which its supervisor then repeats.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Time between two looks at the lock.
const WAIT_STEP: Duration = Duration::from_millis(50);

struct Migration {
    version: i64,
    description: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    /// The lowest version a program must know to run on the schema that this migration leaves.
    oldest_program: i64,
}

/// Every migration, oldest first.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        description: "spine",
        sqlite: include_str!("../../../migrations/sqlite/0001_spine.sql"),
        postgres: include_str!("../../../migrations/postgres/0001_spine.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 2,
        description: "effects",
        sqlite: include_str!("../../../migrations/sqlite/0002_effects.sql"),
        postgres: include_str!("../../../migrations/postgres/0002_effects.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 3,
        description: "queue",
        sqlite: include_str!("../../../migrations/sqlite/0003_queue.sql"),
        postgres: include_str!("../../../migrations/postgres/0003_queue.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 4,
        description: "event log",
        sqlite: include_str!("../../../migrations/sqlite/0004_event_log.sql"),
        postgres: include_str!("../../../migrations/postgres/0004_event_log.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 5,
        description: "cluster",
        sqlite: include_str!("../../../migrations/sqlite/0005_cluster.sql"),
        postgres: include_str!("../../../migrations/postgres/0005_cluster.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 6,
        description: "pins",
        sqlite: include_str!("../../../migrations/sqlite/0006_pins.sql"),
        postgres: include_str!("../../../migrations/postgres/0006_pins.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 7,
        description: "suspects",
        sqlite: include_str!("../../../migrations/sqlite/0007_suspects.sql"),
        postgres: include_str!("../../../migrations/postgres/0007_suspects.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 8,
        description: "budgets",
        sqlite: include_str!("../../../migrations/sqlite/0008_budgets.sql"),
        postgres: include_str!("../../../migrations/postgres/0008_budgets.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 9,
        description: "quotes",
        sqlite: include_str!("../../../migrations/sqlite/0009_quotes.sql"),
        postgres: include_str!("../../../migrations/postgres/0009_quotes.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 10,
        description: "reminders",
        sqlite: include_str!("../../../migrations/sqlite/0010_reminders.sql"),
        postgres: include_str!("../../../migrations/postgres/0010_reminders.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 11,
        description: "bookmarks",
        sqlite: include_str!("../../../migrations/sqlite/0011_bookmarks.sql"),
        postgres: include_str!("../../../migrations/postgres/0011_bookmarks.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 12,
        description: "shoutouts",
        sqlite: include_str!("../../../migrations/sqlite/0012_shoutouts.sql"),
        postgres: include_str!("../../../migrations/postgres/0012_shoutouts.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 13,
        description: "shoutout lists",
        sqlite: include_str!("../../../migrations/sqlite/0013_shoutout_lists.sql"),
        postgres: include_str!("../../../migrations/postgres/0013_shoutout_lists.sql"),
        oldest_program: 1,
    },
    Migration {
        version: 14,
        description: "quote texts",
        sqlite: include_str!("../../../migrations/sqlite/0014_quote_texts.sql"),
        postgres: include_str!("../../../migrations/postgres/0014_quote_texts.sql"),
        oldest_program: 1,
    },
];

impl Migration {
    fn text(&self, kind: DbKind) -> &'static str {
        match kind {
            DbKind::Sqlite => self.sqlite,
            DbKind::Postgres => self.postgres,
        }
    }

    /// SHA-384 of the text, in hexadecimal: a released migration is never edited.
    fn checksum(&self, kind: DbKind) -> String {
        let text = self.text(kind).into_sql_str();
        let kind = MigrationType::Simple;
        let hashed = sqlx::migrate::Migration::new(self.version, self.description.into(), kind, text, false);
        hashed.checksum.iter().fold(String::with_capacity(96), |hex, byte| format!("{hex}{byte:02x}"))
    }

    fn error(&self, detail: impl Into<String>) -> StorageError {
        StorageError::Migration { version: self.version, detail: detail.into() }
    }
}

impl Db {
    /// Applies what is missing and returns the versions that this call applied.
    ///
    /// Any number of nodes may call it at once: one applies, the others wait for at most a minute.
    ///
    /// # Errors
    /// [`StorageError::Migration`] when a text failed or was edited, or when the schema is too new for this
    /// program; [`StorageError::Timeout`] (a retry helps) when another runner did not finish.
    pub async fn migrate(&self, now: DateTime<Utc>) -> Result<Vec<i64>, StorageError> {
        let mut applied = Vec::new();
        while let Some(version) = self.migrate_one(now).await? {
            applied.push(version);
        }
        Ok(applied)
    }

    /// Applies the next migration. `None` when nothing is missing.
    async fn migrate_one(&self, now: DateTime<Utc>) -> Result<Option<i64>, StorageError> {
        let mut tx = begin_alone(self).await?;
        tx.run_script(CREATE_VERSIONS).await?;
        let rows = on!(&mut tx, &VERSIONS, fetch_all as (i64, String, i64))?;
        let Some(next) = next_migration(&rows, self.kind())? else {
            tx.commit().await?;
            return Ok(None);
        };
        if let Err(error) = tx.run_script(next.text(self.kind())).await {
            let detail = error.to_string();
            tx.rollback().await?;
            return Err(if error.is_retryable() || !matches!(error, StorageError::Invalid { .. }) {
                error
            } else {
                next.error(detail)
            });
        }
        let checksum = next.checksum(self.kind());
        on!(
            &mut tx,
            &INSERT_VERSION,
            execute,
            next.version,
            next.description,
            checksum,
            next.oldest_program,
            micros(now)
        )?;
        tx.commit().await?;
        tracing::info!(db.version = next.version, "migration {} applied", next.description);
        Ok(Some(next.version))
    }

    /// The version of the newest applied migration; 0 when there is none.
    pub async fn schema_version(&self) -> Result<i64, StorageError> {
        let (version,) = on!(self, &NEWEST, fetch_one as (i64,))?;
        Ok(version)
    }
}

/// The version that this program brings the schema to.
pub fn program_version() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Names the schema that all texts together make on `PostgreSQL`, for the tests' template.
#[cfg(any(test, feature = "test-support"))]
pub(crate) fn schema_name() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    // One number for all: PostgreSQL cuts a name after 63 bytes.
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATIONS {
        migration.checksum(DbKind::Postgres).hash(&mut hasher);
    }
    format!("{}_{:016x}", MIGRATIONS.len(), hasher.finish())
}

/// Compares what was applied with what this program knows.
fn next_migration(
    rows: &[(i64, String, i64)],
    kind: DbKind,
) -> Result<Option<&'static Migration>, StorageError> {
    for (version, checksum, oldest_program) in rows {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            Some(known) if known.checksum(kind) != *checksum => {
                return Err(known.error("its text is not the one that was applied here"));
            }
            None if *oldest_program > program_version() => {
                let detail = "this program is too old for the database".to_owned();
                return Err(StorageError::Migration { version: *version, detail });
            }
            Some(_) | None => {}
        }
    }
    Ok(MIGRATIONS.iter().find(|migration| !rows.iter().any(|(version, ..)| *version == migration.version)))
}

/// Begins a transaction that no other runner has at the same time.
///
/// `PostgreSQL`'s lock is asked for again and again instead of waited for: a waiting statement holds a snapshot,
/// for which an index built CONCURRENTLY by the other runner would wait in turn.
async fn begin_alone(db: &Db) -> Result<Tx, StorageError> {
    let asked = async {
        loop {
            match try_begin_alone(db).await {
                Ok(Some(tx)) => return Ok(tx),
                Ok(None) | Err(StorageError::Busy) => tokio::time::sleep(WAIT_STEP).await,
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(WAIT_MAX, asked).await.unwrap_or(Err(StorageError::Timeout))
}

async fn try_begin_alone(db: &Db) -> Result<Option<Tx>, StorageError> {
    let mut tx = db.begin().await?;
    if db.kind() == DbKind::Sqlite {
        return Ok(Some(tx));
    }
    let (is_alone, _limits) = on!(&mut tx, &LOCK, fetch_one as (bool, String))?;
    if is_alone {
        return Ok(Some(tx));
    }
    tx.rollback().await?;
    Ok(None)
}

/// One table for both, readable before the first migration ran.
const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    checksum TEXT NOT NULL,
    oldest_program BIGINT NOT NULL,
    applied_at TEXT NOT NULL
)";

const VERSIONS: Statement = sql!(
    "select",
    "schema_versions",
    "SELECT version, checksum, oldest_program FROM schema_versions ORDER BY version LIMIT 10000"
);

const NEWEST: Statement =
    sql!("select", "schema_versions", "SELECT COALESCE(MAX(version), 0) FROM schema_versions");

const INSERT_VERSION: Statement = sql!("insert", "schema_versions",
    sqlite: "INSERT INTO schema_versions (version, description, checksum, oldest_program, applied_at) \
     VALUES ($1, $2, $3, $4, $5)",
    postgres: "INSERT INTO schema_versions (version, description, checksum, oldest_program, applied_at) \
     VALUES ($1, $2, $3, $4, CAST(CAST($5 AS TIMESTAMPTZ) AS TEXT))");

/// The number is ours alone: "waddle" in ASCII. `SQLite` needs no such lock: its one writer is the lock.
const LOCK: Statement = sql!("select", "schema_versions",
    sqlite: "SELECT TRUE, ''",
    postgres: "SELECT pg_try_advisory_xact_lock(131260083432549), set_config('statement_timeout', '600000', TRUE)");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&VERSIONS, &NEWEST, &INSERT_VERSION, &LOCK];
