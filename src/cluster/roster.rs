//! Every channel of the cluster, whoever owns it: small enough that a node knows a hundred thousand of others.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::{ChannelId, ChannelKey, CommunityId, Platform};
use foldhash::fast::RandomState;
use membership::ask::Role;
use membership::{NodeId, Place};
use storage::ChangeScope;
use storage::channels::Channel;

use super::slot::SlotSpec;

/// What is kept of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    community_id: CommunityId,
    platform: Platform,
    login: Box<str>,
    platform_id: Option<Box<str>>,
    /// `None`: platform and login, as most have it.
    affinity: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct Maps {
    by_id: HashMap<ChannelId, Known, RandomState>,
    /// By login, and by the platform's id where it is known.
    by_name: HashMap<(Platform, Box<str>), ChannelId, RandomState>,
    /// Channels that an operator tied to a node.
    pins: HashMap<ChannelId, NodeId, RandomState>,
}

/// Of which channels the storage may say something new.
#[derive(Debug, Default)]
pub enum Stale {
    #[default]
    Nothing,
    Some(HashSet<ChannelId>),
    All,
}

/// When more than this many are stale all are read.
const STALE_MAX: usize = 1_000;

/// The channels by id and by name. Empty on a node that has no cluster: there the directory has them all.
#[derive(Debug, Default)]
pub struct Roster {
    maps: RwLock<Maps>,
    stale: Mutex<Stale>,
}

impl Roster {
    /// Channels of this scope were added, changed or removed.
    pub fn mark(&self, scope: ChangeScope) {
        match scope {
            ChangeScope::Channel(id) => self.mark_stale(id),
            ChangeScope::Community(_) | ChangeScope::Global => self.mark_all_stale(),
        }
    }

    fn mark_stale(&self, id: ChannelId) {
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *stale {
            Stale::Nothing => *stale = Stale::Some(HashSet::from([id])),
            Stale::Some(ids) if ids.len() >= STALE_MAX => *stale = Stale::All,
            Stale::Some(ids) => drop(ids.insert(id)),
            Stale::All => {}
        }
    }

    /// Any channel may have been added, changed or removed.
    pub fn mark_all_stale(&self) {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = Stale::All;
    }

    /// What is to be read anew.
    pub fn take_stale(&self) -> Stale {
        std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It could not be read.
    pub fn put_back(&self, stale: Stale) {
        match stale {
            Stale::Nothing => {}
            Stale::Some(ids) => ids.into_iter().for_each(|id| self.mark_stale(id)),
            Stale::All => self.mark_all_stale(),
        }
    }

    /// Adds channels, or changes what is known of them.
    pub fn add(&self, channels: impl IntoIterator<Item = Channel>) {
        let mut maps = self.write();
        for channel in channels {
            let Channel { id, community_id, platform, login, platform_id, affinity_key, .. } = channel;
            maps.forget(id);
            let affinity = (affinity_key != format!("{platform}:{login}")).then(|| affinity_key.into());
            let (login, platform_id) = (Box::from(login), platform_id.map(Box::from));
            for name in [Some(&login), platform_id.as_ref()].into_iter().flatten() {
                maps.by_name.insert((platform, Box::clone(name)), id);
            }
            maps.by_id.insert(id, Known { community_id, platform, login, platform_id, affinity });
        }
    }

    /// False when the channel was not there.
    pub fn remove(&self, id: ChannelId) -> bool {
        let mut maps = self.write();
        maps.pins.remove(&id);
        maps.forget(id)
    }

    /// Notes which node a channel is tied to; `None`: the ring decides.
    pub fn pin(&self, id: ChannelId, node: Option<NodeId>) {
        let mut maps = self.write();
        match node {
            Some(node) => drop(maps.pins.insert(id, node)),
            None => drop(maps.pins.remove(&id)),
        }
    }

    /// The channel as a slot is made of it.
    pub fn get(&self, id: ChannelId) -> Option<SlotSpec> {
        let maps = self.read();
        let Known { community_id, platform, login, platform_id, .. } = maps.by_id.get(&id)?;
        Some(SlotSpec {
            id,
            community_id: *community_id,
            platform: *platform,
            login: login.to_string(),
            platform_id: platform_id.as_deref().map(str::to_owned),
            ownership: None,
        })
    }

    /// What decides the channel's node.
    pub fn place(&self, id: ChannelId) -> Option<Place> {
        let maps = self.read();
        let known = maps.by_id.get(&id)?;
        let own = || format!("{}:{}", known.platform, known.login);
        let affinity = Some(known.affinity.as_deref().map_or_else(own, str::to_owned));
        Some(Place { role: Role::Channels, affinity, pin: maps.pins.get(&id).cloned() })
    }

    /// Finds a channel by login or platform id.
    pub fn find(&self, key: &ChannelKey) -> Option<ChannelId> {
        self.read().by_name.get(&(key.platform(), key.name().into())).copied()
    }

    /// Ids in no order.
    pub fn ids(&self) -> Vec<ChannelId> {
        self.read().by_id.keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn forget(&mut self, id: ChannelId) -> bool {
        let Some(known) = self.by_id.remove(&id) else { return false };
        for name in [Some(known.login), known.platform_id].into_iter().flatten() {
            let key = (known.platform, name);
            // A name that another channel took meanwhile is that one's.
            if self.by_name.get(&key) == Some(&id) {
                self.by_name.remove(&key);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ulid::Ulid;

    use super::*;

    fn channel(number: u128, login: &str, platform_id: Option<&str>) -> Channel {
        Channel {
            id: ChannelId(Ulid::from(number)),
            community_id: CommunityId(Ulid::nil()),
            platform: Platform::Twitch,
            login: login.to_owned(),
            platform_id: platform_id.map(str::to_owned),
            affinity_key: "twitch:ann".to_owned(),
            is_active: true,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn found(roster: &Roster, name: &str) -> Option<u128> {
        roster.find(&ChannelKey::new(Platform::Twitch, name).unwrap()).map(|id| u128::from(id.0))
    }

    #[test]
    fn a_channel_is_found_by_both_names_until_it_is_renamed_or_removed() {
        let roster = Roster::default();
        roster.add([channel(1, "ann", Some("77")), channel(2, "bob", None)]);
        assert_eq!(
            [found(&roster, "ann"), found(&roster, "77"), found(&roster, "bob")],
            [Some(1), Some(1), Some(2)]
        );
        roster.add([channel(1, "anna", Some("77"))]);
        assert_eq!(
            [found(&roster, "ann"), found(&roster, "anna"), found(&roster, "77")],
            [None, Some(1), Some(1)]
        );
        assert!(roster.remove(ChannelId(Ulid::from(1_u128))));
        assert_eq!(
            [found(&roster, "anna"), found(&roster, "77"), found(&roster, "bob")],
            [None, None, Some(2)]
        );
        assert_eq!(roster.len(), 1);
        let bob = ChannelId(Ulid::from(2_u128));
        assert_eq!(roster.place(bob).unwrap().affinity.as_deref(), Some("twitch:ann"));
    }

    #[test]
    fn a_name_that_was_taken_over_stays_with_its_new_channel() {
        let roster = Roster::default();
        roster.add([channel(1, "ann", None)]);
        roster.add([channel(2, "ann", None)]);
        roster.remove(ChannelId(Ulid::from(1_u128)));
        assert_eq!(found(&roster, "ann"), Some(2));
    }
}
