//! Partitions of the queue: a key always falls into the same one, whichever node or version computes it.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// One of the queue's 64 partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(u8);

impl Partition {
    /// How many there are. Stored rows depend on it: it never changes.
    pub const COUNT: u8 = 64;

    /// The partition of a key, by SipHash-2-4 with a zero key.
    pub fn of(key: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(key.as_bytes());
        let number = hasher.finish() % u64::from(Self::COUNT);
        Self(u8::try_from(number).expect("less than 64"))
    }

    /// The partition of that number; `None` when there is none.
    pub fn new(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number < Self::COUNT).map(Self)
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    /// The one behind it; the first one behind the last.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) % Self::COUNT)
    }

    /// Steps from `start` to this one, going round.
    pub const fn distance_from(self, start: Self) -> u8 {
        (self.0 + Self::COUNT - start.0) % Self::COUNT
    }
}

/// Some of the 64 partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionSet(u64);

impl PartitionSet {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    /// The set whose bit `n` says whether it holds partition `n`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    #[must_use]
    pub const fn with(self, partition: Partition) -> Self {
        Self(self.0 | 1 << partition.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn except(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn contains(self, partition: Partition) -> bool {
        self.0 >> partition.0 & 1 == 1
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its partitions, by number.
    pub fn iter(self) -> impl Iterator<Item = Partition> {
        (0..Partition::COUNT).map(Partition).filter(move |partition| self.contains(*partition))
    }
}

impl FromIterator<Partition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        partitions.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_falls_into_the_same_partition_for_ever() {
        let numbers = ["", "twitch:ann", "01ARZ3NDEKTSV4RRFFQ69G5FAV"].map(|key| Partition::of(key).number());
        assert_eq!(numbers, [23, 18, 28]);
    }

    #[test]
    fn going_round_meets_each_once() {
        let start = Partition::new(62).unwrap();
        let (next, last) = (start.next().next(), Partition::new(61).unwrap());
        assert_eq!((next.number(), next.distance_from(start), last.distance_from(start)), (0, 2, 63));
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0_u32; 64];
        for n in 0..6_400 {
            counts[usize::from(Partition::of(&format!("channel-{n}")).number())] += 1;
        }
        assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let (first, last) = (Partition::new(0).unwrap(), Partition::new(63).unwrap());
        let set: PartitionSet = [first, last].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [first, last]);
        let only_first = set.except(PartitionSet::NONE.with(last));
        assert!(only_first.contains(first) && !only_first.contains(last));
        assert_eq!(only_first.or(PartitionSet::NONE.with(last)), set);
        assert_eq!((Partition::new(64), Partition::new(-1)), (None, None));
        assert!(PartitionSet::ALL.and(set) == set && PartitionSet::NONE.is_empty());
    }
}
