use domain::ChannelId;
use futures_util::FutureExt;
use membership::{Epoch, Incarnation, OwnedKey};

use super::{Node, key};
use crate::channels::Channel;
use crate::testing::{self, row_counts, start_of_tests};
use crate::tests::new_channel;
use crate::{Db, Done, Effect, OpId, Ownership, Scope, StorageError, counters, unit_of_work};

const fn owned(channel_id: ChannelId, incarnation: Incarnation, epoch: i64) -> Scope {
    Scope::Channel { channel_id, ownership: Some(Ownership { incarnation, epoch: Epoch(epoch) }) }
}

async fn count(db: &Db, channel: &Channel, scope: Scope, id: &str) -> Result<Done<i64>, StorageError> {
    let community = channel.community_id;
    let op = OpId::new(&scope, "test", id, "counters", 0)?;
    unit_of_work(db, scope, &op, start_of_tests(), move |tx| {
        async move { counters::add(tx, community, "deaths", 1, start_of_tests()).await.map(Effect::new) }
            .boxed()
    })
    .await
}

fn key_of(channel: &Channel) -> OwnedKey {
    key(&channel.id.to_string())
}

/// One is refused and leaves nothing.
async fn is_fenced(db: &Db, channel: &Channel, scope: Scope) {
    let before = row_counts(db).await;
    let value = counters::get(db, channel.community_id, "deaths").await.unwrap();
    assert_eq!(count(db, channel, scope, "stale").await.unwrap_err(), StorageError::Fenced);
    assert_eq!(row_counts(db).await, before);
    assert_eq!(counters::get(db, channel.community_id, "deaths").await.unwrap(), value);
}

#[tokio::test]
async fn the_owner_writes_once_per_operation_and_others_are_fenced() {
    let test = testing::postgres().await;
    let ann = new_channel(&test.db, "ann").await;
    let mut one = Node::join(&test, 1).await;
    is_fenced(&test.db, &ann, owned(ann.id, one.me, 1)).await;
    one.claim(&[key_of(&ann)]).await;
    let mine = owned(ann.id, one.me, 1);
    let first = count(&test.db, &ann, mine, "m1").await.unwrap();
    assert_eq!((first.outcome, first.repeated), (1, false));
    let again = count(&test.db, &ann, mine, "m1").await.unwrap();
    assert_eq!((again.outcome, again.repeated), (1, true));
    is_fenced(&test.db, &ann, owned(ann.id, Incarnation(2), 1)).await;
    is_fenced(&test.db, &ann, owned(ann.id, one.me, 2)).await;
    is_fenced(&test.db, &ann, owned(new_channel(&test.db, "ben").await.id, one.me, 1)).await;
}

#[tokio::test]
async fn a_release_a_death_and_a_new_epoch_fence_the_old_owner() {
    let test = testing::postgres().await;
    let ann = new_channel(&test.db, "ann").await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    two.claim(&[key_of(&ann)]).await;
    let mine = |epoch| owned(ann.id, two.me, epoch);
    count(&test.db, &ann, mine(1), "m1").await.unwrap();
    two.release(&[(key_of(&ann), Epoch(1))]).await;
    is_fenced(&test.db, &ann, owned(ann.id, Incarnation(2), 1)).await;
    two.claim(&[key_of(&ann)]).await;
    is_fenced(&test.db, &ann, owned(ann.id, Incarnation(2), 1)).await;
    count(&test.db, &ann, owned(ann.id, Incarnation(2), 2), "m2").await.unwrap();
    one.kill(&mut two).await;
    is_fenced(&test.db, &ann, owned(ann.id, Incarnation(2), 2)).await;
    one.claim(&[key_of(&ann)]).await;
    is_fenced(&test.db, &ann, owned(ann.id, Incarnation(2), 2)).await;
    count(&test.db, &ann, owned(ann.id, one.me, 3), "m3").await.unwrap();
    assert_eq!(counters::get(&test.db, ann.community_id, "deaths").await.unwrap(), Some(3));
}

#[tokio::test]
async fn without_the_fence_a_stale_write_lands() {
    let test = testing::postgres().await;
    let ann = new_channel(&test.db, "ann").await;
    let stale = owned(ann.id, Incarnation(1), 1);
    is_fenced(&test.db, &ann, stale).await;
    test.db.turn_fence_off();
    assert_eq!(count(&test.db, &ann, stale, "stale").await.unwrap().outcome, 1);
}

#[tokio::test]
async fn one_node_without_a_cluster_has_no_fence_and_a_cluster_has_no_sqlite() {
    testing::on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let free = Scope::Channel { channel_id: ann.id, ownership: None };
        assert_eq!(count(&db, &ann, free, "m1").await.unwrap().outcome, 1);
        is_fenced(&db, &ann, owned(ann.id, Incarnation(1), 1)).await;
    })
    .await;
}
