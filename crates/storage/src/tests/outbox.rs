//! Replies from the commit of their effect until they have left, and units that share a commit.

use std::panic::AssertUnwindSafe;

use domain::{CommunityId, CorrelationId};
use futures_util::FutureExt;
use futures_util::future::join_all;
use ulid::Ulid;

use super::{new_channel, start_of_tests};
use crate::outbox::{self, BODY_BYTES_MAX, Ended, Outgoing};
use crate::testing::on_both;
use crate::{Db, Done, Effect, OpId, Scope, StorageError, counters, unit_of_work};

const ME: &str = "me";

fn op(id: &str) -> OpId {
    OpId::new(&Scope::Global, "twitch", id, "counters", 1).unwrap()
}

pub(super) fn reply(channel_id: domain::ChannelId, body: &str, claimed_by: Option<&str>) -> Outgoing {
    Outgoing {
        id: Ulid::new(),
        channel_id,
        claimed_by: claimed_by.map(str::to_owned),
        in_reply_to: Some("m1".to_owned()),
        correlation_id: CorrelationId(Ulid::new()),
        body: body.to_owned(),
    }
}

pub(super) async fn say(db: &Db, id: &str, replies: Vec<Outgoing>) -> Result<Done<()>, StorageError> {
    unit_of_work(db, Scope::Global, &op(id), start_of_tests(), |_| {
        async move { Ok(Effect { replies, ..Effect::new(()) }) }.boxed()
    })
    .await
}

async fn bodies(db: &Db) -> Vec<String> {
    outbox::pending(db, 10).await.unwrap().into_iter().map(|row| row.body).collect()
}

#[tokio::test]
async fn replies_stand_in_the_outbox_once_however_often_the_operation_comes() {
    on_both(|db| async move {
        let channel_id = new_channel(&db, "ann").await.id;
        let body = r#"{"text":"it's \"done\" ü"}"#;
        assert!(!say(&db, "m1", vec![reply(channel_id, body, None)]).await.unwrap().repeated);
        assert!(say(&db, "m1", vec![reply(channel_id, body, None)]).await.unwrap().repeated);
        let pending = outbox::pending(&db, 10).await.unwrap();
        assert_eq!(pending.len(), 1);
        assert_eq!((pending[0].channel_id, pending[0].body.as_str()), (channel_id, body));
        assert_eq!(pending[0].in_reply_to.as_deref(), Some("m1"));
    })
    .await;
}

#[tokio::test]
async fn what_one_process_claims_nobody_else_sends_until_it_is_released() {
    on_both(|db| async move {
        let channel_id = new_channel(&db, "ann").await.id;
        let held = reply(channel_id, "held", Some(ME));
        let ids = vec![held.id];
        say(&db, "m1", vec![held]).await.unwrap();
        assert_eq!(outbox::claim(&db, &ids, "other").await.unwrap(), []);
        assert_eq!(bodies(&db).await, Vec::<String>::new());
        let free = Ended { released: ids.clone(), ..Ended::default() };
        outbox::end(&db, &free, "other").await.unwrap();
        assert_eq!(outbox::claim(&db, &ids, "other").await.unwrap(), [], "only its holder releases");
        outbox::end(&db, &free, ME).await.unwrap();
        assert_eq!(bodies(&db).await, ["held"]);
        assert_eq!(outbox::claim(&db, &ids, "other").await.unwrap(), ids);
        assert_eq!(outbox::claim(&db, &ids, ME).await.unwrap(), []);
        outbox::end(&db, &Ended { over: ids.clone(), ..Ended::default() }, "other").await.unwrap();
        let released = Ended { released: ids, ..Ended::default() };
        outbox::end(&db, &released, "other").await.unwrap();
        assert_eq!(bodies(&db).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_process_held_is_counted_and_never_sent() {
    on_both(|db| async move {
        let channel_id = new_channel(&db, "ann").await.id;
        let replies = [Some("dead"), Some("dead"), Some(ME), None];
        say(&db, "m1", replies.map(|by| reply(channel_id, "x", by)).into()).await.unwrap();
        assert_eq!(outbox::forget_unknown(&db, ME).await.unwrap(), 2);
        assert_eq!(outbox::forget_unknown(&db, ME).await.unwrap(), 0);
        assert_eq!(bodies(&db).await, ["x"]);
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_is_too_long_undoes_its_effect() {
    on_both(|db| async move {
        let channel_id = new_channel(&db, "ann").await.id;
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        let refused = say(&db, "m1", vec![reply(channel_id, &long, None)]).await.unwrap_err();
        assert!(matches!(refused, StorageError::Invalid { .. }));
        assert!(!say(&db, "m1", Vec::new()).await.unwrap().repeated);
    })
    .await;
}

async fn count_or_break(db: Db, community: CommunityId, n: usize) -> Result<Done<i64>, StorageError> {
    unit_of_work(&db, Scope::Global, &op(&format!("m{n}")), start_of_tests(), move |tx| {
        async move {
            let value = counters::add(tx, community, "deaths", 1, start_of_tests()).await?;
            assert!(n % 15 != 1, "on purpose");
            if n.is_multiple_of(10) { Err(StorageError::Busy) } else { Ok(Effect::new(value)) }
        }
        .boxed()
    })
    .await
}

#[tokio::test]
async fn units_that_share_a_commit_do_not_share_their_failures() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        // Two of each operation: one applies, the other repeats it.
        let units =
            (0..300).map(|n| AssertUnwindSafe(count_or_break(db.clone(), community, n % 150)).catch_unwind());
        let ended = join_all(units).await;
        let applied = ended.iter().filter(|ended| matches!(ended, Ok(Ok(done)) if !done.repeated)).count();
        let repeated = ended.iter().filter(|ended| matches!(ended, Ok(Ok(done)) if done.repeated)).count();
        let panicked = ended.iter().filter(|ended| ended.is_err()).count();
        assert_eq!((applied, repeated, panicked), (125, 125, 20));
        let value = counters::get(&db, community, "deaths").await.unwrap();
        assert_eq!(value, Some(125));
    })
    .await;
}
