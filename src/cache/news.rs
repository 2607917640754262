//! Listens to what other nodes changed.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{EventInterface, PubsubInterface};
use tokio::sync::broadcast::error::RecvError;

use super::memory::Memory;
use super::remote::{CHANNEL, Remote};
use crate::redis::{Live, Purpose};

/// How often changes that could not be told are tried again.
const DEBT_EVERY: Duration = Duration::from_secs(1);

/// Subscribes on every new connection; what was in memory before may have been changed unheard and is dropped.
pub(super) async fn listen(remote: Arc<Remote>, memory: Arc<Memory>) {
    let mut generation = 0;
    loop {
        let live = remote.redis.newer(Purpose::Cache, generation).await;
        generation = live.generation;
        tokio::select! {
            () = follow(&remote, &memory, &live) => {}
            () = remote.redis.lost(Purpose::Cache, generation) => {}
        }
    }
}

/// Returns when this connection is of no use.
async fn follow(remote: &Remote, memory: &Memory, live: &Live) {
    let mut messages = live.client.message_rx();
    let subscribed = remote.redis.ask(Purpose::Cache, async |client| client.subscribe(CHANNEL).await).await;
    memory.forget_all("").await;
    if let Err(error) = subscribed {
        tracing::warn!(%error, "the cache does not hear other nodes until the next connection");
        return;
    }
    loop {
        if let Err(error) = remote.settle_debt().await {
            tracing::debug!(%error, "what could not be told of changes is told later");
        }
        let Ok(message) = tokio::time::timeout(DEBT_EVERY, messages.recv()).await else { continue };
        match message {
            Ok(message) if message.channel == CHANNEL => match message.value.as_str() {
                Some(prefix) => memory.forget_all(&prefix).await,
                None => memory.forget_all("").await,
            },
            Ok(_) => {}
            // More messages than we could take: anything may have changed.
            Err(RecvError::Lagged(_)) => memory.forget_all("").await,
            Err(RecvError::Closed) => return,
        }
    }
}
