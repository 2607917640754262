//! What happened: a store of its own, never on the path of an acknowledgement and never waited for by one.
//!
//! On `SQLite` it is a file beside the database, without fsync; on `PostgreSQL` partitions of a day, through a small pool
//! of its own, committed without waiting for the disk. A crash of the machine may take its last seconds.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use domain::ChannelId;
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::db::{self, Db, DbKind, Statement, on, sql};
use crate::rows::page;
use crate::{StorageError, StorageOptions};

/// Bits of an id that tell nodes apart; above them stands the time in microseconds.
const NODE_BITS: u32 = 10;

/// Most rows of one answer.
pub const ROWS_MAX: u32 = 5_000;

/// Connections to `PostgreSQL`: one writes, one reads.
const CONNECTIONS: u32 = 2;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// One thing that happened. Texts that are empty are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Of [`event_id`]: ids grow with time.
    pub id: i64,
    /// Empty for what concerns the whole node.
    pub channel_id: String,
    pub kind: String,
    pub correlation_id: String,
    pub message_id: String,
    pub user_login: String,
    /// JSON.
    pub body: String,
}

/// Which rows of a channel are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFilter<'a> {
    /// Only what concerns this message. `None`: any.
    pub message_id: Option<&'a str>,
    /// Only what this user did. `None`: anybody, read only without `message_id`.
    pub user_login: Option<&'a str>,
}

/// The smallest id of a moment; `node` is any number that tells this node from others.
pub fn event_id(at: DateTime<Utc>, node: u32) -> i64 {
    (at.timestamp_micros() << NODE_BITS) | i64::from(node & ((1 << NODE_BITS) - 1))
}

/// The moment of an id.
pub fn event_time(id: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(id >> NODE_BITS).unwrap_or_default()
}

/// What lies between an id and the next one of the same node.
pub const EVENT_ID_STEP: i64 = 1 << NODE_BITS;

const fn day_of(id: i64) -> i64 {
    (id >> NODE_BITS) / MICROS_A_DAY
}

type Row = (i64, String, String, String, String, String, String);

impl From<Row> for EventRow {
    fn from((id, channel_id, kind, correlation_id, message_id, user_login, body): Row) -> Self {
        Self { id, channel_id, kind, correlation_id, message_id, user_login, body }
    }
}

/// The store.
#[derive(Debug)]
pub struct EventStore {
    db: Db,
    /// Up to this day there are partitions; `PostgreSQL` only.
    open_days: AtomicI64,
}

impl EventStore {
    /// Opens the store beside the database of `options`: `file` on `SQLite`, its own tables on `PostgreSQL`.
    ///
    /// # Errors
    /// As [`Db::open`]; a retry may help.
    pub async fn open(options: &StorageOptions, file: &Path) -> Result<Self, StorageError> {
        let is_sqlite = options.url.expose_secret().starts_with("sqlite:");
        let url = if is_sqlite { format!("sqlite://{}", file.display()).into() } else { options.url.clone() };
        let options = StorageOptions { url, max_connections: CONNECTIONS, ..options.clone() };
        let db = Db::open_unsynced(&options).await?;
        if is_sqlite {
            let mut tx = db.begin().await?;
            tx.run_script(SCHEMA).await?;
            tx.commit().await?;
        }
        Ok(Self { db, open_days: AtomicI64::new(i64::MIN) })
    }

    /// Adds rows, all or none, without waiting for the disk.
    ///
    /// # Errors
    /// Any [`StorageError`]; the caller drops the rows or tries again, ids that are there are left as they are.
    pub async fn append(&self, rows: &[EventRow]) -> Result<(), StorageError> {
        let Some((first, last)) = rows.first().zip(rows.last()) else { return Ok(()) };
        self.open_days(day_of(first.id), day_of(last.id)).await?;
        let rows = serde_json::to_string(rows)
            .map_err(|error| StorageError::invalid(format!("events cannot be written: {error}")))?;
        let mut tx = self.db.begin().await?;
        on!(&mut tx, &NO_WAIT, execute)?;
        on!(&mut tx, &APPEND, execute, rows)?;
        tx.commit().await
    }

    async fn open_days(&self, first: i64, last: i64) -> Result<(), StorageError> {
        if self.db.kind() == DbKind::Sqlite {
            return Ok(());
        }
        let open = self.open_days.load(Ordering::Relaxed);
        if last <= open {
            return Ok(());
        }
        for day in first.max(open.saturating_add(1))..=last {
            on!(&self.db, &OPEN_DAY, fetch_one as (bool,), day)?;
        }
        self.open_days.store(last, Ordering::Relaxed);
        Ok(())
    }

    /// Rows of a channel before an id, the newest first.
    pub async fn newest(
        &self,
        channel_id: ChannelId,
        filter: EventFilter<'_>,
        before: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StorageError> {
        let (channel, limit) = (channel_id.to_string(), page(limit, ROWS_MAX));
        let rows = match (filter.message_id, filter.user_login) {
            (Some(message), _) => {
                on!(&self.db, &NEWEST_OF_MESSAGE, fetch_all as Row, channel, before, limit, message)?
            }
            (None, Some(user)) => {
                on!(&self.db, &NEWEST_OF_USER, fetch_all as Row, channel, before, limit, user)?
            }
            (None, None) => on!(&self.db, &NEWEST, fetch_all as Row, channel, before, limit)?,
        };
        Ok(rows.into_iter().map(EventRow::from).collect())
    }

    /// Gaps, shed lines, starts and losses that concern the channel or the whole node, the newest first.
    pub async fn context(&self, channel_id: ChannelId, limit: u32) -> Result<Vec<EventRow>, StorageError> {
        let (channel, limit) = (channel_id.to_string(), page(limit, ROWS_MAX));
        let rows = on!(&self.db, &CONTEXT, fetch_all as Row, channel, limit)?;
        Ok(rows.into_iter().map(EventRow::from).collect())
    }

    /// Rows of a channel from one id to another that belong to one of these correlation ids, oldest first.
    pub async fn correlated(
        &self,
        channel_id: ChannelId,
        (from, to): (i64, i64),
        correlation_ids: &[String],
    ) -> Result<Vec<EventRow>, StorageError> {
        let (channel, limit) = (channel_id.to_string(), i64::from(ROWS_MAX));
        let ids = serde_json::to_string(correlation_ids)
            .map_err(|error| StorageError::invalid(format!("ids cannot be asked for: {error}")))?;
        let rows = on!(&self.db, &CORRELATED, fetch_all as Row, channel, from, to, ids, limit)?;
        Ok(rows.into_iter().map(EventRow::from).collect())
    }

    /// Recorded lines of a channel that may be commands, after one id and up to another, oldest first.
    pub async fn command_lines(
        &self,
        channel_id: ChannelId,
        (after, to): (i64, i64),
        limit: u32,
    ) -> Result<Vec<EventRow>, StorageError> {
        let (channel, limit) = (channel_id.to_string(), page(limit, ROWS_MAX));
        let rows = on!(&self.db, &COMMAND_LINES, fetch_all as Row, channel, after, to, limit)?;
        Ok(rows.into_iter().map(EventRow::from).collect())
    }

    /// Removes what happened before a moment: whole days on `PostgreSQL`, at most `limit` rows on `SQLite`. Returns how
    /// many days or rows went.
    pub async fn prune(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        let id = event_id(before, 0);
        if self.db.kind() == DbKind::Postgres {
            let (n_days,) = on!(&self.db, &DROP_DAYS, fetch_one as (i64,), day_of(id))?;
            return Ok(u64::try_from(n_days).unwrap_or_default());
        }
        let mut tx = self.db.begin().await?;
        let n_rows = on!(&mut tx, &PRUNE, execute, id, i64::from(limit))?;
        tx.commit().await?;
        Ok(n_rows)
    }

    /// Makes room where the file may not grow any more: removes the `n_rows` oldest rows. On `PostgreSQL` nothing, there only
    /// age counts.
    pub async fn shrink(&self, n_rows: u32) -> Result<u64, StorageError> {
        if self.db.kind() == DbKind::Postgres {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let n_removed = on!(&mut tx, &PRUNE, execute, i64::MAX, i64::from(n_rows))?;
        tx.commit().await?;
        Ok(n_removed)
    }

    /// Rows that are stored.
    pub async fn count(&self) -> Result<u64, StorageError> {
        let (count,) = on!(&self.db, &COUNT, fetch_one as (i64,))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The handle, for tests that look at the schema or fill the disk.
    #[cfg(any(test, feature = "test-support"))]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Waits for what runs, then closes.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

const SCHEMA: &str = include_str!("../../../migrations/event_log/sqlite.sql");

const NO_WAIT: Statement = sql!("select", "event_log",
    sqlite: "SELECT 'off'",
    postgres: "SELECT set_config('synchronous_commit', 'off', TRUE)");

const APPEND: Statement = sql!("insert", "event_log",
    sqlite: "INSERT INTO event_log (id, channel_id, kind, correlation_id, message_id, user_login, body) \
     SELECT json_extract(value, '$.id'), json_extract(value, '$.channel_id'), json_extract(value, '$.kind'), \
     json_extract(value, '$.correlation_id'), json_extract(value, '$.message_id'), json_extract(value, '$.user_login'), \
     json_extract(value, '$.body') FROM json_each($1) WHERE TRUE ON CONFLICT (id) DO NOTHING",
    postgres: "INSERT INTO event_log (id, channel_id, kind, correlation_id, message_id, user_login, body) \
     SELECT id, channel_id, kind, correlation_id, message_id, user_login, body \
     FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS r (id BIGINT, channel_id TEXT, kind TEXT, correlation_id TEXT, \
     message_id TEXT, user_login TEXT, body TEXT) ON CONFLICT (id) DO NOTHING");

const OPEN_DAY: Statement = sql!("select", "event_log",
    sqlite: "SELECT $1 IS NULL",
    postgres: "SELECT event_log_open_day($1)");

const DROP_DAYS: Statement = sql!("delete", "event_log",
    sqlite: "SELECT 0 * $1",
    postgres: "SELECT event_log_drop_days($1)");

const PRUNE: Statement = sql!(
    "delete",
    "event_log",
    "DELETE FROM event_log WHERE id IN (SELECT id FROM event_log WHERE id < $1 ORDER BY id LIMIT 0 + $2)"
);

const COUNT: Statement = sql!("select", "event_log", "SELECT COUNT(*) FROM event_log");

const NEWEST: Statement = sql!(
    "select",
    "event_log",
    "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id < $2 ORDER BY id DESC LIMIT 0 + $3"
);

const NEWEST_OF_MESSAGE: Statement = sql!(
    "select",
    "event_log",
    "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id < $2 AND message_id <> '' AND message_id = $4 ORDER BY id DESC LIMIT 0 + $3"
);

const NEWEST_OF_USER: Statement = sql!(
    "select",
    "event_log",
    "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id < $2 AND user_login = $4 ORDER BY id DESC LIMIT 0 + $3"
);

const CONTEXT: Statement = sql!(
    "select",
    "event_log",
    "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id IN ($1, '') AND kind IN ('gap', 'shed', 'lost', 'started', 'held') ORDER BY id DESC LIMIT 0 + $2"
);

const CORRELATED: Statement = sql!("select", "event_log",
    sqlite: "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id BETWEEN $2 AND $3 AND correlation_id IN (SELECT value FROM json_each($4)) \
     ORDER BY id LIMIT 0 + $5",
    postgres: "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id BETWEEN $2 AND $3 \
     AND correlation_id IN (SELECT jsonb_array_elements_text(CAST($4 AS JSONB))) ORDER BY id LIMIT 0 + $5");

const COMMAND_LINES: Statement = sql!(
    "select",
    "event_log",
    "SELECT id, channel_id, kind, correlation_id, message_id, user_login, body FROM event_log \
     WHERE channel_id = $1 AND id > $2 AND id <= $3 AND kind = 'command_line' ORDER BY id LIMIT 0 + $4"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[
    &NO_WAIT,
    &APPEND,
    &OPEN_DAY,
    &DROP_DAYS,
    &PRUNE,
    &COUNT,
    &NEWEST,
    &NEWEST_OF_MESSAGE,
    &NEWEST_OF_USER,
    &CONTEXT,
    &CORRELATED,
    &COMMAND_LINES,
];
