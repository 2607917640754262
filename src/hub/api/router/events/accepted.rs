//! An event on its way: accepted into its channel's lane, then waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use domain::CorrelationId;

use super::event::{Receipt, RouterEvent};
use super::{Handled, handled, new_session, overloaded, unanswered};
use crate::hub::answer::ApiError;
use crate::hub::answered::{Answered, AskedAs, Place};
use crate::hub::ask::not_here;
use crate::hub::collector::{Collected, Ending, collector};
use crate::hub::router::Hub;
use crate::hub::sessions::Session;
use crate::hub::trace::RequestIds;
use crate::messages::{Delivery, Offer};

/// Time until the event's end. Below the whole request's, above a module's limit with its retries.
const EVENT_TIMEOUT: Duration = Duration::from_secs(6);

/// An event that its channel has.
#[derive(Debug)]
pub(super) struct Waiting {
    session_id: CorrelationId,
    collected: Collected,
    /// `None`: it has no id under which it could come again.
    asked_as: Option<AskedAs>,
    answered: Arc<Answered>,
}

/// Checks an event and puts it into its channel's lane.
///
/// # Errors
/// 400 that names the field, 404 for a channel that the bot is not in.
pub(super) fn accept(
    hub: &Hub,
    ids: &RequestIds,
    event: RouterEvent,
    idempotency_key: Option<String>,
) -> Result<Waiting, ApiError> {
    let key = event.channel()?;
    let slot = hub.deps.directory.find(&key).ok_or_else(|| not_here(hub, &key))?;
    let (session_id, received) = (new_session(), Instant::now());
    let receipt = Receipt {
        received_at: hub.deps.clock.now(),
        session_id,
        traceparent: ids.traceparent.as_deref().map(str::to_owned),
        idempotency_key,
    };
    let event = event.into_chat(&slot, receipt)?;
    // Joins the caller's id with the one that every later line about this event carries.
    tracing::debug!(channel.id = %slot.id, event.correlation_id = %session_id, "an event came in");
    let asked_as = event.message_id.as_deref().map(|id| (slot.id, id.into()));
    let answered = Arc::clone(&hub.answered);
    let place =
        asked_as.clone().map(|asked_as| Place { answered: Arc::clone(&answered), asked_as, session_id });
    let (sink, collected) = collector(Arc::clone(hub.deps.directory.recorder()), place);
    hub.sessions.open(session_id, Session { channel_id: slot.id, sink: Arc::downgrade(&sink) }, received);
    let class = event.class();
    metrics::counter!("waddlebot_lines_in_total", "platform" => "router").increment(1);
    let delivery = Delivery { event: Arc::new(event), received, sink, permit: None };
    let offer = hub.deps.directory.route(&slot, delivery, class);
    match offer {
        // What was shed has told its collector so.
        Offer::Queued { .. } | Offer::Shed { .. } => {
            Ok(Waiting { session_id, collected, asked_as, answered })
        }
        Offer::Full(_) => Err(overloaded("the channel has too much to do; try again in a moment")),
    }
}

impl Waiting {
    /// Waits for the event's end.
    ///
    /// # Errors
    /// 404 for an unknown command, 503 when it was shed, 504 after 6 s.
    pub async fn finish(self) -> Result<Handled, ApiError> {
        match self.collected.wait(EVENT_TIMEOUT).await {
            Ending::Done(completion, replies) => handled(self.session_id, completion, replies),
            Ending::Dropped => match self.asked_as.and_then(|asked_as| self.answered.get(&asked_as)) {
                Some(first) => handled(first.session_id, first.completion.clone(), first.replies.clone()),
                None => Ok(unanswered(self.session_id)),
            },
            Ending::TimedOut => Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "event_timeout",
                "the channel did not end this event within 6 s; its effect may still come",
            )
            .details(serde_json::json!({ "session_id": self.session_id.to_string() }))),
        }
    }
}
