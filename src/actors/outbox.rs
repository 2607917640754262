//! Keeps the outbox: writes down what became of replies, sends what nobody holds. One per node.
//!
//! Receives: its own ticks. Sends: replies to their channels' outlets. Owns: nothing. Dies: never by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::StorageError;
use storage::outbox::{self, Ended, Pending};

use super::Services;
use crate::messages::{Once, OutboundReply, Reply, ReplySink, Ticket};

/// How often ends are written down: one commit for all of them.
const END_EVERY: Duration = Duration::from_millis(200);
/// How often what nobody holds is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often replies of nodes that died are given up, in a cluster.
const FORGET_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for one answer of the storage: what did not come is done by the next tick.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Replies taken up by one look.
const TAKEN_MAX: u32 = 200;

#[derive(Debug)]
pub struct Outbox {
    pub services: Arc<Services>,
}

#[derive(Clone, Copy, Debug)]
pub enum OutboxMsg {
    WriteEnds,
    Look,
    Forget,
}

impl Actor for Outbox {
    type Msg = OutboxMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<OutboxMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.send_interval(END_EVERY, || OutboxMsg::WriteEnds);
        myself.send_interval(LOOK_EVERY, || OutboxMsg::Look);
        if self.services.directory.roster().is_some() {
            myself.send_interval(FORGET_EVERY, || OutboxMsg::Forget);
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<OutboxMsg>,
        message: OutboxMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OutboxMsg::WriteEnds => drop(write_ends(&self.services).await),
            OutboxMsg::Look => {
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "cannot read the outbox, trying again");
                }
            }
            OutboxMsg::Forget => {
                if let Err(error) = in_time(forget_unknown(&self.services)).await {
                    tracing::warn!(%error, "cannot give up what dead nodes held, trying again");
                }
            }
        }
        Ok(())
    }
}

/// Writes down what became of replies since the last call, and says whether all of it is. What the storage does not take
/// now is written later.
pub async fn write_ends(services: &Services) -> bool {
    let taken = services.ends.take();
    if taken.is_empty() {
        return true;
    }
    match in_time(outbox::end(&services.db, taken.ended(), &services.incarnation)).await {
        Ok(()) => {
            taken.settled();
            true
        }
        Err(error) => {
            tracing::warn!(%error, "cannot write down which replies left, trying again");
            false
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    tokio::time::timeout(STORAGE_TIMEOUT, answer).await.unwrap_or(Err(StorageError::Timeout))
}

/// Counts and forgets replies that a process held when it died: they may have left, so they are never
/// sent again. One that lives after all loses nothing: it sends from its memory.
///
/// # Errors
/// Those of the storage; a retry helps where it says so.
pub async fn forget_unknown(services: &Services) -> Result<(), StorageError> {
    let counter = metrics::counter!("waddlebot_reply_unknown_total");
    let mut total = 0;
    loop {
        let n_unknown = outbox::forget_unknown(&services.db, &services.incarnation).await?;
        counter.increment(n_unknown);
        total += n_unknown;
        if n_unknown < u64::from(outbox::ROWS_MAX) {
            break;
        }
    }
    if total > 0 {
        tracing::warn!(replies = total, "a process died with replies in hands; whether they left is unknown");
    }
    Ok(())
}

impl Outbox {
    /// Sends what nobody holds and whose channel has a way out, and forgets what is too old to be understood.
    async fn look(&self) -> Result<(), StorageError> {
        let services = &self.services;
        // A release that is repeated later would free what is claimed now, and it would be sent twice.
        if !write_ends(services).await {
            return Ok(());
        }
        let stale_before = services.clock.now() - services.limits.reply_max_age;
        let mut stale = Vec::new();
        let mut wanted = Vec::new();
        for row in in_time(outbox::pending(&services.db, TAKEN_MAX)).await? {
            if row.created_at < stale_before {
                stale.push(row.id);
            } else if let Some(outlet) = services.directory.get(row.channel_id).and_then(|slot| slot.outlet())
            {
                // Made before the claim: one that is committed and not answered is released by letting go of these.
                wanted.push((services.ends.ticket(row.id), row, outlet));
            }
        }
        if !stale.is_empty() {
            metrics::counter!("waddlebot_stale_replies_suppressed_total").increment(stale.len() as u64);
            let over = Ended { over: stale, ..Ended::default() };
            in_time(outbox::end(&services.db, &over, &services.incarnation)).await?;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = wanted.iter().map(|(_, row, _)| row.id).collect();
        let mine = in_time(outbox::claim(&services.db, &ids, &services.incarnation)).await?;
        for (ticket, row, outlet) in wanted {
            if mine.contains(&row.id) {
                self.send(ticket, row, &*outlet);
            }
        }
        Ok(())
    }

    fn send(&self, ticket: Arc<Ticket>, row: Pending, outlet: &dyn ReplySink) {
        let mut reply: Reply = match serde_json::from_str(&row.body) {
            Ok(reply) => reply,
            Err(error) => {
                ticket.taken();
                tracing::error!(%error, channel.id = %row.channel_id, "a stored reply cannot be read and is dropped");
                return;
            }
        };
        reply.once = Once::Held(ticket);
        let age = (self.services.clock.now() - row.created_at).to_std().unwrap_or_default();
        outlet.deliver(OutboundReply {
            channel_id: row.channel_id,
            reply,
            in_reply_to: row.in_reply_to,
            // Its age goes on counting: the sender gives up what nobody would understand any more.
            received: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
            correlation_id: row.correlation_id,
            permit: None,
        });
    }
}
