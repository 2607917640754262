//! Collects the replies of one event for the HTTP caller who waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Outcome;
use tokio::sync::oneshot;

use super::answered::Place;
use crate::messages::{Completion, EventRecord, OutboundReply, Recorder, Reply, ReplySink, What};

/// Most replies of one event.
const REPLIES_MAX: usize = 16;

/// A sink whose replies wait for an HTTP handler.
#[derive(Debug)]
pub(super) struct Collector {
    open: Mutex<Open>,
    recorder: Arc<Recorder>,
}

#[derive(Debug)]
struct Open {
    replies: Vec<Reply>,
    /// `None` once the end was told or the caller has gone.
    end: Option<oneshot::Sender<(Completion, Vec<Reply>)>>,
    /// Where the end is kept for a caller who asks again; `None` for an event without an id.
    place: Option<Place>,
}

/// The handler's half of a [`Collector`].
#[derive(Debug)]
pub(super) struct Collected(oneshot::Receiver<(Completion, Vec<Reply>)>);

/// How waiting for the replies ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The event ended, with what was said until then.
    Done(Completion, Vec<Reply>),
    /// Nobody holds the event any more: it was no command, or one that was already handled.
    Dropped,
    /// The limit is over; what comes later goes nowhere.
    TimedOut,
}

/// A collector and the half that waits for it.
pub(super) fn collector(recorder: Arc<Recorder>, place: Option<Place>) -> (Arc<Collector>, Collected) {
    let (tell, told) = oneshot::channel();
    let open = Mutex::new(Open { replies: Vec::new(), end: Some(tell), place });
    (Arc::new(Collector { open, recorder }), Collected(told))
}

impl Collected {
    /// Waits for the event's end, at most `limit`.
    pub(super) async fn wait(self, limit: Duration) -> Ending {
        match tokio::time::timeout(limit, self.0).await {
            Ok(Ok((completion, replies))) => Ending::Done(completion, replies),
            Ok(Err(_dropped)) => Ending::Dropped,
            Err(_elapsed) => Ending::TimedOut,
        }
    }
}

impl Collector {
    /// Whether somebody still waits for replies.
    pub(super) fn is_open(&self) -> bool {
        self.lock().end.as_ref().is_some_and(|end| !end.is_closed())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplySink for Collector {
    fn deliver(&self, reply: OutboundReply) {
        let mut open = self.lock();
        if open.end.is_some() && open.replies.len() < REPLIES_MAX {
            self.recorder.note(EventRecord::of_reply(&reply, What::written()));
            open.replies.push(reply.reply);
            return;
        }
        let reason = if open.end.is_some() { "too_many_replies" } else { "caller_gone" };
        self.recorder.note(EventRecord::of_reply(&reply, What::dropped(reason)));
        metrics::counter!("waddlebot_replies_dropped_total", "platform" => "router", "reason" => reason)
            .increment(1);
    }

    fn done(&self, completion: &Completion) {
        let mut open = self.lock();
        let Some(end) = open.end.take() else { return };
        // What was shed is counted where it was shed.
        if completion.outcome != Outcome::Shed {
            metrics::counter!("waddlebot_lines_handled_total", "platform" => "router").increment(1);
        }
        let replies = std::mem::take(&mut open.replies);
        if let Some(place) = open.place.take() {
            place.keep(completion.clone(), replies.clone());
        }
        // A caller who hung up no longer wants to know.
        drop(end.send((completion.clone(), replies)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use domain::{ChannelId, CorrelationId};
    use ulid::Ulid;

    use super::*;

    fn reply(text: &str) -> OutboundReply {
        OutboundReply {
            channel_id: ChannelId(Ulid::nil()),
            reply: Reply::text(text),
            in_reply_to: None,
            received: Instant::now(),
            correlation_id: CorrelationId(Ulid::nil()),
            permit: None,
        }
    }

    fn answered() -> Completion {
        Completion { outcome: Outcome::Answered, command: Some("ping".into()), module: Some("ping") }
    }

    #[tokio::test(start_paused = true)]
    async fn replies_arrive_in_order_and_at_most_sixteen() {
        let (sink, collected) = collector(Arc::default(), None);
        for n in 0..20 {
            sink.deliver(reply(&n.to_string()));
        }
        sink.done(&answered());
        sink.deliver(reply("too late"));
        let Ending::Done(completion, replies) = collected.wait(Duration::from_secs(1)).await else {
            panic!("the end was told");
        };
        assert_eq!(completion.command.as_deref(), Some("ping"));
        let texts: Vec<_> = replies.iter().map(|reply| reply.text.as_str()).collect();
        assert_eq!(texts, (0..16).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(!sink.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_nobody_ends_ends_with_the_limit() {
        let (sink, collected) = collector(Arc::default(), None);
        let started = tokio::time::Instant::now();
        assert!(matches!(collected.wait(Duration::from_secs(6)).await, Ending::TimedOut));
        assert_eq!(started.elapsed(), Duration::from_secs(6));
        assert!(!sink.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_dropped_ends_at_once() {
        let (sink, collected) = collector(Arc::default(), None);
        drop(sink);
        assert!(matches!(collected.wait(Duration::from_secs(6)).await, Ending::Dropped));
    }
}
