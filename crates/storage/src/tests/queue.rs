use std::time::Duration;

use domain::{Partition, PartitionSet};

use super::write;
use crate::queue::{
    self, ATTEMPTS_MAX, Claim, Claimed, Failure, NewMessage, Settled, claim_first, claim_lapsed,
    claim_retries, settle,
};
use crate::testing::on_both;
use crate::{Db, StorageError};

const LEASE: Duration = Duration::from_mins(1);

fn message(key: &str, id: &str) -> NewMessage {
    NewMessage::new("t", key, id, &serde_json::json!({ "n": id })).unwrap()
}

fn claim(reader: &str, lease: Duration) -> Claim<'_> {
    let (partitions, first) = (PartitionSet::ALL, Partition::default());
    Claim { reader, partitions, room: 100, room_in_partition: 32, first, lease }
}

async fn store(db: &Db, messages: &[NewMessage]) -> Vec<queue::Stored> {
    write(db, async |tx| queue::enqueue(tx, messages).await).await.unwrap()
}

async fn first(db: &Db, claim: &Claim<'_>) -> Vec<Claimed> {
    write(db, async |tx| claim_first(tx, claim).await).await.unwrap()
}

async fn retries(db: &Db, claim: &Claim<'_>) -> Vec<Claimed> {
    write(db, async |tx| claim_retries(tx, claim).await).await.unwrap()
}

async fn fail(db: &Db, reader: &str, id: i64, is_final: bool) -> Vec<i64> {
    let failed = vec![Failure { id, reason: "no\0pe".to_owned(), is_final }];
    settle(db, reader, &Settled { failed, ..Settled::default() }, Duration::ZERO).await.unwrap()
}

async fn finish(db: &Db, reader: &str, done: Vec<i64>) {
    settle(db, reader, &Settled { done, ..Settled::default() }, Duration::ZERO).await.unwrap();
}

/// Topic's states with their counts, in the order of the states' names.
async fn states(db: &Db) -> Vec<(String, i64)> {
    queue::depth(db).await.unwrap().into_iter().map(|depth| (depth.state, depth.n_messages)).collect()
}

#[tokio::test]
async fn a_message_id_is_stored_once_and_a_batch_keeps_its_order() {
    on_both(|db| async move {
        let batch: Vec<_> = ["a", "b", "a", "c"].iter().map(|id| message("k", id)).collect();
        assert_eq!(store(&db, &batch).await.len(), 3);
        assert!(store(&db, &batch).await.is_empty(), "a redelivery stores nothing");
        let claimed = first(&db, &claim("r", LEASE)).await;
        let ids: Vec<_> = claimed.iter().map(|message| message.message_id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(claimed.iter().all(|message| message.attempt == 1 && message.key == "k"));
        assert_eq!(claimed[0].body, r#"{"n":"a"}"#);
        assert!(first(&db, &claim("r", LEASE)).await.is_empty(), "each is handed out once");
        finish(&db, "r", claimed.iter().map(|message| message.id).collect()).await;
        assert!(store(&db, &batch).await.is_empty(), "a redelivery is known after the end too");
        assert_eq!(queue::body_of(&db, "t", "a").await.unwrap().as_deref(), Some(r#"{"n":"a"}"#));
    })
    .await;
}

#[tokio::test]
async fn names_and_bodies_have_limits() {
    let big = "x".repeat(queue::BODY_BYTES_MAX);
    let refused = [
        NewMessage::new("t", "", "id", &1),
        NewMessage::new("t", "k", "i".repeat(300), &1),
        NewMessage::new("t", "k", "a\0b", &1),
        NewMessage::new("t", "k", "id", &big),
    ];
    for message in refused {
        assert!(matches!(message, Err(StorageError::Invalid { .. })), "{message:?}");
    }
}

#[tokio::test]
async fn a_claim_takes_only_its_partitions_and_no_more_than_its_room() {
    on_both(|db| async move {
        let keys: Vec<String> = (0..200).map(|n| format!("key-{n}")).collect();
        let batch: Vec<_> = keys
            .iter()
            .map(|key| message(key, key))
            .chain((0..50).map(|n| message("one", &format!("one-{n}"))))
            .collect();
        store(&db, &batch).await;
        let only = Partition::of("one");
        let partitions = PartitionSet::NONE.with(only);
        let claimed = first(&db, &Claim { partitions, room_in_partition: 40, ..claim("r", LEASE) }).await;
        assert_eq!(claimed.len(), 40, "room in one partition");
        assert!(claimed.iter().all(|message| message.partition == only));
        let others = Claim { partitions: PartitionSet::ALL.except(partitions), room: 7, ..claim("r", LEASE) };
        let claimed = first(&db, &others).await;
        assert!(claimed.len() == 7 && claimed.iter().all(|message| message.partition != only));
        let starting_there = Claim { first: only, room: 5, ..claim("r", LEASE) };
        assert!(first(&db, &starting_there).await.iter().all(|message| message.partition == only));
        assert!(!first(&db, &claim("r", LEASE)).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_fails_three_times_is_a_dead_letter_with_reason_id_and_count() {
    on_both(|db| async move {
        let stored = store(&db, &[message("k", "poison"), message("k", "good")]).await;
        let poison = first(&db, &claim("r", LEASE)).await[0].clone();
        assert!(fail(&db, "r", poison.id, false).await.is_empty());
        for attempt in 2..=ATTEMPTS_MAX {
            let again = retries(&db, &claim("r", LEASE)).await;
            assert_eq!(
                again.iter().map(|message| (message.id, message.attempt)).collect::<Vec<_>>(),
                [(poison.id, attempt)]
            );
            let dead = fail(&db, "r", poison.id, false).await;
            assert_eq!(dead.len(), usize::from(attempt == ATTEMPTS_MAX));
        }
        assert!(retries(&db, &claim("r", LEASE)).await.is_empty());
        let dead = queue::dead(&db, 0, 10).await.unwrap();
        let letter = &dead[0];
        assert_eq!((letter.id, letter.attempts, letter.reason.as_str()), (stored[0].id, 3, "nope"));
        assert_eq!(
            (dead.len(), letter.message_id.as_str(), letter.excerpt.as_str()),
            (1, "poison", r#"{"n":"poison"}"#)
        );
        assert!(queue::dead(&db, letter.id, 10).await.unwrap().is_empty(), "the cursor passes it");
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_no_attempt_helps_is_a_dead_letter_at_once() {
    on_both(|db| async move {
        store(&db, &[message("k", "wrong")]).await;
        let wrong = first(&db, &claim("r", LEASE)).await[0].id;
        assert_eq!(fail(&db, "r", wrong, true).await, [wrong]);
        assert_eq!(queue::dead(&db, 0, 10).await.unwrap()[0].attempts, 1);
    })
    .await;
}

#[tokio::test]
async fn a_failed_message_waits_for_its_back_off_and_later_ones_pass_it() {
    on_both(|db| async move {
        store(&db, &[message("k", "slow")]).await;
        let slow = first(&db, &claim("r", LEASE)).await[0].id;
        let failed = vec![Failure { id: slow, reason: "later".to_owned(), is_final: false }];
        settle(&db, "r", &Settled { failed, ..Settled::default() }, LEASE).await.unwrap();
        store(&db, &[message("k", "next")]).await;
        assert!(retries(&db, &claim("r", LEASE)).await.is_empty(), "its time has not come");
        assert_eq!(first(&db, &claim("r", LEASE)).await[0].message_id, "next");
    })
    .await;
}

#[tokio::test]
async fn a_dead_readers_messages_are_taken_over_one_by_one_and_its_late_word_counts_no_more() {
    on_both(|db| async move {
        store(&db, &[message("k", "a"), message("k", "b")]).await;
        let claimed = first(&db, &claim("dead", Duration::ZERO)).await;
        let lapsed = claim("alive", LEASE);
        let taken = write(&db, async |tx| claim_lapsed(tx, &lapsed).await).await.unwrap().unwrap();
        assert_eq!((taken.id, taken.attempt), (claimed[0].id, 2));
        finish(&db, "dead", vec![claimed[0].id]).await;
        assert!(fail(&db, "dead", claimed[0].id, true).await.is_empty());
        assert_eq!(states(&db).await, [("running".to_owned(), 2)], "the late reader changed nothing");
        finish(&db, "alive", vec![taken.id]).await;
        assert_eq!(states(&db).await, [("running".to_owned(), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_reader_dies_three_times_is_buried() {
    on_both(|db| async move {
        store(&db, &[message("k", "killer")]).await;
        let dying = claim("r", Duration::ZERO);
        first(&db, &dying).await;
        for _ in 2..=ATTEMPTS_MAX {
            let bury = async |tx: &mut crate::Tx| queue::bury_lapsed(tx, PartitionSet::ALL, 10).await;
            assert_eq!(write(&db, bury).await.unwrap(), 0);
            assert!(write(&db, async |tx| claim_lapsed(tx, &dying).await).await.unwrap().is_some());
        }
        assert!(write(&db, async |tx| claim_lapsed(tx, &dying).await).await.unwrap().is_none());
        let n_buried =
            write(&db, async |tx| queue::bury_lapsed(tx, PartitionSet::ALL, 10).await).await.unwrap();
        assert_eq!(n_buried, 1);
        assert!(queue::dead(&db, 0, 10).await.unwrap()[0].reason.contains("reader"));
    })
    .await;
}

#[tokio::test]
async fn what_was_claimed_but_never_begun_goes_back_in_its_place() {
    on_both(|db| async move {
        store(&db, &[message("k", "a"), message("k", "b")]).await;
        let released: Vec<i64> =
            first(&db, &claim("r", LEASE)).await.iter().map(|message| message.id).collect();
        settle(&db, "r", &Settled { released, ..Settled::default() }, LEASE).await.unwrap();
        let again = first(&db, &claim("r", LEASE)).await;
        let seen: Vec<_> =
            again.iter().map(|message| (message.message_id.as_str(), message.attempt)).collect();
        assert_eq!(seen, [("a", 1), ("b", 1)]);
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_retried_or_dropped_and_dropped_ones_stay_known() {
    on_both(|db| async move {
        let both = [message("k", "again"), message("k", "away")];
        let stored = store(&db, &both).await;
        for claimed in first(&db, &claim("r", LEASE)).await {
            fail(&db, "r", claimed.id, true).await;
        }
        let back = write(&db, async |tx| queue::retry_dead(tx, stored[0].id).await).await.unwrap();
        assert_eq!(back.as_ref(), Some(&stored[0]));
        assert!(write(&db, async |tx| queue::drop_dead(tx, stored[1].id).await).await.unwrap());
        assert!(!write(&db, async |tx| queue::drop_dead(tx, stored[1].id).await).await.unwrap());
        assert_eq!(retries(&db, &claim("r", LEASE)).await[0].attempt, 1, "three more attempts");
        assert!(store(&db, &both).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_replay_hands_out_what_was_done_in_order_step_by_step() {
    on_both(|db| async move {
        let batch: Vec<_> = (0..5).map(|n| message("k", &n.to_string())).collect();
        let stored = store(&db, &batch).await;
        let done = first(&db, &claim("r", LEASE)).await.iter().map(|message| message.id).collect();
        finish(&db, "r", done).await;
        let replay =
            async |from: i64| write(&db, async |tx| queue::replay(tx, "t", from, 2).await).await.unwrap();
        let step = replay(stored[2].id).await;
        assert_eq!((step.messages.len(), step.next_id), (2, Some(stored[3].id + 1)));
        let step = replay(step.next_id.unwrap()).await;
        assert_eq!((step.messages.len(), step.next_id), (1, None));
        let again = first(&db, &claim("r", LEASE)).await;
        let ids: Vec<_> = again.iter().map(|message| message.message_id.as_str()).collect();
        assert_eq!(ids, ["2", "3", "4"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_done_is_pruned_in_bounded_steps_and_dead_letters_stay_longer() {
    const DAY: i64 = 86_400_000;
    on_both(|db| async move {
        let batch: Vec<_> = (0..4).map(|n| message("k", &n.to_string())).collect();
        store(&db, &batch).await;
        let claimed = first(&db, &claim("r", LEASE)).await;
        finish(&db, "r", claimed[..3].iter().map(|message| message.id).collect()).await;
        fail(&db, "r", claimed[3].id, true).await;
        assert_eq!(queue::prune(&db, DAY, DAY, 10).await.unwrap(), 0, "too young");
        assert_eq!(queue::prune(&db, 0, DAY, 2).await.unwrap(), 2, "in steps");
        assert_eq!(queue::prune(&db, 0, DAY, 10).await.unwrap(), 1);
        assert_eq!(states(&db).await, [("dead".to_owned(), 1)]);
        assert_eq!(queue::prune(&db, 0, 0, 10).await.unwrap(), 1);
    })
    .await;
}
