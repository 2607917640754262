//! Events from the queue: handled as if their platform had brought them, replies go out through their channel's platform.
//!
//! An event that comes again has the same message id or session id, hence the same op ids: its effects stand once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{Outcome, Refusal};
use futures_util::future::BoxFuture;
use storage::queue::Claimed;
use tokio::sync::oneshot;

use crate::cluster::{Directory, Gateway, PeerCall, gateway};
use crate::messages::{
    ChatEvent, Clock, Completion, Delivery, NotDelivered, Offer, OutboundReply, ReplySink,
};
use crate::queue::{HandleError, Handler, ROUTER_EVENTS};

/// A call to the channel's owner; less than a handler may take.
const HAND_ON_LIMIT: Duration = Duration::from_secs(9);
/// The platform label of lines that came in over the router.
const ROUTER: &str = "router";

#[derive(Debug)]
pub struct QueuedEvents {
    pub directory: Arc<Directory>,
    pub clock: Clock,
    /// For channels of other nodes. `None`: what is not here is nowhere.
    pub gateway: Option<Gateway>,
}

/// The channel's way out, and the queue's ear for the end of the event.
#[derive(Debug)]
struct Told {
    outlet: Arc<dyn ReplySink>,
    /// `None` once the end was told.
    end: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl ReplySink for Told {
    fn deliver(&self, reply: OutboundReply) {
        self.outlet.deliver(reply);
    }

    fn is_outlet(&self) -> bool {
        self.outlet.is_outlet()
    }

    fn done(&self, completion: &Completion) {
        let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // What was shed is counted where it was shed.
        if completion.outcome != Outcome::Shed {
            metrics::counter!("waddlebot_lines_handled_total", "platform" => ROUTER).increment(1);
        }
        // A reader that gave up waiting does not want to know.
        drop(end.send(completion.outcome.clone()));
    }
}

impl Handler for QueuedEvents {
    fn topic(&self) -> &'static str {
        ROUTER_EVENTS
    }

    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>> {
        Box::pin(async move {
            let event: ChatEvent = serde_json::from_str(&message.body)
                .map_err(|error| HandleError::GiveUp(format!("not an event: {error}")))?;
            if self.directory.get(event.channel_id).is_none()
                && let Some(roster) = self.directory.roster()
                && roster.get(event.channel_id).is_some()
            {
                return self.hand_on(&event, &message.body).await;
            }
            self.deliver(event).await
        })
    }
}

impl QueuedEvents {
    /// Puts the event into its channel's lane and waits for its end.
    ///
    /// # Errors
    /// Why it was not handled; whether another attempt helps.
    pub async fn deliver(&self, event: ChatEvent) -> Result<(), HandleError> {
        match self.route(event)?.await {
            Ok(Outcome::Shed) => Err(HandleError::Retry("the channel had too much to do".to_owned())),
            Ok(Outcome::Moved) => Err(HandleError::Retry("the channel ended or moved first".to_owned())),
            Ok(Outcome::Refused { refusal: Refusal::NotLoaded }) => {
                Err(HandleError::Retry("the channel's settings were not there yet".to_owned()))
            }
            // Without an end: the channel knows the message already and is at it, or was.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Asks the channel's owner to handle the event.
    async fn hand_on(&self, event: &ChatEvent, body: &str) -> Result<(), HandleError> {
        let moving = || HandleError::Retry("the channel is on its way to another node".to_owned());
        let others = self.gateway.as_ref().ok_or_else(moving)?;
        let peer = others.owner(event.channel_id).ok_or_else(moving)?;
        let call = PeerCall::json(gateway::EVENTS, body.as_bytes().to_vec(), HAND_ON_LIMIT);
        let answer = others.send(&peer, call).await;
        let answer = answer.map_err(|error| HandleError::Retry(error.to_string()))?;
        if answer.status.is_success() {
            return Ok(());
        }
        match serde_json::from_slice::<NotDelivered>(&answer.body) {
            Ok(NotDelivered { why, retry: false }) => Err(HandleError::GiveUp(why)),
            Ok(NotDelivered { why, .. }) => Err(HandleError::Retry(why)),
            Err(_) => Err(HandleError::Retry(format!("{} answered {}", peer.node, answer.status))),
        }
    }

    /// Puts the event into its channel's lane; the receiver gets its end.
    fn route(&self, event: ChatEvent) -> Result<oneshot::Receiver<Outcome>, HandleError> {
        let Some(slot) = self.directory.get(event.channel_id) else {
            return Err(if self.directory.roster().is_some() {
                HandleError::Retry("the channel is on its way to another node".to_owned())
            } else {
                HandleError::GiveUp("the bot is no longer in that channel".to_owned())
            });
        };
        let Some(outlet) = slot.outlet() else {
            return Err(HandleError::Retry("no platform serves the channel now".to_owned()));
        };
        let (tell, told) = oneshot::channel();
        let sink = Arc::new(Told { outlet, end: Mutex::new(Some(tell)) });
        // Its age counts from its receipt: what waited too long acts but causes no reply any more.
        let age = (self.clock.now() - event.received_at).to_std().unwrap_or_default();
        let now = Instant::now();
        let received = now.checked_sub(age).unwrap_or(now);
        let class = event.class();
        metrics::counter!("waddlebot_lines_in_total", "platform" => ROUTER).increment(1);
        let delivery = Delivery { event: Arc::new(event), received, sink, permit: None };
        match self.directory.route(&slot, delivery, class) {
            Offer::Queued { .. } | Offer::Shed { .. } => Ok(told),
            Offer::Full(_) => Err(HandleError::Retry("the channel had too much to do".to_owned())),
        }
    }
}
