use membership::Incarnation;
use membership::ask::{Answer, Ask, Role, Seat, View};

use super::{LONG_US, Node};
use crate::cluster::VIEWS_KEPT;
use crate::testing::{self, row_counts};

fn seat(n: u128) -> Seat {
    let (node, roles) = (membership::NodeId(format!("node-{n}")), vec![Role::Channels, Role::Platforms]);
    Seat { node, incarnation: Incarnation(n), roles, weight: 50 }
}

async fn view_of(node: &mut Node) -> View {
    match node.ask(&Ask::Look { me: node.me }).await {
        Answer::Look { view, .. } => view,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_view_follows_the_one_that_its_publisher_knew() {
    let test = testing::postgres().await;
    let (mut one, mut two) = (Node::join(&test, 1).await, Node::join(&test, 2).await);
    assert_eq!(view_of(&mut one).await, View::default());
    let publish = |me, version, n| Ask::Publish { me, version, members: vec![seat(n)] };
    let first = one.ask(&publish(one.me, 0, 1)).await;
    let Answer::Published(first) = first else { panic!("{first:?}") };
    assert_eq!((first.version, &first.members), (1, &vec![seat(1)]));
    assert!(first.published_at.0 > 0);
    assert_eq!(two.ask(&publish(two.me, 0, 2)).await, Answer::Outdated(first.clone()));
    assert_eq!(two.ask(&publish(two.me, 7, 2)).await, Answer::Outdated(first.clone()), "none is left out");
    assert_eq!(view_of(&mut two).await, first);
    let renewed = two.ask(&Ask::Renew { me: two.me, lease_us: LONG_US }).await;
    assert!(matches!(renewed, Answer::Renewed { view: 1, .. }), "{renewed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_publish_at_once_one_does_and_a_hundred_views_are_kept() {
    let test = testing::postgres().await;
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(Node::join(&test, n).await);
    }
    for version in 0..VIEWS_KEPT + 5 {
        let asked = nodes.iter_mut().map(async |node| {
            let ask = Ask::Publish { me: node.me, version, members: vec![seat(node.me.0)] };
            node.ask(&ask).await
        });
        let answers = futures_util::future::join_all(asked).await;
        let of = |answer: &Answer| match answer {
            Answer::Published(view) => (1, view.clone()),
            Answer::Outdated(view) => (0, view.clone()),
            other => panic!("{other:?}"),
        };
        let told: Vec<_> = answers.iter().map(of).collect();
        assert_eq!(told.iter().map(|(n, _)| n).sum::<i32>(), 1, "{answers:?}");
        assert!(told.iter().all(|(_, view)| *view == told[0].1), "{answers:?}");
    }
    assert_eq!(row_counts(&test.db).await["views"], VIEWS_KEPT);
    assert_eq!(view_of(&mut nodes[0]).await.version, VIEWS_KEPT + 5);
}
