use chrono::TimeDelta;
use domain::ChannelId;
use ulid::Ulid;

use crate::event_log::{EVENT_ID_STEP, event_id};
use crate::testing::{self, start_of_tests};
use crate::{EventFilter, EventRow, EventStore};

const CHANNEL: ChannelId = ChannelId(Ulid(7));

fn row(id: i64, kind: &str, message: &str, user: &str) -> EventRow {
    EventRow {
        id,
        channel_id: CHANNEL.to_string(),
        kind: kind.to_owned(),
        correlation_id: format!("c-{message}"),
        message_id: message.to_owned(),
        user_login: user.to_owned(),
        body: "{\"text\":\"ä \\\"quoted\\\"\"}".to_owned(),
    }
}

async fn on_both_stores<R: Future<Output = ()>>(test: impl Fn(EventStore) -> R) {
    let lite = testing::sqlite().await;
    eprintln!("on sqlite:");
    test(testing::event_store(&lite).await).await;
    let pg = testing::postgres().await;
    eprintln!("on postgres:");
    test(testing::event_store(&pg).await).await;
}

#[tokio::test]
async fn what_was_appended_is_found_by_channel_message_user_and_event() {
    on_both_stores(|store| async move {
        let first = event_id(start_of_tests(), 3);
        let rows: Vec<_> = (0..6)
            .map(|n| {
                let kind = if n == 5 { "gap" } else { "command_line" };
                row(first + n * EVENT_ID_STEP, kind, &format!("m{}", n / 2), if n == 0 { "ann" } else { "" })
            })
            .collect();
        store.append(&rows).await.unwrap();
        // A batch that comes again changes nothing.
        store.append(&rows).await.unwrap();
        assert_eq!(store.count().await.unwrap(), 6);
        let newest = |filter, before| store.newest(CHANNEL, filter, before, 100);
        let all = newest(EventFilter::default(), i64::MAX).await.unwrap();
        assert_eq!(all.iter().rev().cloned().collect::<Vec<_>>(), rows);
        assert_eq!(newest(EventFilter::default(), rows[2].id).await.unwrap().len(), 2);
        let of_message = EventFilter { message_id: Some("m1"), user_login: None };
        assert_eq!(newest(of_message, i64::MAX).await.unwrap().len(), 2);
        let of_user = EventFilter { message_id: None, user_login: Some("ann") };
        assert_eq!(newest(of_user, i64::MAX).await.unwrap(), [rows[0].clone()]);
        let ids = ["c-m0".to_owned(), "c-m9".to_owned()];
        assert_eq!(store.correlated(CHANNEL, (first, i64::MAX), &ids).await.unwrap(), rows[..2]);
        assert_eq!(store.context(CHANNEL, 10).await.unwrap(), rows[5..]);
        assert_eq!(store.command_lines(CHANNEL, (first, rows[3].id), 10).await.unwrap(), rows[1..4]);
        assert!(
            store.newest(ChannelId(Ulid(8)), EventFilter::default(), i64::MAX, 9).await.unwrap().is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_older_than_its_time_goes_in_bounded_steps_and_the_rest_stays() {
    on_both_stores(|store| async move {
        let days_ago = |days| event_id(start_of_tests() - TimeDelta::days(days), 0);
        let old: Vec<_> = (0..30).map(|n| row(days_ago(9) + n * EVENT_ID_STEP, "ended", "", "")).collect();
        store.append(&old).await.unwrap();
        store.append(&[row(days_ago(2), "ended", "", ""), row(days_ago(0), "ended", "", "")]).await.unwrap();
        let before = start_of_tests() - TimeDelta::days(7);
        let mut n_steps = 0;
        while store.prune(before, 10).await.unwrap() > 0 {
            n_steps += 1;
        }
        assert_eq!(store.count().await.unwrap(), 2);
        assert!(n_steps <= 3, "{n_steps}");
    })
    .await;
}

#[tokio::test]
async fn nodes_that_open_a_day_at_once_both_write_into_it() {
    let pg = testing::postgres().await;
    let (one, other) = (testing::event_store(&pg).await, testing::event_store(&pg).await);
    for day in 0..20 {
        let at = start_of_tests() + TimeDelta::days(day);
        let (first, second) =
            ([row(event_id(at, 1), "ended", "", "")], [row(event_id(at, 2), "ended", "", "")]);
        let (first, second) = tokio::join!(one.append(&first), other.append(&second));
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(one.count().await.unwrap(), 40);
}

#[tokio::test]
async fn a_full_disk_of_the_log_is_an_error_of_the_log_alone() {
    let lite = testing::sqlite().await;
    let store = testing::event_store(&lite).await;
    store.db().limit_pages(10).await.unwrap();
    let first = event_id(start_of_tests(), 0);
    let rows: Vec<_> = (0..2_000).map(|n| row(first + n * EVENT_ID_STEP, "ended", "m", "ann")).collect();
    assert!(matches!(store.append(&rows).await, Err(crate::StorageError::Full { .. })));
    assert_eq!(store.count().await.unwrap(), 0, "all or none");
    // A file that may not grow takes new rows in the place of its oldest ones.
    let mut n_stored = 0;
    while store.append(&rows[n_stored..n_stored + 10]).await.is_ok() {
        n_stored += 10;
    }
    assert!(n_stored > 20, "{n_stored}");
    assert_eq!(store.shrink(20).await.unwrap(), 20);
    store.append(&rows[n_stored..n_stored + 5]).await.unwrap();
    store.db().limit_pages(0).await.unwrap();
    store.append(&rows).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 2_000);
}
