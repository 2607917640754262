//! How long everything takes, in one place.

/// The times and paces of the protocol, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// What a renewal adds to the database's now.
    pub lease_us: i64,
    /// From one renewal's sending to the next one's; members are looked at as often.
    pub renew_us: i64,
    /// From a renewal's sending to the end of sending. Less than `lease_us` - `renew_us`.
    pub gate_us: i64,
    /// The database's clock may move from 0 to this much between two renewals of a steady node.
    pub clock_us_max: i64,
    /// Between two probes of an address that is in doubt.
    pub probe_us: i64,
    /// Until an ask that failed, a skipped key, or a probe after a burial that found the lock held is tried again.
    pub retry_us: i64,
    /// Until a key that another node owns is asked for again, unless something happens before.
    pub owned_retry_us: i64,
    /// Between two views that add the same node and take keys from others for it.
    pub rebalance_us: i64,
    /// From becoming active to the first view of all, and between views that add somebody, so that nodes which start
    /// together are in one.
    pub gather_us: i64,
    /// After this time the database cannot apply an ask any more whose answer was lost.
    pub settle_us: i64,
    /// Hand-overs begun per second.
    pub moves_per_sec: i64,
    /// Points on the ring of a node of weight 100.
    pub virtual_nodes: u32,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            lease_us: 2_000_000,
            renew_us: 500_000,
            gate_us: 1_400_000,
            clock_us_max: 1_000_000,
            probe_us: 100_000,
            retry_us: 50_000,
            owned_retry_us: 1_000_000,
            rebalance_us: 30_000_000,
            gather_us: 2_000_000,
            settle_us: 2_000_000,
            moves_per_sec: 200,
            virtual_nodes: crate::ring::VIRTUAL_NODES,
        }
    }
}

impl Timings {
    /// How long a node must have been steady before it may bury.
    pub(crate) const fn steady_us(&self) -> i64 {
        self.lease_us + self.lease_us / 2
    }

    /// What the database's clock may gain on the node's own within the time that a victim's gate could be open:
    /// less than lease - gate, so that a lapsed lease is a shut gate.
    pub(crate) const fn gain_us_max(&self) -> i64 {
        (self.lease_us - self.gate_us) * 5 / 6
    }
}
