use super::{new_channel, write};
use crate::pins;
use crate::testing::{on_both, start_of_tests};

#[tokio::test]
async fn a_channel_is_tied_to_one_node_and_untied_once() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let now = start_of_tests();
        for (channel, node) in [(&ann, "a"), (&ann, "b"), (&bob, "a")] {
            write(&db, async |tx| pins::set(tx, channel.id, (node, "service"), now).await).await.unwrap();
        }
        assert_eq!(pins::get(&db, ann.id).await.unwrap().as_deref(), Some("b"));
        let all = pins::list(&db, None, 10).await.unwrap();
        let mut nodes: Vec<_> = all.iter().map(|pin| (pin.channel_key.as_str(), pin.node.as_str())).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, [("twitch:ann", "b"), ("twitch:bob", "a")]);
        assert!(all.iter().all(|pin| pin.owner.is_none() && pin.pinned_by == "service"));
        let first = pins::list(&db, None, 1).await.unwrap();
        let second = pins::list(&db, Some(first[0].channel_id), 1).await.unwrap();
        assert_eq!([first, second].concat(), all);

        assert!(write(&db, async |tx| pins::remove(tx, ann.id).await).await.unwrap());
        assert!(!write(&db, async |tx| pins::remove(tx, ann.id).await).await.unwrap());
        assert_eq!(pins::get(&db, ann.id).await.unwrap(), None);
    })
    .await;
}
