//! The doorbell of the process: which partitions have something new.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::PartitionSet;
use tokio::sync::Notify;

/// Remembers what was rung until the reader takes it; ringing twice is ringing once.
#[derive(Debug, Default)]
pub struct Doorbell {
    rung: AtomicU64,
    notify: Notify,
}

impl Doorbell {
    /// Rings for those partitions.
    pub fn ring(&self, partitions: PartitionSet) {
        if !partitions.is_empty() {
            self.rung.fetch_or(partitions.bits(), Ordering::AcqRel);
            self.notify.notify_one();
        }
    }

    /// Waits until somebody rang, and takes what was rung.
    ///
    /// # Cancel safety
    /// Nothing is taken before it returns.
    pub async fn wait(&self) -> PartitionSet {
        loop {
            let rung = PartitionSet::from_bits(self.rung.swap(0, Ordering::AcqRel));
            if !rung.is_empty() {
                return rung;
            }
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Partition;

    use super::*;

    #[tokio::test]
    async fn what_was_rung_before_anybody_waited_is_not_lost() {
        let bell = Doorbell::default();
        let [a, b] = [3, 63].map(|number| PartitionSet::NONE.with(Partition::new(number).unwrap()));
        bell.ring(a);
        bell.ring(b);
        bell.ring(a);
        let rung = bell.wait().await;
        assert_eq!(rung.bits(), a.bits() | b.bits());
        let (again, ()) = tokio::join!(bell.wait(), async { bell.ring(b) });
        assert_eq!(again, b);
    }
}
