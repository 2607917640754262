//! Tests of this crate; each runs on `SQLite` and on `PostgreSQL`.

mod aggregates;
mod commands;
mod faults;
mod migrations;
mod outbox;
mod people;
mod pools;
mod presence;
mod replicas;
mod statements;
mod unit_of_work;

use domain::{ChannelKey, Platform};

use crate::channels::{self, Channel};
use crate::testing::start_of_tests;
use crate::{Db, StorageError, Tx};

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
