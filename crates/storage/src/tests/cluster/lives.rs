use membership::ask::{Answer, Ask, Evidence, Member, State};
use membership::{Epoch, Incarnation, NodeId};

use super::{ALL_STATES, LAPSED_US, LONG_US, Node, key, lapsed, newcomer};
use crate::cluster::{ASK_LIMIT, ask};
use crate::db::Pools;
use crate::testing::{self, streaming::eventually};
use crate::tests::new_channel;
use crate::tests::outbox::{reply, say};
use crate::{StorageError, outbox};

async fn members(node: &mut Node) -> Vec<Member> {
    match node.ask(&Ask::Look { me: node.me }).await {
        Answer::Look { members, .. } => members,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_look_shows_everybody_who_is_not_dead() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let seen = members(&mut one).await;
    assert_eq!(seen.iter().map(|member| member.seat.incarnation).collect::<Vec<_>>(), [one.me, two.me]);
    let new = newcomer(2, "node-2");
    assert_eq!((&seen[1].seat.node, &seen[1].seat.roles), (&new.node, &new.roles));
    assert_eq!((&seen[1].address, seen[1].protocol, seen[1].state), (&new.address, (1, 2), State::Joining));
    let until = two.renew(LONG_US).await;
    assert_eq!(members(&mut one).await[1].lease_until, until);
    one.kill(&mut two).await;
    assert_eq!(members(&mut one).await.len(), 1);
}

#[tokio::test]
async fn one_incarnation_of_a_node_lives_and_may_ask_again() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let again = one.ask(&Ask::Join(newcomer(1, "node-1"))).await;
    let Answer::Joined { now, lease_until } = again else { panic!("{again:?}") };
    assert_eq!(lease_until.0 - now.0, LONG_US);
    let mut two = Node::connect(&test, 2).await;
    let occupied = two.ask(&Ask::Join(newcomer(2, "node-1"))).await;
    let Answer::Occupied { by, address, lease_until: theirs, now } = occupied else { panic!("{occupied:?}") };
    assert_eq!((by, address.as_str(), theirs), (one.me, "10.0.0.1:4000", lease_until));
    assert!(now < lease_until);
    assert_eq!(two.ask(&Ask::Renew { me: two.me, lease_us: LONG_US }).await, Answer::Dead, "never there");
}

#[tokio::test]
async fn a_newcomer_buries_its_predecessor_by_the_same_evidence() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let until = one.renew(LONG_US).await;
    let join = |evidence| {
        let predecessor = Some((Incarnation(1), evidence));
        Ask::Join(membership::ask::Newcomer { predecessor, ..newcomer(2, "node-1") })
    };
    let mut two = Node::connect(&test, 2).await;
    for evidence in [lapsed(until), Evidence::Refused] {
        let refused = two.ask(&join(evidence)).await;
        assert!(matches!(refused, Answer::Occupied { .. }), "{refused:?}");
    }
    let seen = one.renew(LAPSED_US).await;
    let joined = two.ask(&join(lapsed(seen))).await;
    assert!(matches!(joined, Answer::Joined { .. }), "{joined:?}");
    assert_eq!(members(&mut two).await.len(), 1);
    eventually("the dead one's session ends", async || one.lease.pulse(ASK_LIMIT).await.is_err()).await;
}

#[tokio::test]
async fn a_predecessor_under_another_id_is_not_buried_by_joining() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let seen = one.renew(LAPSED_US).await;
    let mut two = Node::connect(&test, 2).await;
    let predecessor = Some((one.me, lapsed(seen)));
    two.ask(&Ask::Join(membership::ask::Newcomer { predecessor, ..newcomer(2, "node-2") })).await;
    assert_eq!(members(&mut two).await.len(), 2);
}

#[tokio::test]
async fn a_lapsed_lease_is_renewed_while_nobody_buried_it() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let lapsed_at = one.renew(LAPSED_US).await;
    let renewed = one.ask(&Ask::Renew { me: one.me, lease_us: LONG_US }).await;
    let Answer::Renewed { now, lease_until, view: 0 } = renewed else { panic!("{renewed:?}") };
    assert_eq!(lease_until.0 - now.0, LONG_US);
    assert!(lapsed_at < now);
}

#[tokio::test]
async fn a_state_only_goes_forward() {
    let test = testing::postgres().await;
    let mut one = Node::join(&test, 1).await;
    let me = one.me;
    let early = ask(&mut one.lease, &Ask::Enter { me, state: State::Draining }).await;
    assert!(matches!(early, Err(StorageError::Invalid { .. })), "{early:?}");
    for state in ALL_STATES {
        for _repeat in 0..2 {
            assert_eq!(one.ask(&Ask::Enter { me, state }).await, Answer::Entered);
        }
        assert_eq!(members(&mut one).await[0].state, state);
    }
    for state in [State::Joining, State::Active, State::Dead] {
        let back = ask(&mut one.lease, &Ask::Enter { me, state }).await;
        assert!(matches!(back, Err(StorageError::Invalid { .. })), "{state:?}: {back:?}");
    }
    assert_eq!(members(&mut one).await[0].state, State::Draining);
}

#[tokio::test]
async fn only_the_lapsed_lease_that_was_seen_is_buried_and_only_by_a_valid_one() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let valid = two.renew(LONG_US).await;
    assert_eq!(one.bury(two.me, lapsed(valid)).await, Answer::Alive, "it is valid");
    let seen = two.renew(LAPSED_US).await;
    let later = two.renew(LAPSED_US).await;
    assert_eq!(one.bury(two.me, lapsed(seen)).await, Answer::Alive, "not the lease that was seen");
    one.renew(LAPSED_US).await;
    assert_eq!(one.bury(two.me, lapsed(later)).await, Answer::NotValid);
    one.renew(LONG_US).await;
    for _repeat in 0..2 {
        assert_eq!(one.bury(two.me, lapsed(later)).await, Answer::Buried);
    }
}

#[tokio::test]
async fn a_lease_too_far_ahead_is_none() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let seen = two.renew(60_000_000).await;
    let evidence = |lease_us| Evidence::Lapsed { lease_us, seen };
    assert_eq!(one.bury(two.me, evidence(60_000_000)).await, Answer::Alive);
    assert_eq!(one.bury(two.me, evidence(2_000_000)).await, Answer::Buried);
}

#[tokio::test]
async fn a_refused_node_is_buried_once_its_socket_is_closed_and_not_before() {
    let test = testing::postgres().await;
    let (mut one, two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    assert_eq!(one.bury(two.me, Evidence::Refused).await, Answer::Alive, "its lock is held");
    let victim = two.me;
    drop(two);
    eventually("its lock is free", async || one.bury(victim, Evidence::Refused).await == Answer::Buried)
        .await;
}

#[tokio::test]
async fn of_two_that_bury_each_other_one_lives() {
    const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
         AND datname = current_database()";
    let test = testing::postgres().await;
    let Pools::Pg(pool) = test.db.pools() else { panic!("not PostgreSQL") };
    // Neither holds its own lock, so each has the evidence.
    let (mut one, mut two) = (Node::connect(&test, 1).await, Node::connect(&test, 2).await);
    one.ask(&Ask::Join(newcomer(1, "node-1"))).await;
    two.ask(&Ask::Join(newcomer(2, "node-2"))).await;
    let bury = |me, victim| Ask::Bury { me, victim, evidence: Evidence::Refused };
    let asks = [bury(one.me, two.me), bury(two.me, one.me)];
    // Both begin before either can go on.
    let mut held = pool.begin("BEGIN").await.unwrap();
    sqlx::query("SELECT 1 FROM nodes FOR UPDATE").execute(&mut *held).await.unwrap();
    let let_go = async {
        eventually("both wait", async || {
            let (n_waiting,): (i64,) = sqlx::query_as(WAITING).fetch_one(&**pool).await.unwrap();
            n_waiting == 2
        })
        .await;
        held.rollback().await.unwrap();
    };
    let (first, second, ()) =
        tokio::join!(ask(&mut one.lease, &asks[0]), ask(&mut two.lease, &asks[1]), let_go);
    let n_buried = [&first, &second].iter().filter(|answer| ***answer == Ok(Answer::Buried)).count();
    assert_eq!(n_buried, 1, "{first:?} {second:?}");
    let living = sqlx::query_as("SELECT COUNT(*) FROM nodes WHERE state <> 'dead'");
    let (n_living,): (i64,) = living.fetch_one(&**pool).await.unwrap();
    assert_eq!(n_living, 1);
}

#[tokio::test]
async fn dead_is_final() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let (me, keys) = (two.me, vec![key("ann")]);
    two.claim(&keys).await;
    one.kill(&mut two).await;
    // Its session was ended with it; a process that lives on may well connect anew.
    let mut two = Node::connect(&test, 2).await;
    let asks = [
        Ask::Join(newcomer(2, "node-2")),
        Ask::Renew { me, lease_us: LONG_US },
        Ask::Look { me },
        Ask::Enter { me, state: State::Active },
        Ask::Bury { me, victim: one.me, evidence: Evidence::Refused },
        Ask::Publish { me, version: 0, members: Vec::new() },
        Ask::Claim { me, keys: vec![key("ben")] },
        Ask::Release { me, keys: vec![(key("ann"), Epoch(1))] },
        Ask::Leave { me },
    ];
    for question in asks {
        assert_eq!(two.ask(&question).await, Answer::Dead, "{question:?}");
    }
    let (claimed, ..) = one.claim(&[key("ann"), key("ben")]).await;
    let mut froms: Vec<_> = claimed.iter().map(|claimed| (claimed.epoch.0, claimed.from)).collect();
    froms.sort_unstable_by_key(|(epoch, _)| *epoch);
    assert_eq!(froms, [(1, membership::ask::From::Nobody), (2, membership::ask::From::Dead(me))]);
}

#[tokio::test]
async fn who_leaves_is_dead_and_what_it_had_is_released() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    two.claim(&[key("ann")]).await;
    let me = two.me;
    assert_eq!(two.ask(&Ask::Leave { me }).await, Answer::Left);
    assert_eq!(two.ask(&Ask::Leave { me }).await, Answer::Dead);
    let (claimed, ..) = one.claim(&[key("ann")]).await;
    assert_eq!(claimed[0].from, membership::ask::From::Released(me));
    let mut three = Node::connect(&test, 3).await;
    let joined = three.ask(&Ask::Join(newcomer(3, "node-2"))).await;
    assert!(matches!(joined, Answer::Joined { .. }), "its id is free: {joined:?}");
    assert_eq!(members(&mut three).await[1].seat.node, NodeId("node-2".to_owned()));
}

#[tokio::test]
async fn replies_in_the_hands_of_a_living_node_are_not_given_up() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    let channel_id = new_channel(&test.db, "ann").await.id;
    let (mine, theirs) = (one.me.to_string(), two.me.to_string());
    let replies = [&mine, &theirs].map(|holder| reply(channel_id, "x", Some(holder)));
    say(&test.db, "m1", replies.into()).await.unwrap();
    assert_eq!(outbox::forget_unknown(&test.db, &mine).await.unwrap(), 0);
    one.kill(&mut two).await;
    assert_eq!(outbox::forget_unknown(&test.db, &mine).await.unwrap(), 1);
}
