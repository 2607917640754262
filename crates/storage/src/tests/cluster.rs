//! The rules of `membership::ask`, one test each, on a real `PostgreSQL`.

mod fence;
mod lease;
mod lives;
mod owners;
mod views;

use membership::ask::{Answer, Ask, Evidence, Newcomer, Role, State};
use membership::{DbTime, Epoch, Incarnation, NodeId, OwnedKey};
use secrecy::SecretString;

use crate::StorageError;
use crate::cluster::{LeaseConnection, ask};
use crate::testing::TestDatabase;
use crate::testing::streaming::eventually;

/// A lease that outlives every test.
const LONG_US: i64 = 3_600_000_000;

/// A lease that has lapsed when it is given.
const LAPSED_US: i64 = -1;

/// A node that joined under the id `node-<incarnation>`.
struct Node {
    lease: LeaseConnection,
    me: Incarnation,
    url: SecretString,
}

impl Node {
    async fn connect(test: &TestDatabase, me: u128) -> Self {
        let (me, url) = (Incarnation(me), SecretString::from(test.url.clone()));
        let lease = connected(&url, me).await;
        Self { lease, me, url }
    }

    async fn join(test: &TestDatabase, me: u128) -> Self {
        let mut node = Self::connect(test, me).await;
        node.lease.lock().await.unwrap();
        let joined = node.ask(&Ask::Join(newcomer(me, &format!("node-{me}")))).await;
        assert!(matches!(joined, Answer::Joined { .. }), "{joined:?}");
        node
    }

    /// The answer. On a busy machine one statement may take longer than it may: then it is asked again, a claim also
    /// where its answer did not come in time.
    async fn ask(&mut self, question: &Ask) -> Answer {
        let mut answer = None;
        eventually("an answer", async || {
            answer = match ask(&mut self.lease, question).await {
                Err(StorageError::Timeout) => None,
                Err(StorageError::Unavailable { .. }) if matches!(question, Ask::Claim { .. }) => {
                    self.lease = connected(&self.url, self.me).await;
                    None
                }
                answer => Some(answer.expect("an answer")),
            };
            answer.is_some()
        })
        .await;
        answer.expect("it is there")
    }

    /// Sets the lease anew and tells until when.
    async fn renew(&mut self, lease_us: i64) -> DbTime {
        match self.ask(&Ask::Renew { me: self.me, lease_us }).await {
            Answer::Renewed { lease_until, .. } => lease_until,
            other => panic!("{other:?}"),
        }
    }

    async fn bury(&mut self, victim: Incarnation, evidence: Evidence) -> Answer {
        self.ask(&Ask::Bury { me: self.me, victim, evidence }).await
    }

    /// Lets the other one's lease lapse and buries it.
    async fn kill(&mut self, victim: &mut Self) {
        let seen = victim.renew(LAPSED_US).await;
        assert_eq!(self.bury(victim.me, lapsed(seen)).await, Answer::Buried);
    }

    async fn claim(&mut self, keys: &[OwnedKey]) -> Claims {
        match self.ask(&Ask::Claim { me: self.me, keys: keys.to_vec() }).await {
            Answer::Claimed { claimed, owned_by_others, skipped } => (claimed, owned_by_others, skipped),
            other => panic!("{other:?}"),
        }
    }

    async fn release(&mut self, keys: &[(OwnedKey, Epoch)]) -> usize {
        match self.ask(&Ask::Release { me: self.me, keys: keys.to_vec() }).await {
            Answer::Released { n_released } => n_released,
            other => panic!("{other:?}"),
        }
    }
}

async fn connected(url: &SecretString, me: Incarnation) -> LeaseConnection {
    let mut lease = None;
    eventually("the server lets us in", async || {
        lease = LeaseConnection::connect(url, me).await.ok();
        lease.is_some()
    })
    .await;
    lease.expect("it is connected")
}

/// Claimed, owned by others, skipped.
type Claims = (Vec<membership::ask::Claimed>, Vec<OwnedKey>, Vec<OwnedKey>);

fn newcomer(me: u128, node: &str) -> Newcomer {
    Newcomer {
        me: Incarnation(me),
        node: NodeId(node.to_owned()),
        address: format!("10.0.0.{me}:4000"),
        roles: vec![Role::Channels, Role::Hub],
        weight: 100,
        protocol: (1, 2),
        lease_us: LONG_US,
        predecessor: None,
    }
}

const fn lapsed(seen: DbTime) -> Evidence {
    Evidence::Lapsed { lease_us: LONG_US, seen }
}

fn key(name: &str) -> OwnedKey {
    OwnedKey(format!("channel:{name}"))
}

fn keys(n_keys: usize) -> Vec<OwnedKey> {
    (0..n_keys).map(|n| key(&format!("{n:05}"))).collect()
}

const ALL_STATES: [State; 2] = [State::Active, State::Draining];
