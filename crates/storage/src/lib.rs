//! All SQL of waddlebot, on `SQLite` and on `PostgreSQL`, behind the same functions.
//!
//! A [`Db`] is opened once; reading functions take it or a running transaction (`&mut *tx`), writing ones take a
//! [`Tx`]. Modules get their `Tx` from [`unit_of_work`], everything else from [`Db::begin`]. No caller sees the
//! driver, and absence is `Ok(None)`.
//!
//! To add an aggregate:
//! 1. its table in both folders of `migrations/`, under the same new version, and a row in `migrate.rs`;
//! 2. one file here: the row's tuple, the model with `From<Row>`, one function per question;
//! 3. its texts as `const … : Statement` in that file, each in the file's `STATEMENTS`, and that list in
//!    `statements.rs`, where a test prepares every text on both databases;
//! 4. tests in `tests/`, which run on both through `testing::on_both`.

pub mod aliases;
pub mod audit;
pub mod bookmarks;
pub mod bot_accounts;
pub mod budgets;
pub mod changes;
pub mod channels;
pub mod cluster;
pub mod commands;
pub mod communities;
pub mod cooldowns;
pub mod counters;
pub mod event_log;
pub mod module_states;
pub mod outbox;
pub mod persons;
pub mod pins;
pub mod presence;
pub mod queue;
pub mod quotes;
pub mod recordings;
pub mod reminders;
pub mod roles;
pub mod settings;
pub mod shoutouts;
pub mod suspects;
pub mod timers;

mod db;
mod error;
mod migrate;
mod op_id;
mod rows;
mod statements;
mod unit_of_work;
mod vault;
mod words;

#[cfg(any(test, feature = "test-support"))]
pub mod testing;

#[cfg(test)]
mod tests;

pub use audit::{AuditEntry, AuditRow};
pub use changes::{Change, ChangeCursor, ChangeKind, ChangePage, ChangeRow, ChangeScope, Made};
pub use db::replicas::{REPLICAS_MAX, ReplicaReport, Unfit};
pub use db::{Db, DbKind, Lsn, PoolGauge, Statement, StorageOptions, Target, Tx, Wait, Waits};
pub use error::StorageError;
pub use event_log::{EventFilter, EventRow, EventStore};
pub use migrate::program_version;
pub use op_id::{OpId, Ownership, Scope};
pub use outbox::Outgoing;
pub use unit_of_work::{Done, Effect, OUTCOME_BYTES_MAX, check_fence, prune_ops, unit_of_work};
pub use vault::Vault;
