//! The replies of a unit of work: made in its transaction, stored with it, held until they have left.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::{Done, Effect, OpId, Outgoing, Scope, StorageError, Tx};
use ulid::Ulid;

use super::Context;
use crate::actors::Services;
use crate::messages::{ChatEvent, EffectResult, Ends, EventRecord, Once, Reply, What, record};

/// How the replies of one unit are made and kept.
pub(super) struct Answers<S> {
    say: S,
    has_outlet: bool,
    ends: Arc<Ends>,
    claimed_by: String,
    channel_id: ChannelId,
    in_reply_to: Option<String>,
    correlation_id: CorrelationId,
}

impl<S> Answers<S> {
    pub fn new(ctx: &Context, say: S) -> Self {
        Self {
            say,
            has_outlet: ctx.has_outlet,
            ends: Arc::clone(&ctx.services.ends),
            claimed_by: ctx.services.incarnation.clone(),
            channel_id: ctx.slot.id,
            in_reply_to: ctx.event.message_id.clone(),
            correlation_id: ctx.event.correlation_id,
        }
    }

    /// The replies of a first attempt, each with its row if they leave for good.
    fn first<T>(self, outcome: &T) -> Result<(Vec<Reply>, Vec<Outgoing>), StorageError>
    where
        S: FnOnce(&T) -> Vec<Reply>,
    {
        let mut replies = (self.say)(outcome);
        let mut rows = Vec::new();
        if self.has_outlet {
            for reply in &mut replies {
                let row = Outgoing {
                    id: Ulid::new(),
                    channel_id: self.channel_id,
                    claimed_by: Some(self.claimed_by.clone()),
                    in_reply_to: self.in_reply_to.clone(),
                    correlation_id: self.correlation_id,
                    body: serde_json::to_string(reply)
                        .map_err(|error| StorageError::Invalid { detail: format!("a reply: {error}") })?,
                };
                reply.once = Once::Held(self.ends.ticket(row.id));
                rows.push(row);
            }
        }
        Ok((replies, rows))
    }

    /// The replies of a repeat. Where they leave for good the first attempt's are on their way.
    fn again<T>(self, outcome: &T) -> Vec<Reply>
    where
        S: FnOnce(&T) -> Vec<Reply>,
    {
        let mut replies = (self.say)(outcome);
        for reply in &mut replies {
            reply.once = Once::Repeated;
        }
        replies
    }
}

/// What is done, why and by whom.
pub(super) struct Operation {
    pub scope: Scope,
    pub op: OpId,
    pub now: DateTime<Utc>,
    pub event: Arc<ChatEvent>,
    pub module: &'static str,
}

/// Runs the unit with its replies, announces what it changed and notes how it ended.
pub(super) async fn run<T, F, S>(
    services: &Services,
    operation: Operation,
    work: F,
    answers: Answers<S>,
) -> Result<Vec<Reply>, StorageError>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
    S: FnOnce(&T) -> Vec<Reply> + Send + 'static,
{
    // Either the work takes the answers along, or they come back for a repeat.
    let answers = Arc::new(Mutex::new(Some(answers)));
    let made = Arc::new(Mutex::new(Vec::new()));
    let (lent, given) = (Arc::clone(&answers), Arc::clone(&made));
    let Operation { scope, op, now, event, module } = operation;
    let done = storage::unit_of_work(&services.db, scope, &op, now, move |tx| {
        async move {
            let mut effect = work(tx).await?;
            if let Some(answers) = take(&lent) {
                let (replies, rows) = answers.first(&effect.outcome)?;
                *given.lock().unwrap_or_else(PoisonError::into_inner) = replies;
                effect.replies = rows;
            }
            Ok(effect)
        }
        .boxed()
    })
    .await;
    note_effect(services, &event, module, &op, &done);
    let replies = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
    match done {
        Ok(done) => {
            services.directory.announce(&done.changes);
            Ok(take(&answers).map_or(replies, |answers| answers.again(&done.outcome)))
        }
        Err(error) => {
            // Whether the rows are there is unknown after a commit that broke: if they are, the tickets release them.
            Err(error)
        }
    }
}

fn take<S>(answers: &Mutex<Option<Answers<S>>>) -> Option<Answers<S>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Tells the event log what became of a unit of work.
fn note_effect<T>(
    services: &Services,
    event: &ChatEvent,
    module: &'static str,
    op: &OpId,
    done: &Result<Done<T>, StorageError>,
) {
    let result = match done {
        Ok(done) if done.repeated => EffectResult::Repeated,
        Ok(_) => EffectResult::Applied,
        Err(_) => EffectResult::Failed,
    };
    let what = What::Effect { module: module.into(), op_id: record::text(op.as_str()), result };
    services.directory.recorder().note(EventRecord::of(event, what));
}
