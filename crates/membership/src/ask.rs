//! What a node asks the database for. Each [`Ask`] is one transaction; all times are the database's.
//!
//! The rules stand here, beside the question: whoever answers – `PostgreSQL` or the model – keeps exactly these.

use crate::{DbTime, Epoch, Incarnation, NodeId, OwnedKey};

/// One question. `me` is the asking incarnation, which must not be dead: otherwise the answer is [`Answer::Dead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Makes my row, `joining`, with a lease of `lease_us` from now. Refused while another incarnation of the same
    /// node id is not dead ([`Answer::Occupied`]); the same incarnation may ask again. The newcomer's evidence against
    /// that predecessor is weighed first, as in [`Ask::Bury`] but without a lease of its own: after the loss of all
    /// nodes there is nobody else to bury anybody.
    Join(Newcomer),
    /// Sets my lease to now + `lease_us`. Also a lease that lapsed long ago, as long as nobody buried me.
    Renew { me: Incarnation, lease_us: i64 },
    /// Everybody who is not dead, the view and the owners' version.
    Look { me: Incarnation },
    /// Joining → active, active → draining. Never back.
    Enter { me: Incarnation, state: State },
    /// Sets the victim `dead`, if my own lease is valid and the evidence holds in that transaction. Idempotent. Whoever
    /// gets [`Answer::Buried`] also ends the dead incarnation's sessions at the database.
    Bury { me: Incarnation, victim: Incarnation, evidence: Evidence },
    /// Ends my own life after a drain: `dead`, everything that is still mine released.
    Leave { me: Incarnation },
    /// The view `version + 1`, if the current one is `version`.
    Publish { me: Incarnation, version: i64, members: Vec<Seat> },
    /// Claims each key that has no owner, is released, is mine, or whose owner is dead; raises its epoch unless it is
    /// mine already. A key whose row is locked just now is left out and named as skipped. At most 10,000 keys.
    Claim { me: Incarnation, keys: Vec<OwnedKey> },
    /// Releases keys that are mine at these epochs; others are left as they are. Waits for writes of them that passed the
    /// fence, as does [`Ask::Leave`].
    Release { me: Incarnation, keys: Vec<(OwnedKey, Epoch)> },
}

/// A node that joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub me: Incarnation,
    pub node: NodeId,
    /// `host:port` that the others dial.
    pub address: String,
    pub roles: Vec<Role>,
    /// Its part of the ring beside others; 100 is usual.
    pub weight: u32,
    /// Versions of the protocol between nodes that it speaks, both included.
    pub protocol: (u16, u16),
    pub lease_us: i64,
    /// Whom to bury in the same transaction, if the evidence holds: the incarnation that had this node id before.
    pub predecessor: Option<(Incarnation, Evidence)>,
}

/// What a node does; each role but the hub has a ring of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Channels,
    Platforms,
    /// Owns nothing.
    Hub,
}

/// Where an incarnation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Joining,
    Active,
    Draining,
    /// Final.
    Dead,
}

/// Why somebody is thought dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its lease has lapsed: `lease_until` < now, and by the caller's steadiness no clock jumped. A lease that lies
    /// further ahead than now + `lease_us` + 1 s is no lease either. `lease_until` must still be `seen`, the lapsed one
    /// that the caller saw: the caller knows that no clock jumped since that one, and nothing about a later one.
    Lapsed { lease_us: i64, seen: DbTime },
    /// Its address refused twice: allowed only if the session lock on its incarnation is free too.
    Refused,
}

/// A member of a view: who is on the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub roles: Vec<Role>,
    pub weight: u32,
}

/// A node as [`Ask::Look`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub seat: Seat,
    pub state: State,
    pub address: String,
    pub protocol: (u16, u16),
    pub lease_until: DbTime,
}

/// Who is on the rings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub version: i64,
    pub members: Vec<Seat>,
    pub published_at: DbTime,
}

/// A key that is mine now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub key: OwnedKey,
    pub epoch: Epoch,
    pub from: From,
}

/// How a claimed key came to be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Nobody ever had it.
    Nobody,
    /// Its owner released it: what it handed over holds.
    Released(Incarnation),
    /// Its owner died.
    Dead(Incarnation),
    /// It was mine already; the epoch is unchanged.
    Mine,
}

/// What came back. A lost connection is no answer: the asker does not know whether it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Joined {
        now: DbTime,
        lease_until: DbTime,
    },
    /// Another incarnation holds the node id.
    Occupied {
        now: DbTime,
        by: Incarnation,
        address: String,
        lease_until: DbTime,
    },
    Renewed {
        now: DbTime,
        lease_until: DbTime,
        view: i64,
    },
    Look {
        now: DbTime,
        members: Vec<Member>,
        view: View,
    },
    Entered,
    Buried,
    /// The victim's lease is valid, or its lock is held.
    Alive,
    /// My own lease has lapsed: I may bury nobody.
    NotValid,
    Left,
    Published(View),
    /// Somebody else published first.
    Outdated(View),
    Claimed {
        claimed: Vec<Claimed>,
        owned_by_others: Vec<OwnedKey>,
        skipped: Vec<OwnedKey>,
    },
    Released {
        n_released: usize,
    },
    /// I am dead, or was never there: the process ends.
    Dead,
}
