use std::slice;

use domain::ChannelId;

use super::{new_channel, write};
use crate::suspects::{self, Suspected, Suspicion};
use crate::testing::on_both;
use crate::{Db, StorageError};

fn fall(channel_id: ChannelId, incarnation: &str) -> Suspicion {
    Suspicion {
        channel_id,
        module: "ping".into(),
        incarnation: incarnation.into(),
        reason: "did not yield for 2500 ms".into(),
    }
}

async fn report(db: &Db, suspicion: Suspicion) -> Result<bool, StorageError> {
    write(db, async |tx| suspects::report(tx, &suspicion).await).await
}

#[tokio::test]
async fn the_second_fall_within_ten_minutes_disables_until_an_operator_enables() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        assert!(report(&db, fall(ann.id, "1")).await.unwrap());
        assert!(!report(&db, fall(ann.id, "1")).await.unwrap(), "one process falls once");
        let once = Suspected { module: "ping".into(), n_falls: 1, is_disabled: false };
        assert_eq!(suspects::of_channel(&db, ann.id).await.unwrap(), slice::from_ref(&once));
        assert!(suspects::of_channel(&db, bob.id).await.unwrap().is_empty());

        assert!(report(&db, fall(ann.id, "2")).await.unwrap());
        let twice = Suspected { module: "ping".into(), n_falls: 2, is_disabled: true };
        assert_eq!(suspects::of_channel(&db, ann.id).await.unwrap(), [twice]);

        write(&db, async |tx| suspects::forgive(tx, ann.id, "ping").await).await.unwrap();
        assert!(suspects::of_channel(&db, ann.id).await.unwrap().is_empty());
        assert_eq!(suspects::prune(&db, 10).await.unwrap(), 0);
    })
    .await;
}
