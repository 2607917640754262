use chrono::TimeDelta;
use domain::{CommunityId, Platform};

use super::{new_channel, write};
use crate::Db;
use crate::shoutouts::{self, NewShoutout, Stats, TemplateKey};
use crate::testing::{on_both, start_of_tests};

async fn record(db: &Db, community: CommunityId, login: &str, hours: i64) {
    let new = NewShoutout {
        platform: Platform::Twitch,
        target_user_id: format!("id-{login}"),
        target_login: login.to_owned(),
        message: format!("Have a look at {login}"),
        created_by: "twitch:1".to_owned(),
    };
    let at = start_of_tests() + TimeDelta::hours(hours);
    write(db, async |tx| shoutouts::record(tx, community, &new, at).await).await.unwrap();
}

async fn logins(db: &Db, community: CommunityId, limit: u32) -> Vec<String> {
    let history = shoutouts::history(db, community, limit).await.unwrap();
    history.into_iter().map(|shoutout| shoutout.target_login).collect()
}

#[tokio::test]
async fn shoutouts_are_counted_per_community_and_the_sums_outlive_the_history() {
    on_both(|db| async move {
        let (ann, bob) =
            (new_channel(&db, "ann").await.community_id, new_channel(&db, "bob").await.community_id);
        assert_eq!(shoutouts::stats(&db, ann).await.unwrap(), Stats::default());
        for (hours, login) in ["eve", "dan", "eve"].into_iter().enumerate() {
            record(&db, ann, login, i64::try_from(hours).unwrap()).await;
        }
        record(&db, bob, "eve", 0).await;
        let at = |hours| Some(start_of_tests() + TimeDelta::hours(hours));
        let sums = Stats { n_shoutouts: 3, n_targets: 2, first_at: at(0), last_at: at(2) };
        assert_eq!(shoutouts::stats(&db, ann).await.unwrap(), sums);
        assert_eq!(logins(&db, ann, 50).await, ["eve", "dan", "eve"]);
        assert_eq!(logins(&db, ann, 1).await, ["eve"]);
        assert_eq!(logins(&db, bob, 50).await, ["eve"]);
        // Two of three in that hour, one at a time.
        let old = start_of_tests() + TimeDelta::minutes(1);
        assert_eq!(shoutouts::prune(&db, old, 1).await.unwrap(), 1);
        assert_eq!(shoutouts::prune(&db, old, 10).await.unwrap(), 1);
        assert_eq!(shoutouts::prune(&db, old, 10).await.unwrap(), 0);
        assert_eq!(logins(&db, ann, 50).await, ["eve", "dan"]);
        assert_eq!(shoutouts::stats(&db, ann).await.unwrap(), sums);
    })
    .await;
}

#[tokio::test]
async fn a_community_has_a_text_of_its_own_per_platform_and_state() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await.community_id;
        let key = |platform, is_live| TemplateKey { community_id: ann, platform, is_live };
        let live = key(Platform::Twitch, true);
        assert_eq!(shoutouts::template(&db, live).await.unwrap(), None);
        for text in ["one", "two"] {
            write(&db, async |tx| shoutouts::set_template(tx, live, text, "service", start_of_tests()).await)
                .await
                .unwrap();
        }
        assert_eq!(shoutouts::template(&db, live).await.unwrap().as_deref(), Some("two"));
        for other in [key(Platform::Twitch, false), key(Platform::Discord, true)] {
            assert_eq!(shoutouts::template(&db, other).await.unwrap(), None);
        }
        assert!(write(&db, async |tx| shoutouts::remove_template(tx, live).await).await.unwrap());
        assert!(!write(&db, async |tx| shoutouts::remove_template(tx, live).await).await.unwrap());
        assert_eq!(shoutouts::template(&db, live).await.unwrap(), None);
    })
    .await;
}
