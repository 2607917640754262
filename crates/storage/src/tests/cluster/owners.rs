use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use membership::ask::From;
use membership::{Epoch, OwnedKey};

use super::{Node, key, keys};
use crate::cluster::{CLAIM_MAX, ask};
use crate::testing::streaming::eventually;
use crate::testing::{self, TestDatabase};
use crate::{Db, Ownership, Scope, StorageError, StorageOptions, Tx, check_fence};

#[tokio::test]
async fn a_key_is_claimed_if_free_released_mine_or_of_the_dead_and_a_new_owner_raises_its_epoch() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let ann = [key("ann")];
    let claim = async |node: &mut Node, epoch, from| {
        let (claimed, others, skipped) = node.claim(&ann).await;
        assert_eq!((claimed[0].epoch, claimed[0].from), (Epoch(epoch), from));
        assert_eq!((claimed.len(), others.len(), skipped.len()), (1, 0, 0));
    };
    claim(&mut one, 1, From::Nobody).await;
    claim(&mut one, 1, From::Mine).await;
    assert_eq!(two.claim(&ann).await, (vec![], ann.to_vec(), vec![]));
    assert_eq!(two.release(&[(key("ann"), Epoch(1))]).await, 0, "not its own");
    assert_eq!(one.release(&[(key("ann"), Epoch(2)), (key("ben"), Epoch(1))]).await, 0, "not that epoch");
    assert_eq!(one.release(&[(key("ann"), Epoch(1))]).await, 1);
    assert_eq!(one.release(&[(key("ann"), Epoch(1))]).await, 0, "no longer its own");
    claim(&mut two, 2, From::Released(one.me)).await;
    assert_eq!(two.release(&[(key("ann"), Epoch(2))]).await, 1);
    let me = two.me;
    claim(&mut two, 3, From::Released(me)).await;
    one.kill(&mut two).await;
    claim(&mut one, 4, From::Dead(two.me)).await;
}

#[tokio::test]
async fn a_claim_names_each_key_once_and_is_bounded() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let (claimed, others, skipped) = one.claim(&[key("ann"), key("ann")]).await;
    assert_eq!((claimed.len(), others.len(), skipped.len()), (1, 0, 0));
    let ask_for = membership::ask::Ask::Claim { me: one.me, keys: keys(CLAIM_MAX + 1) };
    let refused = ask(&mut one.lease, &ask_for).await;
    assert!(matches!(refused, Err(StorageError::Invalid { .. })), "{refused:?}");
}

/// Claims all keys until each has an owner.
async fn claim_all(node: &mut Node, keys: &[OwnedKey]) -> BTreeMap<OwnedKey, Epoch> {
    let mut mine = BTreeMap::new();
    eventually("every key has an owner", async || {
        let (claimed, others, skipped) = node.claim(keys).await;
        assert_eq!(claimed.len() + others.len() + skipped.len(), keys.len());
        mine.extend(claimed.into_iter().map(|claimed| (claimed.key, claimed.epoch)));
        skipped.is_empty()
    })
    .await;
    mine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_claimers_at_once_no_two_get_one_key_and_epochs_rise() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let mut three = Node::join(&test, 3).await;
    let all = keys(400);
    let turned: Vec<_> = all.iter().rev().cloned().collect();
    for epoch in 1..=5 {
        let (mine, theirs) = tokio::join!(claim_all(&mut one, &all), claim_all(&mut two, &turned));
        assert_eq!(mine.len() + theirs.len(), all.len(), "each has one owner");
        assert!(mine.keys().all(|key| !theirs.contains_key(key)), "no key twice");
        assert!(mine.values().chain(theirs.values()).all(|of| *of == Epoch(epoch)), "{epoch}");
        for (node, claimed) in [(&mut one, mine), (&mut two, theirs)] {
            let n_keys = claimed.len();
            assert_eq!(node.release(&claimed.into_iter().collect::<Vec<_>>()).await, n_keys);
        }
    }
    let mine = claim_all(&mut three, &all).await;
    assert!(mine.values().all(|epoch| *epoch == Epoch(6)) && mine.len() == all.len());
}

/// A transaction that writes as the owner of `ann` and goes no further.
async fn writing(db: &Db, node: &Node, channel_id: domain::ChannelId) -> Tx {
    let mut tx = db.begin().await.unwrap();
    let ownership = Some(Ownership { incarnation: node.me, epoch: Epoch(1) });
    check_fence(&mut tx, Scope::Channel { channel_id, ownership }).await.unwrap();
    tx
}

async fn with_channel(test: &TestDatabase) -> (domain::ChannelId, Vec<OwnedKey>) {
    let channel_id = super::super::new_channel(&test.db, "ann").await.id;
    (channel_id, vec![key(&channel_id.to_string())])
}

#[tokio::test]
async fn a_key_that_somebody_writes_under_is_skipped_and_named() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let (channel_id, mut keys) = with_channel(&test).await;
    two.claim(&keys).await;
    let tx = writing(&test.db, &two, channel_id).await;
    one.kill(&mut two).await;
    keys.push(key("free"));
    let (claimed, others, skipped) = one.claim(&keys).await;
    assert_eq!(claimed.iter().map(|claimed| &claimed.key).collect::<Vec<_>>(), [&keys[1]]);
    assert_eq!((others, skipped), (vec![], vec![keys[0].clone()]));
    tx.rollback().await.unwrap();
    assert_eq!(one.claim(&keys[..1]).await.0[0].from, From::Dead(two.me));
}

#[tokio::test]
async fn burying_ends_a_frozen_transaction_and_the_claim_goes_through() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let (channel_id, keys) = with_channel(&test).await;
    two.claim(&keys).await;
    let options = StorageOptions { incarnation: Some(two.me), ..StorageOptions::new(&test.url) };
    let theirs = Db::open(&options).await.unwrap();
    let frozen = writing(&theirs, &two, channel_id).await;
    let started = Instant::now();
    one.kill(&mut two).await;
    eventually("the key is free", async || one.claim(&keys).await.0.len() == 1).await;
    let took = started.elapsed();
    eprintln!("a frozen transaction: buried and claimed after {took:?}");
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert!(frozen.commit().await.is_err(), "its session was ended");
}

#[tokio::test]
async fn ten_thousand_keys_of_a_dead_node_are_one_ask() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let all = keys(CLAIM_MAX);
    let started = Instant::now();
    assert_eq!(claim_all(&mut two, &all).await.len(), CLAIM_MAX);
    let first = started.elapsed();
    one.kill(&mut two).await;
    let started = Instant::now();
    let mine = claim_all(&mut one, &all).await;
    eprintln!("10,000 keys: new ones {first:?}, a dead node's {:?}", started.elapsed());
    assert!(mine.len() == CLAIM_MAX && mine.values().all(|epoch| *epoch == Epoch(2)));
}
