//! Channels that another node is about to give to this one. Their platform is asked to bring their lines here already, so
//! that a channel which comes waits for no JOIN; until it is here, its lines are the other node's to answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::ChannelId;

use super::slot::ChannelSlot;

/// How long a guest stays that nobody asks for any more. Above the time in which a channel is drained and released.
const STAY_MAX: Duration = Duration::from_secs(15);

/// What is heard here and owned elsewhere.
#[derive(Debug, Default)]
pub struct Guests {
    all: Mutex<HashMap<ChannelId, Guest>>,
}

#[derive(Debug)]
struct Guest {
    slot: Arc<ChannelSlot>,
    until: Instant,
}

impl Guests {
    fn all(&self) -> MutexGuard<'_, HashMap<ChannelId, Guest>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes for the slot from now on is nobody's here.
    pub(super) fn add(&self, slot: Arc<ChannelSlot>) {
        slot.set_leaving();
        let until = Instant::now() + STAY_MAX;
        self.all().insert(slot.id, Guest { slot, until });
    }

    /// Lets a guest stay on and tells whether it is heard. `None`: it is none.
    pub(super) fn asked(&self, id: ChannelId) -> Option<bool> {
        let mut all = self.all();
        let guest = all.get_mut(&id)?;
        guest.until = Instant::now() + STAY_MAX;
        Some(guest.slot.is_heard())
    }

    /// The channel is owned here now.
    pub(super) fn remove(&self, id: ChannelId) {
        self.all().remove(&id);
    }

    pub(super) fn slots(&self) -> Vec<Arc<ChannelSlot>> {
        self.all().values().map(|guest| Arc::clone(&guest.slot)).collect()
    }

    /// Lets go of those that did not come; tells whether there were any.
    pub(super) fn leave_late(&self, now: Instant) -> bool {
        let mut all = self.all();
        let n_before = all.len();
        all.retain(|_, guest| guest.until > now);
        all.len() < n_before
    }
}

#[cfg(test)]
mod tests {
    use domain::{CommunityId, Platform};
    use ulid::Ulid;

    use super::*;
    use crate::cluster::SlotSpec;
    use crate::messages::{ByteBudget, Lane};

    #[test]
    fn a_guest_stays_while_it_is_asked_for_and_is_nobodys_here() {
        let id = ChannelId(Ulid::nil());
        let spec = SlotSpec {
            id,
            community_id: CommunityId(Ulid::nil()),
            platform: Platform::Twitch,
            login: "ann".to_owned(),
            platform_id: None,
            ownership: None,
        };
        let slot = Arc::new(ChannelSlot::new(spec, Lane::new(8, Arc::new(ByteBudget::new(1 << 20)))));
        let guests = Guests::default();
        assert_eq!(guests.asked(id), None);
        guests.add(Arc::clone(&slot));
        assert_eq!(guests.asked(id), Some(false));
        slot.set_heard(true);
        assert_eq!(guests.asked(id), Some(true));
        assert!(slot.is_leaving(), "what comes for it goes nowhere");
        assert!(!guests.leave_late(Instant::now()));
        assert!(guests.leave_late(Instant::now() + STAY_MAX + Duration::from_secs(1)));
        assert_eq!(guests.asked(id), None);
    }
}
