use chrono::TimeDelta;
use ulid::Ulid;

use super::{new_channel, write};
use crate::channels::Channel;
use crate::reminders::{
    self, Added, Due, NewReminder, PER_CHANNEL_MAX, PER_CREATOR_MAX, Reminder, Status, Step,
};
use crate::testing::{on_both, start_of_tests};
use crate::{Db, StorageError};

fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

/// Made by account 1 for itself, due after so many minutes.
fn new(channel: &Channel, after: i64) -> NewReminder {
    NewReminder {
        community_id: channel.community_id,
        channel_id: channel.id,
        created_by: "twitch:1".into(),
        creator_name: "Ann".into(),
        person_id: None,
        user_id: Some("1".into()),
        username: "Ann".into(),
        body: format!("after {after}"),
        rule: None,
        due_at: start_of_tests() + minutes(after),
    }
}

async fn add(db: &Db, new: &NewReminder) -> Added {
    write(db, async |tx| reminders::add(tx, new, start_of_tests()).await).await.unwrap()
}

async fn kept(db: &Db, new: &NewReminder) -> Reminder {
    let Added::Kept { id, number } = add(db, new).await else { panic!("it is kept") };
    let stored = reminders::get(db, new.community_id, id).await.unwrap().unwrap();
    assert_eq!(reminders::by_number(db, new.community_id, number).await.unwrap().as_ref(), Some(&stored));
    assert_eq!(reminders::community_of(db, id).await.unwrap(), Some(new.community_id));
    stored
}

async fn claim(db: &Db, due: Due, step: Step, after: i64) -> bool {
    let at = start_of_tests() + minutes(after);
    write(db, async |tx| reminders::claim(tx, (due.id, due.due_at), step, at).await).await.unwrap()
}

async fn due(db: &Db, after: i64) -> Vec<Due> {
    reminders::due(db, start_of_tests() + minutes(after), None, 10).await.unwrap()
}

#[tokio::test]
async fn a_reminder_is_due_at_its_time_and_claimed_once() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let late = kept(&db, &new(&ann, 20)).await;
        let early = kept(&db, &new(&ann, 10)).await;
        assert_eq!((late.number, early.number, early.status), (1, 2, Status::Pending));
        assert_eq!(due(&db, 9).await, []);
        let found = due(&db, 10).await;
        assert_eq!(found, [Due { id: early.id, channel_id: ann.id, due_at: early.due_at }]);
        let last = Step { is_missed: false, next: None };
        let claims = futures_util::future::join_all((0..8).map(|_| claim(&db, found[0], last, 11))).await;
        assert_eq!(claims.iter().filter(|is_ours| **is_ours).count(), 1, "{claims:?}");
        let said = reminders::get(&db, ann.community_id, early.id).await.unwrap().unwrap();
        assert_eq!((said.status, said.n_sent, said.n_missed), (Status::Sent, 1, 0));
        assert_eq!(said.last_sent_at, Some(start_of_tests() + minutes(11)));
        let found = due(&db, 90).await;
        assert_eq!(found.iter().map(|due| due.id).collect::<Vec<_>>(), [late.id]);
        assert!(claim(&db, found[0], Step { is_missed: true, next: None }, 90).await);
        let missed = reminders::get(&db, ann.community_id, late.id).await.unwrap().unwrap();
        assert_eq!((missed.status, missed.n_sent, missed.n_missed), (Status::Missed, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn one_that_comes_again_moves_on_and_counts() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let rule = Some("RRULE:FREQ=DAILY".to_owned());
        let daily = kept(&db, &NewReminder { rule: rule.clone(), ..new(&ann, 1) }).await;
        assert_eq!(daily.rule, rule);
        let day = start_of_tests() + TimeDelta::days(1);
        let first = due(&db, 1).await[0];
        assert!(claim(&db, first, Step { is_missed: false, next: Some(day) }, 1).await);
        assert!(!claim(&db, first, Step { is_missed: false, next: Some(day) }, 1).await);
        assert_eq!(due(&db, 60).await, []);
        let second = due(&db, 24 * 60).await[0];
        assert_eq!(second.due_at, day);
        assert!(claim(&db, second, Step { is_missed: true, next: Some(day + minutes(9)) }, 2_000).await);
        let now = reminders::get(&db, ann.community_id, daily.id).await.unwrap().unwrap();
        assert_eq!((now.status, now.n_sent, now.n_missed), (Status::Pending, 1, 1));
        assert_eq!((now.due_at, now.last_missed_at.is_some()), (day + minutes(9), true));
    })
    .await;
}

#[tokio::test]
async fn what_is_due_is_read_page_by_page_and_not_of_channels_that_are_gone() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let mut wanted = Vec::new();
        for n in 0..7 {
            // Some at the same moment.
            wanted.push(kept(&db, &new(&ann, n / 2)).await.id);
        }
        kept(&db, &new(&bob, 1)).await;
        write(&db, async |tx| crate::channels::deactivate(tx, bob.id, start_of_tests()).await).await.unwrap();
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = reminders::due(&db, start_of_tests() + minutes(100), after, 2).await.unwrap();
            after = page.last().copied();
            read.extend(page.iter().map(|due| due.id));
            if page.len() < 2 {
                break;
            }
        }
        read.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(read, wanted);
    })
    .await;
}

#[tokio::test]
async fn accounts_and_channels_have_limits_and_what_is_over_does_not_count() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        for _ in 0..PER_CREATOR_MAX {
            kept(&db, &new(&ann, 1)).await;
        }
        assert_eq!(add(&db, &new(&ann, 1)).await, Added::CreatorIsFull);
        let first = due(&db, 1).await[0];
        assert!(claim(&db, first, Step { is_missed: false, next: None }, 1).await);
        let next = kept(&db, &new(&ann, 1)).await;
        assert_eq!(next.number, i64::from(PER_CREATOR_MAX) + 1, "a refusal takes no number");
        let by_service = NewReminder { created_by: "service".into(), ..new(&ann, 1) };
        for _ in PER_CREATOR_MAX..PER_CHANNEL_MAX {
            assert!(matches!(add(&db, &by_service).await, Added::Kept { .. }));
        }
        assert_eq!(add(&db, &by_service).await, Added::ChannelIsFull);
    })
    .await;
}

#[tokio::test]
async fn sixteen_at_once_do_not_pass_the_limit_together() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        for _ in 0..PER_CREATOR_MAX - 4 {
            kept(&db, &new(&ann, 1)).await;
        }
        let wanted = new(&ann, 1);
        let all = futures_util::future::join_all((0..16).map(|_| add(&db, &wanted))).await;
        assert_eq!(all.iter().filter(|added| matches!(added, Added::Kept { .. })).count(), 4, "{all:?}");
    })
    .await;
}

#[tokio::test]
async fn lists_and_figures_show_a_community_its_own() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let (c, d) = (ann.community_id, bob.community_id);
        let far = kept(&db, &NewReminder { rule: Some("RRULE:FREQ=DAILY".into()), ..new(&ann, 9) }).await;
        let near = kept(&db, &new(&ann, 2)).await;
        let for_bob = NewReminder { user_id: Some("2".into()), username: "Bob".into(), ..new(&ann, 5) };
        let for_bob = kept(&db, &for_bob).await;
        kept(&db, &new(&bob, 1)).await;
        let ids = |list: Vec<Reminder>| list.into_iter().map(|one| one.id).collect::<Vec<Ulid>>();
        assert_eq!(ids(reminders::pending(&db, c, 10, 0).await.unwrap()), [near.id, for_bob.id, far.id]);
        assert_eq!(ids(reminders::pending(&db, c, 1, 1).await.unwrap()), [for_bob.id]);
        assert_eq!(reminders::pending_of(&db, c, "twitch:1").await.unwrap().len(), 3);
        assert_eq!(reminders::pending_of(&db, c, "twitch:2").await.unwrap(), []);
        let over = Due { id: near.id, channel_id: ann.id, due_at: near.due_at };
        assert!(claim(&db, over, Step { is_missed: false, next: None }, 2).await);
        let of_ann = async |with_over| reminders::for_user(&db, c, "1", with_over, (10, 0)).await.unwrap();
        assert_eq!(ids(of_ann(false).await), [far.id]);
        assert_eq!(ids(of_ann(true).await), [near.id, far.id]);
        let stats = reminders::stats(&db, c).await.unwrap();
        let figures = (stats.n_pending, stats.n_recurring, stats.n_sent, stats.n_missed);
        assert_eq!((figures, stats.next_due_at), ((2, 1, 1, 0), Some(for_bob.due_at)));
        assert_eq!(reminders::stats(&db, d).await.unwrap().n_pending, 1);
        assert_eq!(reminders::get(&db, d, far.id).await.unwrap(), None, "another community's");

        let gone = write(&db, async |tx| reminders::remove(tx, far.id).await);
        assert!(gone.await.unwrap());
        let again = write(&db, async |tx| Ok::<_, StorageError>(reminders::remove(tx, far.id).await?));
        assert!(!again.await.unwrap());
        let pruned = reminders::prune(&db, start_of_tests() + minutes(3), 10).await.unwrap();
        assert_eq!((pruned, of_ann(true).await.len()), (1, 0), "what is over goes, in the end");
    })
    .await;
}
