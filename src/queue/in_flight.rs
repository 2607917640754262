//! The messages in a reader's hands: those of one key run one after the other, keys beside each other.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use domain::{Partition, PartitionSet};
use storage::queue::Claimed;

/// Messages in hand at most, so at most 32 MiB.
pub(super) const IN_FLIGHT_MAX: usize = 512;
/// Of one partition at most, so that a slow key leaves room for the others.
pub(super) const IN_PARTITION_MAX: usize = 64;

/// A claimed message.
#[derive(Debug)]
pub(super) struct Held {
    pub message: Claimed,
    /// Taken before the claim was asked for, so that the lease is never thought longer than it is.
    pub claimed_at: Instant,
}

#[derive(Debug)]
pub(super) struct InFlight {
    /// Key → what waits for the one of that key that runs; a key is here as long as one runs.
    chains: HashMap<String, VecDeque<Held>>,
    in_partition: [usize; Partition::COUNT as usize],
    n_held: usize,
    /// A message that waited longer than this after its claim is not begun: its lease might end under its handler.
    begin_within: Duration,
}

impl InFlight {
    pub fn new(begin_within: Duration) -> Self {
        Self { chains: HashMap::new(), in_partition: [0; _], n_held: 0, begin_within }
    }

    /// How many are in hand.
    pub fn len(&self) -> usize {
        self.n_held
    }

    /// Partitions that have their share already.
    pub fn full(&self) -> PartitionSet {
        let full = self.in_partition.iter().enumerate().filter(|(_, n)| **n >= IN_PARTITION_MAX);
        full.filter_map(|(number, _)| Partition::new(i64::try_from(number).ok()?)).collect()
    }

    /// Takes a claimed message; gives it back when it may run now.
    pub fn admit(&mut self, held: Held) -> Option<Held> {
        self.n_held += 1;
        self.in_partition[usize::from(held.message.partition.number())] += 1;
        if let Some(chain) = self.chains.get_mut(&held.message.key) {
            chain.push_back(held);
            return None;
        }
        self.chains.insert(held.message.key.clone(), VecDeque::new());
        Some(held)
    }

    /// Notes the end of the one of `key` that ran: the next one, or what is too old to be begun.
    pub fn ended(&mut self, key: &str, partition: Partition) -> Next {
        self.leave(partition);
        let Some(chain) = self.chains.get_mut(key) else { return Next::default() };
        if let Some(next) = chain.pop_front_if(|held| held.claimed_at.elapsed() < self.begin_within) {
            return Next { run: Some(next), released: Vec::new() };
        }
        // All of them, or a later one would overtake.
        let released = self.chains.remove(key).map(|chain| self.release(chain)).unwrap_or_default();
        Next { run: None, released }
    }

    /// Takes out everything that does not run yet.
    pub fn release_waiting(&mut self) -> Vec<i64> {
        let chains: Vec<_> = self.chains.values_mut().map(std::mem::take).collect();
        chains.into_iter().flat_map(|chain| self.release(chain)).collect()
    }

    fn release(&mut self, chain: VecDeque<Held>) -> Vec<i64> {
        let unbegun = chain.into_iter().map(|held| held.message);
        unbegun.inspect(|message| self.leave(message.partition)).map(|message| message.id).collect()
    }

    fn leave(&mut self, partition: Partition) {
        self.n_held -= 1;
        self.in_partition[usize::from(partition.number())] -= 1;
    }
}

/// What follows the end of a message.
#[derive(Debug, Default)]
pub(super) struct Next {
    /// The next one of the same key.
    pub run: Option<Held>,
    /// Ids of messages that go back unbegun.
    pub released: Vec<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: i64, key: &str, claimed_at: Instant) -> Held {
        let message = Claimed {
            id,
            topic: "t".to_owned(),
            partition: Partition::of(key),
            key: key.to_owned(),
            message_id: id.to_string(),
            body: "{}".to_owned(),
            attempt: 1,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        Held { message, claimed_at }
    }

    fn id(held: Option<Held>) -> Option<i64> {
        held.map(|held| held.message.id)
    }

    #[test]
    fn messages_of_one_key_run_one_after_the_other_and_keys_beside_each_other() {
        let (mut in_flight, now) = (InFlight::new(Duration::from_secs(5)), Instant::now());
        assert_eq!(id(in_flight.admit(held(1, "a", now))), Some(1));
        assert_eq!(id(in_flight.admit(held(2, "a", now))), None);
        assert_eq!(id(in_flight.admit(held(3, "b", now))), Some(3));
        assert_eq!(id(in_flight.ended("a", Partition::of("a")).run), Some(2));
        assert_eq!(id(in_flight.ended("a", Partition::of("a")).run), None);
        assert_eq!(id(in_flight.admit(held(4, "a", now))), Some(4));
        assert_eq!(in_flight.len(), 2);
    }

    #[test]
    fn what_waited_too_long_goes_back_with_all_that_follows_it() {
        let (mut in_flight, now) = (InFlight::new(Duration::from_secs(5)), Instant::now());
        let old = now.checked_sub(Duration::from_secs(6)).unwrap();
        for (id, claimed_at) in [(1, old), (2, old), (3, now)] {
            in_flight.admit(held(id, "a", claimed_at));
        }
        let next = in_flight.ended("a", Partition::of("a"));
        assert_eq!((id(next.run), next.released), (None, vec![2, 3]));
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn a_partition_is_full_with_its_share() {
        let (mut in_flight, now) = (InFlight::new(Duration::from_secs(5)), Instant::now());
        for id in 0..IN_PARTITION_MAX {
            assert!(in_flight.full().is_empty());
            in_flight.admit(held(i64::try_from(id).unwrap(), "a", now));
        }
        assert_eq!(in_flight.full(), PartitionSet::NONE.with(Partition::of("a")));
        assert_eq!(in_flight.release_waiting().len(), IN_PARTITION_MAX - 1);
        assert!(in_flight.full().is_empty());
    }
}
