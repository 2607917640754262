use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::platforms::twitch::budget::JOIN_WINDOW;

fn wanted(n: usize) -> Vec<(ChannelId, String)> {
    (0..n).map(|n| (ChannelId(Ulid::from_parts(1, n as u128)), format!("channel_{n}"))).collect()
}

fn joins(n_channels: usize, per_10s: usize) -> Joins {
    let mut joins = Joins::new(Permits::alone(per_10s, JOIN_WINDOW));
    assert!(joins.reconcile(wanted(n_channels)).is_empty());
    joins
}

const fn seat(connection: ConnectionId, room: usize) -> Seat {
    Seat { connection, room }
}

fn confirm_all(joins: &mut Joins, plan: &[(ConnectionId, Vec<ChannelId>)]) {
    for (connection, ids) in plan {
        for id in ids {
            joins.confirmed(*id, *connection);
        }
    }
}

#[test]
fn channels_fill_the_connections_up_to_their_room() {
    let now = Instant::now();
    let mut joins = joins(5, 0);
    let plan = joins.plan(&[seat(1, 3), seat(2, 3)], now);
    assert_eq!(plan.iter().map(|(id, ids)| (*id, ids.len())).collect::<Vec<_>>(), [(1, 3), (2, 2)]);
    confirm_all(&mut joins, &plan);
    assert_eq!((joins.n_joined(), joins.n_on(1), joins.n_on(2)), (5, 3, 2));
    assert!(joins.plan(&[seat(3, 9)], now + CONFIRM_WAIT).is_empty(), "each is on one connection");
}

#[test]
fn an_unconfirmed_join_is_asked_again_later_and_later() {
    let mut now = Instant::now();
    let mut joins = joins(1, 0);
    assert_eq!(joins.plan(&[seat(1, 9)], now).len(), 1);
    for wait_secs in [10, 20, 40] {
        now += Duration::from_secs(wait_secs - 1);
        assert!(joins.plan(&[seat(1, 9)], now).is_empty());
        now += Duration::from_secs(1);
        assert_eq!(joins.plan(&[seat(1, 9)], now).len(), 1);
        assert_eq!(joins.n_on(1), 1);
    }
}

#[test]
fn the_channels_of_a_lost_connection_are_joined_elsewhere() {
    let now = Instant::now();
    let mut joins = joins(2, 0);
    let plan = joins.plan(&[seat(1, 9)], now);
    confirm_all(&mut joins, &plan);
    assert_eq!(joins.lost(1).len(), 2);
    assert_eq!(joins.n_joined(), 0);
    let plan = joins.plan(&[seat(2, 9)], now);
    assert_eq!(plan, [(2, plan[0].1.clone())]);
    assert_eq!(plan[0].1.len(), 2);
    joins.confirmed(plan[0].1[0], 1);
    assert_eq!(joins.n_joined(), 0, "the lost connection confirms nothing any more");
}

#[test]
fn a_join_that_is_asked_elsewhere_is_taken_back_first() {
    let now = Instant::now();
    let mut joins = joins(1, 0);
    joins.plan(&[seat(1, 9)], now);
    assert_eq!(joins.plan(&[seat(2, 9)], now + CONFIRM_WAIT).len(), 1);
    assert_eq!(joins.take_leaving(), HashMap::from([(1, vec!["channel_0".to_owned()])]));
}

#[test]
fn the_channels_of_a_retiring_connection_stay_until_there_is_a_join_for_them() {
    let now = Instant::now();
    let mut joins = joins(3, 4);
    let plan = joins.plan(&[seat(1, 9)], now);
    confirm_all(&mut joins, &plan);
    joins.retire(1);
    assert_eq!((joins.n_joined(), joins.n_on(1)), (3, 3), "nothing moves without a seat");
    let plan = joins.plan(&[seat(2, 9)], now);
    assert_eq!(plan[0].1.len(), 1, "as the budget permits");
    assert_eq!(joins.take_leaving().len(), 1);
    assert_eq!((joins.n_joined(), joins.n_on(1), joins.n_on(2)), (2, 2, 1));
    joins.lost(1);
    let plan = joins.plan(&[seat(2, 8)], now + Duration::from_secs(11));
    assert_eq!(plan[0].1.len(), 3, "the two that were lost, and the one that nobody confirmed");
    assert!(joins.plan(&[seat(2, 6)], now + Duration::from_secs(11)).is_empty(), "each once");
}

#[test]
fn a_removed_channel_is_parted_where_it_was_and_never_asked_again() {
    let now = Instant::now();
    let mut joins = joins(3, 0);
    let plan = joins.plan(&[seat(1, 2)], now);
    confirm_all(&mut joins, &plan);
    let parted = joins.reconcile(Vec::new());
    assert_eq!(parted.iter().filter(|(_, _, connection)| *connection == Some(1)).count(), 2);
    assert_eq!(parted.len(), 3);
    assert!(joins.plan(&[seat(1, 9)], now).is_empty());
    assert_eq!((joins.n_on(1), joins.n_joined(), joins.len()), (0, 0, 0));
}

#[test]
fn a_refused_channel_rests() {
    let now = Instant::now();
    let mut joins = joins(1, 0);
    let plan = joins.plan(&[seat(1, 9)], now);
    joins.refused(plan[0].1[0], 1, now + Duration::from_mins(10));
    assert!(joins.plan(&[seat(1, 9)], now + Duration::from_mins(9)).is_empty());
    assert_eq!(joins.plan(&[seat(1, 9)], now + Duration::from_mins(10)).len(), 1);
}

proptest! {
    #[test]
    fn whatever_happens_no_more_joins_leave_than_permitted_and_the_counts_agree(
        steps in proptest::collection::vec((0u8..5, 0u64..4_000), 1..120),
    ) {
        let mut now = Instant::now();
        let mut joins = joins(40, 7);
        let (mut sent, mut connection) = (Vec::new(), 1);
        for (step, gap_ms) in steps {
            now += Duration::from_millis(gap_ms);
            match step {
                0 => drop(joins.lost(connection)),
                1 => connection += 1,
                2 => drop(joins.reconcile(wanted(20))),
                _ => {
                    let room = 9usize.saturating_sub(joins.n_on(connection));
                    let plan = joins.plan(&[seat(connection, room)], now);
                    sent.extend(plan.iter().flat_map(|(_, ids)| ids.iter().map(|_| now)));
                    if step == 3 {
                        confirm_all(&mut joins, &plan);
                    }
                }
            }
            prop_assert!(joins.n_on(connection) <= 9);
            let joined = joins.channels.values().filter(|channel| matches!(channel.place, Place::Joined { .. })).count();
            prop_assert_eq!(joined, joins.n_joined());
        }
        let busiest = sent.iter().map(|from| sent.iter().filter(|at| **at >= *from && **at < *from + JOIN_WINDOW).count()).max();
        prop_assert!(busiest.unwrap_or(0) <= 7);
    }
}
