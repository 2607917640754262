//! Tests of this crate; each runs on `SQLite` and on `PostgreSQL`.

mod aggregates;
mod bookmarks;
mod budgets;
mod cluster;
mod commands;
mod event_log;
mod faults;
mod migrations;
mod outbox;
mod people;
mod pins;
mod pools;
mod presence;
mod queue;
mod quotes;
mod reminders;
mod replicas;
mod shoutouts;
mod silence;
mod statements;
mod suspects;
mod units;

use chrono::{DateTime, Utc};
use domain::{ChannelKey, Platform};
use futures_util::FutureExt;
use ulid::Ulid;

use crate::channels::{self, Channel};
use crate::testing::start_of_tests;
use crate::{AuditEntry, Db, Effect, OpId, Scope, StorageError, Tx, unit_of_work};

/// A new channel, with a community of its own.
async fn new_channel(db: &Db, login: &str) -> Channel {
    let key = ChannelKey::new(Platform::Twitch, login).unwrap();
    let mut tx = db.begin().await.unwrap();
    let ensured = channels::ensure(&mut tx, &key, None, start_of_tests()).await.unwrap();
    tx.commit().await.unwrap();
    ensured.channel
}

/// Runs `work` in a transaction of its own and commits it.
async fn write<T>(
    db: &Db,
    work: impl AsyncFnOnce(&mut Tx) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut tx = db.begin().await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// An effect that is nothing but its audit row.
async fn append(db: &Db, entry: AuditEntry, at: DateTime<Utc>) -> Result<(), StorageError> {
    let id = Ulid::new().to_string();
    let op = OpId::new(&Scope::Global, "test", &id, "audit", 0)?;
    unit_of_work(db, Scope::Global, &op, at, |_| async move { Ok(Effect::new(()).audited(entry)) }.boxed())
        .await
        .map(drop)
}
