use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::CommunityId;
use futures_util::FutureExt;

use super::{new_channel, write};
use crate::testing::streaming::eventually;
use crate::testing::{on_both, start_of_tests};
use crate::{
    AuditEntry, Change, ChangeCursor, ChangeKind, ChangeScope, Db, Done, Effect, OUTCOME_BYTES_MAX, OpId,
    Scope, StorageError, audit, changes, counters, prune_ops, unit_of_work,
};

fn op(scope: &Scope, id: &str) -> OpId {
    OpId::new(scope, "test", id, "counters", 0).unwrap()
}

async fn add_one(db: &Db, community: CommunityId, id: &str) -> Result<Done<i64>, StorageError> {
    let scope = Scope::Community(community);
    unit_of_work(db, scope, &op(&scope, id), start_of_tests(), move |tx| {
        async move {
            let value = counters::add(tx, community, "deaths", 1, start_of_tests()).await?;
            let change = Change::new(ChangeScope::Community(community), ChangeKind::Commands);
            Ok(Effect::new(value).audited(AuditEntry::new("ann", "counter.add", "deaths")).changed(change))
        }
        .boxed()
    })
    .await
}

#[tokio::test]
async fn a_repeat_applies_nothing_and_returns_the_stored_outcome() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let first = add_one(&db, community, "m1").await.unwrap();
        assert_eq!((first.outcome, first.repeated, first.changes.len()), (1, false, 1));
        add_one(&db, community, "m2").await.unwrap();
        let again = add_one(&db, community, "m1").await.unwrap();
        assert_eq!(again, Done { outcome: 1, repeated: true, changes: Vec::new() });
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), Some(2));
        assert_eq!(audit::list(&db, None, None, 10).await.unwrap().len(), 2);
        let page = changes::since(&db, ChangeCursor::default(), 10).await.unwrap();
        assert_eq!(page.rows.iter().map(|row| row.made.version).collect::<Vec<_>>(), [1, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_callers_of_one_operation_apply_it_once() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let callers = (0..16).map(|_| add_one(&db, community, "same"));
        let done = futures_util::future::try_join_all(callers).await.unwrap();
        assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1);
        assert!(done.iter().all(|done| done.outcome == 1));
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_is_exact_under_concurrent_operations() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let mut callers = Vec::new();
        for caller in 0..8 {
            let db = db.clone();
            callers.push(async move {
                for step in 0..10 {
                    add_one(&db, community, &format!("{caller}-{step}")).await.unwrap();
                }
            });
        }
        futures_util::future::join_all(callers).await;
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), Some(80));
        let page = changes::since(&db, ChangeCursor::default(), 100).await.unwrap();
        let mut versions: Vec<_> = page.rows.iter().map(|row| row.made.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=80).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_failed_effect_leaves_nothing_and_may_be_tried_again() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let scope = Scope::Community(community);
        let failed: Result<Done<i64>, _> =
            unit_of_work(&db, scope, &op(&scope, "m1"), start_of_tests(), move |tx| {
                async move {
                    counters::add(tx, community, "deaths", 1, start_of_tests()).await?;
                    Err(StorageError::Busy)
                }
                .boxed()
            })
            .await;
        assert_eq!(failed.unwrap_err(), StorageError::Busy);
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), None);
        assert!(!add_one(&db, community, "m1").await.unwrap().repeated);
    })
    .await;
}

#[tokio::test]
async fn an_outcome_over_two_kibibytes_is_refused_and_leaves_nothing() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let scope = Scope::Community(community);
        let done: Result<Done<String>, _> =
            unit_of_work(&db, scope, &op(&scope, "m1"), start_of_tests(), move |tx| {
                async move {
                    counters::add(tx, community, "deaths", 1, start_of_tests()).await?;
                    Ok(Effect::new("x".repeat(OUTCOME_BYTES_MAX)))
                }
                .boxed()
            })
            .await;
        assert!(matches!(done.unwrap_err(), StorageError::Invalid { .. }));
        assert_eq!(counters::get(&db, community, "deaths").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_operation_whose_caller_gave_up_still_ends() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let scope = Scope::Community(community);
        let n_begun = Arc::new(AtomicU32::new(0));
        let begun = Arc::clone(&n_begun);
        let op = op(&scope, "m1");
        let work = unit_of_work(&db, scope, &op, start_of_tests(), move |tx| {
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                counters::add(tx, community, "deaths", 1, start_of_tests()).await.map(Effect::new)
            }
            .boxed()
        });
        tokio::time::timeout(Duration::from_millis(50), work).await.unwrap_err();
        // A second attempt waits for the first and gets its outcome.
        let again = add_one(&db, community, "m1").await.unwrap();
        assert_eq!((again.outcome, again.repeated), (1, true));
        assert_eq!(n_begun.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_work_undoes_it_and_reaches_the_caller() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let scope = Scope::Community(community);
        let panicking = {
            let db = db.clone();
            async move {
                unit_of_work::<i64, _>(&db, scope, &op(&scope, "m1"), start_of_tests(), move |tx| {
                    async move {
                        counters::add(tx, community, "deaths", 1, start_of_tests()).await?;
                        panic!("on purpose")
                    }
                    .boxed()
                })
                .await
            }
        };
        assert!(std::panic::AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        let done = add_one(&db, community, "m1").await.unwrap();
        assert_eq!((done.outcome, done.repeated), (1, false));
    })
    .await;
}

#[tokio::test]
async fn old_operations_are_pruned_in_bounded_steps() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        for id in ["a", "b", "c"] {
            add_one(&db, community, id).await.unwrap();
        }
        let later = start_of_tests() + Duration::from_secs(1);
        assert_eq!(prune_ops(&db, start_of_tests(), 10).await.unwrap(), 0);
        assert_eq!(prune_ops(&db, later, 2).await.unwrap(), 2);
        assert_eq!(prune_ops(&db, later, 2).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_committed_late_is_not_missed() {
    on_both(|db| async move {
        let channel = new_channel(&db, "ann").await;
        let cursor = changes::head(&db).await.unwrap();
        let change = |kind| Change::new(ChangeScope::Channel(channel.id), kind);
        if db.kind() == crate::DbKind::Postgres {
            // Written first, committed second: its id is lower than that of the row in between.
            let mut late = db.begin().await.unwrap();
            changes::append_all(&mut late, &[change(ChangeKind::Aliases)], start_of_tests()).await.unwrap();
            write(&db, async |tx| {
                changes::append_all(tx, &[change(ChangeKind::Timers)], start_of_tests()).await
            })
            .await
            .unwrap();
            // What comes again depends on the oldest transaction of the whole server, which may be another test's.
            let page = changes::since(&db, cursor, 10).await.unwrap();
            let kinds: Vec<_> = page.rows.iter().map(|row| row.made.change.kind).collect();
            assert!(
                kinds.contains(&ChangeKind::Timers) && !kinds.contains(&ChangeKind::Aliases),
                "{kinds:?}"
            );
            late.commit().await.unwrap();
            let rest = changes::since(&db, page.next, 10).await.unwrap();
            assert!(rest.rows.iter().any(|row| row.made.change.kind == ChangeKind::Aliases), "{rest:?}");
            let mut next = rest.next;
            eventually("nothing comes again", async || {
                let end = changes::since(&db, next, 10).await.unwrap();
                next = end.next;
                end.rows.is_empty()
            })
            .await;
        } else {
            write(&db, async |tx| {
                changes::append_all(tx, &[change(ChangeKind::Timers)], start_of_tests()).await
            })
            .await
            .unwrap();
            let page = changes::since(&db, cursor, 1).await.unwrap();
            assert_eq!(page.rows[0].made.change.kind, ChangeKind::Timers);
            assert!(changes::since(&db, page.next, 10).await.unwrap().rows.is_empty());
        }
    })
    .await;
}
