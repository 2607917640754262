//! Shoutouts as chats meet them; how Twitch is asked stands in `tests/it/helix.rs`.

use std::sync::Arc;

use domain::{Level, Platform};
use storage::shoutouts::{self, TemplateKey};

use crate::actors::modules::testing::World;
use crate::messages::streamers::MadeUp;

async fn worlds() -> [World; 2] {
    let mut worlds = World::on_both().await;
    for world in &mut worlds {
        Arc::get_mut(&mut world.services).expect("nobody has it yet").streamers = Arc::new(MadeUp::three());
    }
    worlds
}

#[tokio::test]
async fn a_shoutout_is_said_and_kept() {
    for mut world in worlds().await {
        let said = world.moderator("!so @Ann").await;
        assert_eq!(said, "Have a look at ANN: https://twitch.tv/ann");
        assert_eq!(
            world.moderator("!shoutout https://twitch.tv/bob please").await,
            said.replace("ANN", "BOB").replace("ann", "bob")
        );
        let (db, community) = (&world.services.db, world.slot.community_id);
        let history = shoutouts::history(db, community, 10).await.unwrap();
        let targets: Vec<_> =
            history.iter().map(|kept| (&*kept.target_login, &*kept.target_user_id)).collect();
        assert_eq!(targets, [("bob", "id-bob"), ("ann", "id-ann")]);
        assert_eq!((history[1].message.as_str(), history[1].created_by.as_str()), (&*said, "console:id-mod"));
        assert_eq!(shoutouts::stats(db, community).await.unwrap().n_targets, 2);
    }
}

#[tokio::test]
async fn who_is_unknown_or_no_name_is_said_and_nothing_is_kept() {
    for mut world in worlds().await {
        assert_eq!(world.moderator("!so nobody").await, "Twitch knows nobody of the name nobody.");
        for line in ["!so", "!so ann&id=1", "!so https://evil.example/ann"] {
            assert_eq!(world.moderator(line).await, "Type !so <name>, the name of a Twitch account.");
        }
        let stats = shoutouts::stats(&world.services.db, world.slot.community_id).await.unwrap();
        assert_eq!(stats.n_shoutouts, 0);
    }
}

#[tokio::test]
async fn a_repeated_command_counts_once() {
    for mut world in worlds().await {
        for _ in 0..2 {
            world.deliver(Level::Moderator, "Mod", "!so ann", "same").await.unwrap();
        }
        let stats = shoutouts::stats(&world.services.db, world.slot.community_id).await.unwrap();
        assert_eq!(stats.n_shoutouts, 1);
    }
}

#[tokio::test]
async fn a_communitys_own_text_is_said_and_a_title_stays_plain_text() {
    for mut world in worlds().await {
        let key = |is_live| TemplateKey {
            community_id: world.slot.community_id,
            platform: Platform::Console,
            is_live,
        };
        for (is_live, text) in
            [(true, "{title} {display_name} {login} {viewer_count}"), (false, "{login} {display_name} rests")]
        {
            let mut tx = world.services.db.begin().await.unwrap();
            shoutouts::set_template(&mut tx, key(is_live), text, "service", world.clock.now()).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(world.moderator("!so bob").await, "bob BOB rests");
        let said = world.moderator("!so eve").await;
        assert_eq!(said, "ban you <svg onload=alert(1)> EVE eve 1");
    }
}
