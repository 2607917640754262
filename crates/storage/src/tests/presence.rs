use std::time::Duration;

use domain::{Level, Platform};

use super::{new_channel, write};
use crate::cooldowns::Cooldown;
use crate::presence::{self, Presence};
use crate::roles::Role;
use crate::suspects::{self, Suspicion};
use crate::testing::{on_both, start_of_tests};
use crate::{aliases, cooldowns, module_states, roles};

#[tokio::test]
async fn each_kind_of_row_is_told_by_itself_and_only_to_its_own_channel() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let now = start_of_tests();
        let of = async |now| presence::of_channel(&db, ann.id, ann.community_id, now).await.unwrap();
        let none = Presence {
            aliases: false,
            roles: false,
            module_states: false,
            cooldowns: false,
            suspects: false,
        };
        let mut expected = none;
        assert_eq!(of(now).await, expected);

        write(&db, async |tx| aliases::add(tx, ann.id, "so", "!hi", now).await).await.unwrap();
        expected.aliases = true;
        assert_eq!(of(now).await, expected);

        let role = Role {
            platform: Platform::Twitch,
            login: "cat".into(),
            platform_user_id: None,
            person_id: None,
            level: Level::Regular,
            granted_by: "ann".into(),
        };
        write(&db, async |tx| roles::set(tx, ann.community_id, &role, now).await).await.unwrap();
        expected.roles = true;
        assert_eq!(of(now).await, expected);

        write(&db, async |tx| module_states::set(tx, ann.id, "ping", false, now).await).await.unwrap();
        expected.module_states = true;
        assert_eq!(of(now).await, expected);

        let cooldown = Cooldown {
            channel_id: ann.id,
            command: "hi".into(),
            platform_user_id: None,
            person_id: None,
            expires_at: now + Duration::from_mins(1),
        };
        cooldowns::save(&db, &[cooldown]).await.unwrap();
        expected.cooldowns = true;
        assert_eq!(of(now).await, expected);
        expected.cooldowns = false;
        assert_eq!(of(now + Duration::from_secs(61)).await, expected, "what has run out is not told");

        let others = presence::of_channel(&db, bob.id, bob.community_id, now).await.unwrap();
        assert_eq!(others, none);

        let suspicion = Suspicion {
            channel_id: bob.id,
            module: "ping".into(),
            incarnation: "1".into(),
            reason: "did not yield".into(),
        };
        write(&db, async |tx| suspects::report(tx, &suspicion).await).await.unwrap();
        let others = presence::of_channel(&db, bob.id, bob.community_id, now).await.unwrap();
        assert_eq!(others, Presence { suspects: true, ..none });
    })
    .await;
}
