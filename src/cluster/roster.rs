//! Every channel of the cluster, whoever owns it: small enough that a node knows a hundred thousand of others.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::{ChannelId, ChannelKey, CommunityId, Platform};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use membership::ask::Role;
use membership::{Affinity, NodeId, Place};
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
    by_id: ById,
    by_login: Names,
    by_platform_id: Names,
    /// Channels that an operator tied to a node.
    pins: HashMap<ChannelId, NodeId, RandomState>,
}

/// Finds channels by a name, which stands in their [`Known`] only.
#[derive(Debug, Default)]
struct Names {
    ids: HashTable<ChannelId>,
    hasher: RandomState,
}

type ById = HashMap<ChannelId, Known, RandomState>;
/// Which of a channel's names is meant.
type NameOf = fn(&Known) -> Option<&str>;
const LOGIN: NameOf = |known| Some(&known.login);
const PLATFORM_ID: NameOf = |known| known.platform_id.as_deref();

impl Names {
    fn hash(&self, platform: Platform, name: &str) -> u64 {
        self.hasher.hash_one((platform, name))
    }

    fn find(&self, by_id: &ById, name_of: NameOf, (platform, name): (Platform, &str)) -> Option<ChannelId> {
        let has_it = |id: &ChannelId| {
            by_id.get(id).is_some_and(|known| known.platform == platform && name_of(known) == Some(name))
        };
        self.ids.find(self.hash(platform, name), has_it).copied()
    }

    /// The name is this channel's from now on. The channel and who had the name before are in `by_id`.
    fn insert(&mut self, by_id: &ById, name_of: NameOf, id: ChannelId) {
        let Some(known) = by_id.get(&id) else { return };
        let Some(name) = name_of(known) else { return };
        let hash = self.hash(known.platform, name);
        let same = |other: &ChannelId| {
            by_id
                .get(other)
                .is_some_and(|other| other.platform == known.platform && name_of(other) == Some(name))
        };
        let hasher = &self.hasher;
        let rehash = |id: &ChannelId| {
            by_id
                .get(id)
                .map_or(0, |known| hasher.hash_one((known.platform, name_of(known).unwrap_or_default())))
        };
        match self.ids.entry(hash, same, rehash) {
            Entry::Occupied(mut taken) => *taken.get_mut() = id,
            Entry::Vacant(free) => drop(free.insert(id)),
        }
    }

    /// Forgets the channel under that name; a name that another channel took meanwhile is that one's.
    fn remove(&mut self, (platform, name): (Platform, &str), id: ChannelId) {
        if let Ok(found) = self.ids.find_entry(self.hash(platform, name), |found| *found == id) {
            found.remove();
        }
    }
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
            maps.by_id.insert(id, Known { community_id, platform, login, platform_id, affinity });
            let Maps { by_id, by_login, by_platform_id, .. } = &mut *maps;
            by_login.insert(by_id, LOGIN, id);
            by_platform_id.insert(by_id, PLATFORM_ID, id);
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
        let affinity = known.affinity.as_deref().map_or_else(|| Affinity::of(&own()), Affinity::of);
        Some(Place { role: Role::Channels, affinity, pin: maps.pins.get(&id).cloned().map(Box::new) })
    }

    /// Finds a channel by login or platform id.
    pub fn find(&self, key: &ChannelKey) -> Option<ChannelId> {
        let maps = self.read();
        let name = (key.platform(), key.name());
        let by_login = maps.by_login.find(&maps.by_id, LOGIN, name);
        by_login.or_else(|| maps.by_platform_id.find(&maps.by_id, PLATFORM_ID, name))
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
        self.by_login.remove((known.platform, &known.login), id);
        if let Some(platform_id) = &known.platform_id {
            self.by_platform_id.remove((known.platform, platform_id), id);
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
        assert_eq!(roster.place(bob).unwrap().affinity, Affinity::of("twitch:ann"));
    }

    #[test]
    fn thousands_are_found_after_each_was_renamed_and_half_were_removed() {
        let roster = Roster::default();
        let named = |n: u128, what: &str| channel(n, &format!("{what}{n}"), Some(&format!("{n}")));
        (0..3_000).for_each(|n| roster.add([named(n, "old")]));
        roster.add((0..3_000).map(|n| named(n, "new")));
        (0..3_000).filter(|n| n % 2 == 1).for_each(|n| assert!(roster.remove(ChannelId(Ulid::from(n)))));
        for n in 0..3_000 {
            let there = (n % 2 == 0).then_some(n);
            assert_eq!(found(&roster, &format!("new{n}")), there);
            assert_eq!(found(&roster, &format!("{n}")), there);
            assert_eq!(found(&roster, &format!("old{n}")), None);
        }
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
