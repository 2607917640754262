use std::time::Duration;

use domain::{ChannelKey, Level, Platform};

use super::{new_channel, write};
use crate::channels;
use crate::communities;
use crate::persons::{self, Identity};
use crate::roles::{self, Role};
use crate::testing::{on_both, start_of_tests};
use crate::{Db, StorageError};

fn identity(user_id: &str, login: &str) -> Identity {
    Identity {
        platform: Platform::Twitch,
        platform_user_id: user_id.into(),
        login: login.into(),
        display_name: login.to_uppercase(),
    }
}

async fn touch(db: &Db, user_id: &str, login: &str) -> domain::PersonId {
    let identity = identity(user_id, login);
    write(db, async |tx| persons::touch(tx, &identity, start_of_tests()).await).await.unwrap()
}

fn granted(login: &str, level: Level) -> Role {
    Role {
        platform: Platform::Twitch,
        login: login.into(),
        platform_user_id: None,
        person_id: None,
        level,
        granted_by: "twitch:owner".into(),
    }
}

#[tokio::test]
async fn ensuring_a_channel_twice_makes_it_once_with_one_community() {
    on_both(|db| async move {
        let first = new_channel(&db, "ann").await;
        assert_eq!(new_channel(&db, "ann").await, first);
        assert_eq!(first.affinity_key, "twitch:ann");
        assert_eq!(communities::list(&db, None, 10).await.unwrap().len(), 1);
        assert_eq!(communities::get(&db, first.community_id).await.unwrap().unwrap().name, "ann");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_ensure_one_channel_at_once_get_the_same_one() {
    on_both(|db| async move {
        let callers = (0..8).map(|_| new_channel(&db, "ann"));
        let channels = futures_util::future::join_all(callers).await;
        assert!(channels.iter().all(|channel| channel == &channels[0]));
        assert_eq!(communities::list(&db, None, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_removed_channel_comes_back_as_itself() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let later = start_of_tests() + Duration::from_secs(1);
        assert!(write(&db, async |tx| channels::deactivate(tx, ann.id, later).await).await.unwrap());
        assert!(!write(&db, async |tx| channels::deactivate(tx, ann.id, later).await).await.unwrap());
        assert_eq!(channels::active_all(&db, None, 10).await.unwrap(), []);
        assert_eq!(channels::list(&db, None, 10).await.unwrap().len(), 1);
        assert_eq!(new_channel(&db, "ann").await, ann);
        assert_eq!(channels::count_active(&db).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_channel_is_found_by_login_and_by_platform_id() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let set = async |id, platform_id: &str| {
            write(&db, async |tx| channels::set_platform_id(tx, id, platform_id, start_of_tests()).await)
                .await
        };
        assert!(set(ann.id, "42").await.unwrap());
        assert_eq!(set(bob.id, "42").await.unwrap_err(), StorageError::Conflict);
        for name in ["ann", "42", "#ANN"] {
            let key = ChannelKey::new(Platform::Twitch, name).unwrap();
            let found = channels::by_key(&db, &key).await.unwrap().unwrap();
            assert_eq!((found.id, found.affinity_key.as_str()), (ann.id, "twitch:ann"), "{name}");
        }
        let elsewhere = ChannelKey::new(Platform::Kick, "ann").unwrap();
        assert_eq!(channels::by_key(&db, &elsewhere).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_import_is_one_step_of_at_most_500() {
    on_both(|db| async move {
        let keys: Vec<_> =
            (0..501).map(|n| ChannelKey::new(Platform::Twitch, &format!("c{n}")).unwrap()).collect();
        assert!(channels::ensure_many(&db, &keys, start_of_tests()).await.is_err());
        let made = channels::ensure_many(&db, &keys[..500], start_of_tests()).await.unwrap();
        assert!(made.iter().all(|ensured| ensured.is_new));
        let again = channels::ensure_many(&db, &keys[..500], start_of_tests()).await.unwrap();
        assert!(again.iter().all(|ensured| !ensured.is_new));
        let first = channels::active_all(&db, None, 300).await.unwrap();
        let rest = channels::active_all(&db, first.last().map(|channel| channel.id), 300).await.unwrap();
        assert_eq!((first.len(), rest.len()), (300, 200));
    })
    .await;
}

#[tokio::test]
async fn a_person_keeps_their_id_through_a_new_name() {
    on_both(|db| async move {
        let ann = touch(&db, "1", "ann").await;
        assert_eq!(touch(&db, "1", "anna").await, ann);
        assert_ne!(touch(&db, "2", "ann").await, ann);
        assert_eq!(persons::by_identity(&db, Platform::Twitch, "1").await.unwrap(), Some(ann));
        let found = persons::by_login(&db, Platform::Twitch, "ann").await.unwrap().unwrap();
        assert_eq!(found.platform_user_id, "2");
    })
    .await;
}

#[tokio::test]
async fn whoever_takes_a_freed_login_does_not_get_its_role() {
    on_both(|db| async move {
        let community = new_channel(&db, "owner").await.community_id;
        let role = granted("ann", Level::Editor);
        write(&db, async |tx| roles::set(tx, community, &role, start_of_tests()).await).await.unwrap();
        let ann = touch(&db, "1", "ann").await;
        touch(&db, "1", "renamed").await;
        touch(&db, "2", "ann").await;
        let stored = roles::of_community(&db, community).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!((stored[0].platform_user_id.as_deref(), stored[0].person_id), (Some("1"), Some(ann)));
    })
    .await;
}

#[tokio::test]
async fn roles_are_given_listed_and_taken_by_level() {
    on_both(|db| async move {
        let community = new_channel(&db, "owner").await.community_id;
        for role in
            [granted("ann", Level::Regular), granted("bob", Level::Editor), granted("cat", Level::Regular)]
        {
            write(&db, async |tx| roles::set(tx, community, &role, start_of_tests()).await).await.unwrap();
        }
        let regulars = roles::list(&db, community, Level::Regular, "", 10).await.unwrap();
        assert_eq!(regulars.iter().map(|role| role.login.as_str()).collect::<Vec<_>>(), ["ann", "cat"]);
        let remove = async |login: &str| {
            let platform = Platform::Twitch;
            write(&db, async |tx| roles::remove(tx, community, platform, login, Level::Regular).await).await
        };
        assert!(remove("ann").await.unwrap());
        assert!(!remove("bob").await.unwrap(), "an editor is not removed as a regular");
        let owner = granted("eve", Level::Owner);
        let refused = write(&db, async |tx| roles::set(tx, community, &owner, start_of_tests()).await).await;
        assert!(matches!(refused.unwrap_err(), StorageError::Invalid { .. }));
    })
    .await;
}

#[tokio::test]
async fn an_account_has_the_highest_level_that_its_community_stored() {
    on_both(|db| async move {
        let (ann, other) = (new_channel(&db, "ann").await, new_channel(&db, "other").await);
        let now = start_of_tests();
        write(&db, async |tx| channels::set_platform_id(tx, ann.id, "1", now).await).await.unwrap();
        for (login, level) in [("ed", Level::Editor), ("reg", Level::Regular), ("ann", Level::Regular)] {
            let role = Role {
                platform: Platform::Twitch,
                login: login.into(),
                platform_user_id: Some(if login == "ann" { "1".into() } else { format!("{login}-id") }),
                person_id: None,
                level,
                granted_by: "ann".into(),
            };
            write(&db, async |tx| roles::set(tx, ann.community_id, &role, now).await).await.unwrap();
        }
        let level = async |community, platform, user: &str| {
            roles::level_of(&db, community, platform, user).await.unwrap()
        };
        assert_eq!(level(ann.community_id, Platform::Twitch, "1").await, Level::Owner);
        assert_eq!(level(ann.community_id, Platform::Twitch, "ed-id").await, Level::Editor);
        assert_eq!(level(ann.community_id, Platform::Twitch, "reg-id").await, Level::Regular);
        // A login is no account, and neither another platform nor another community counts.
        for (community, platform, user) in [
            (ann.community_id, Platform::Twitch, "ed"),
            (ann.community_id, Platform::Kick, "ed-id"),
            (other.community_id, Platform::Twitch, "1"),
        ] {
            assert_eq!(level(community, platform, user).await, Level::Everyone, "{platform} {user}");
        }
        write(&db, async |tx| channels::deactivate(tx, ann.id, now).await).await.unwrap();
        assert_eq!(level(ann.community_id, Platform::Twitch, "1").await, Level::Regular);
    })
    .await;
}
