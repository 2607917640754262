//! Sessions: the handlings of events whose late answers an outside module may still bring.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::{ChannelId, CorrelationId};

use super::collector::Collector;

/// How long a late answer is taken.
const SESSION_TIME: Duration = Duration::from_mins(1);

/// Most sessions kept; the oldest go first.
const SESSIONS_MAX: usize = 10_000;

/// Where a late answer goes.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub channel_id: ChannelId,
    /// Gone when nobody holds the event any more.
    pub sink: Weak<Collector>,
}

/// The sessions of the last minute.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<CorrelationId, Session>,
    /// Oldest first; holds answered ones too, until they are old.
    by_age: VecDeque<(Instant, CorrelationId)>,
}

impl Sessions {
    /// Keeps a session for 60 s.
    pub fn open(&self, id: CorrelationId, session: Session, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(now);
        while kept.by_age.len() >= SESSIONS_MAX {
            kept.drop_oldest();
        }
        kept.by_id.insert(id, session);
        kept.by_age.push_back((now, id));
    }

    /// Takes a session out, so that it is answered once. `None` when it is unknown, over or already answered.
    pub fn take(&self, id: CorrelationId, now: Instant) -> Option<Session> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(now);
        kept.by_id.remove(&id)
    }
}

impl Kept {
    fn expire(&mut self, now: Instant) {
        while self.by_age.front().is_some_and(|(opened, _)| now.duration_since(*opened) >= SESSION_TIME) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_front() {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    fn session() -> Session {
        Session { channel_id: ChannelId(Ulid::nil()), sink: Weak::new() }
    }

    #[test]
    fn a_session_is_answered_once_and_within_a_minute() {
        let sessions = Sessions::default();
        let (now, first, second) = (Instant::now(), CorrelationId(Ulid(1)), CorrelationId(Ulid(2)));
        sessions.open(first, session(), now);
        sessions.open(second, session(), now);
        assert!(sessions.take(first, now).is_some());
        assert!(sessions.take(first, now).is_none(), "once");
        assert!(sessions.take(second, now + Duration::from_mins(1)).is_none(), "too late");
    }

    #[test]
    fn only_the_newest_ten_thousand_are_kept() {
        let sessions = Sessions::default();
        let now = Instant::now();
        for n in 0..=SESSIONS_MAX as u128 {
            sessions.open(CorrelationId(Ulid(n)), session(), now);
        }
        assert!(sessions.take(CorrelationId(Ulid(0)), now).is_none());
        assert!(sessions.take(CorrelationId(Ulid(1)), now).is_some());
        assert_eq!(sessions.0.lock().unwrap().by_age.len(), SESSIONS_MAX);
    }
}
