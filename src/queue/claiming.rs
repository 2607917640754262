//! One claim of a reader: what it asks for, what it gets, in one transaction.

use std::time::{Duration, Instant};

use domain::{Partition, PartitionSet};
use storage::queue::{Claim, Claimed, bury_lapsed, claim_first, claim_lapsed, claim_retries};
use storage::{Db, StorageError};

use super::in_flight::IN_PARTITION_MAX;

/// Messages buried by one claim.
const BURIED_MAX: u32 = 100;

/// What a reader wants to be claimed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// First attempts of these partitions.
    pub first: PartitionSet,
    /// Further attempts whose time has come.
    pub retries: bool,
    /// A message that a dead reader left.
    pub lapsed: bool,
}

impl Wish {
    pub const EVERYTHING: Self = Self { first: PartitionSet::ALL, retries: true, lapsed: true };

    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && !self.retries && !self.lapsed
    }
}

/// What a claim brought.
#[derive(Debug)]
pub(super) struct Claims {
    pub first: Vec<Claimed>,
    pub retries: Vec<Claimed>,
    pub lapsed: Option<Claimed>,
    /// Before the claim was asked for: leases run out later than counted from here.
    pub asked_at: Instant,
    /// True when there was no room for more first attempts.
    pub is_full: bool,
}

/// Claims in a reader's name.
#[derive(Clone, Debug)]
pub(super) struct Claimer {
    pub db: Db,
    /// Made anew by each reader of each process.
    pub name: String,
    pub lease: Duration,
}

impl Claimer {
    /// Claims at most `room` messages of the `owned` partitions, beginning with the partition `turn`.
    pub async fn claim(
        self,
        wish: Wish,
        owned: PartitionSet,
        room: usize,
        turn: Partition,
    ) -> Result<Claims, StorageError> {
        let asked_at = Instant::now();
        let mut claims =
            Claims { first: Vec::new(), retries: Vec::new(), lapsed: None, asked_at, is_full: false };
        let mut claim = Claim {
            reader: &self.name,
            partitions: owned,
            // The other half is for first attempts: a heap of failures must not hold them up.
            room: room.div_ceil(2),
            room_in_partition: IN_PARTITION_MAX,
            first: turn,
            lease: self.lease,
        };
        let mut tx = self.db.begin().await?;
        if wish.lapsed {
            let n_buried = bury_lapsed(&mut tx, owned, BURIED_MAX).await?;
            if n_buried > 0 {
                tracing::warn!(
                    messages = n_buried,
                    "messages became dead letters: their readers died or hung"
                );
            }
            claims.lapsed = claim_lapsed(&mut tx, &claim).await?;
        }
        if wish.retries {
            claims.retries = claim_retries(&mut tx, &claim).await?;
        }
        claim.room = room.saturating_sub(claims.retries.len() + usize::from(claims.lapsed.is_some()));
        claim.partitions = wish.first.and(owned);
        if !claim.partitions.is_empty() && claim.room > 0 {
            claims.first = claim_first(&mut tx, &claim).await?;
            claims.is_full = claims.first.len() >= claim.room;
        }
        tx.commit().await?;
        Ok(claims)
    }
}
