//! Follows what other processes changed in the storage. One per node.
//!
//! Receives: its own tick. Sends: `Reload` to the channels concerned. Owns: how far it has read. Dies: never by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::{ChangeCursor, StorageError, changes};

use super::Services;

const TICK: Duration = Duration::from_millis(500);
/// Changes read at once; a tick reads page by page until it has them all.
const PAGE: u32 = changes::PAGE_MAX;
/// Longest wait for one page: a storage that hangs must not keep stored roles from expiring.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Without an answer for so long nobody knows who still may do what: channels read anew, and where that fails too
/// stored roles count as expired.
const EXPIRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Changes {
    pub services: Arc<Services>,
}

#[derive(Debug)]
pub struct State {
    /// `None` until the storage answered once.
    cursor: Option<ChangeCursor>,
    last_answer: Instant,
    is_expired: bool,
}

#[derive(Debug)]
pub struct Tick;

impl Actor for Changes {
    type Msg = Tick;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Tick>, (): ()) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || Tick);
        Ok(State { cursor: None, last_answer: Instant::now(), is_expired: false })
    }

    async fn handle(
        &self,
        _: ActorRef<Tick>,
        Tick: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match self.follow(state).await {
            Ok(()) => {
                state.last_answer = Instant::now();
                if std::mem::take(&mut state.is_expired) {
                    self.services.directory.reload_all();
                }
            }
            Err(error) if state.last_answer.elapsed() > EXPIRY && !state.is_expired => {
                tracing::warn!(%error, "changes cannot be read for 5 s: stored roles count as expired");
                state.is_expired = true;
                self.services.directory.reload_all();
            }
            Err(error) => tracing::debug!(%error, "changes cannot be read, trying again"),
        }
        Ok(())
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    tokio::time::timeout(STORAGE_TIMEOUT, answer).await.unwrap_or(Err(StorageError::Timeout))
}

impl Changes {
    async fn follow(&self, state: &mut State) -> Result<(), StorageError> {
        let db = &self.services.db;
        let Some(cursor) = state.cursor else {
            // This actor starts again after a crash: what was changed meanwhile nobody told.
            state.cursor = Some(in_time(changes::head(db)).await?);
            self.services.directory.reload_all();
            return Ok(());
        };
        let mut page = in_time(changes::since(db, cursor, PAGE)).await?;
        // What runs now may still commit behind what is read now.
        let next = page.next;
        loop {
            let made: Vec<_> = page.rows.iter().map(|row| row.made).collect();
            self.services.directory.announce(&made);
            let Some(more) = page.more else { break };
            page = in_time(changes::since(db, more, PAGE)).await?;
        }
        state.cursor = Some(next);
        Ok(())
    }
}
