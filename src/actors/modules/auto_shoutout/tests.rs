use std::sync::Arc;

use chrono::TimeDelta;
use domain::{Level, Platform};
use storage::{channels, module_states, shoutouts};

use super::{NAME, SPEC};
use crate::actors::modules::testing::World;
use crate::messages::streamers::MadeUp;
use crate::messages::{CommandTable, EventKind};

const ANN: &str = "Have a look at ANN: https://twitch.tv/ann";
const BOB: &str = "Have a look at BOB: https://twitch.tv/bob";

async fn worlds() -> [World; 2] {
    let mut worlds = World::on_both().await;
    for world in &mut worlds {
        Arc::get_mut(&mut world.services).expect("nobody has it yet").streamers = Arc::new(MadeUp::three());
    }
    worlds
}

async fn raid(world: &mut World, user: &str, id: &str) -> Vec<String> {
    let mut event = world.event(Level::Everyone, user, "", id);
    event.kind = EventKind::Raid;
    let replies = world.event_to(NAME, &event).await.unwrap();
    replies.into_iter().map(|reply| reply.text).collect()
}

async fn first_line(world: &mut World, level: Level, user: &str) -> Vec<String> {
    world.lines_to(NAME, &[(level, user)]).await
}

#[tokio::test]
async fn it_is_off_until_somebody_chooses_and_off_again_when_they_say_so() {
    assert!(!SPEC.is_on(&CommandTable::default()));
    for mut world in worlds().await {
        assert_eq!(raid(&mut world, "Ann", "r1").await, [""; 0]);
        assert!(world.moderator("!autoso").await.starts_with("No shoutouts by themselves."));
        for (line, is_on) in [("!autoso creators", true), ("!autoso off", false)] {
            world.moderator(line).await;
            let states = module_states::of_channel(&world.services.db, world.slot.id).await.unwrap();
            let state = states.iter().find(|state| state.module == NAME).unwrap();
            let on = module_states::switched_on(&world.services.db, &[world.slot.id], &[NAME]).await.unwrap();
            assert_eq!((state.is_enabled, on.len()), (is_on, usize::from(is_on)), "{line}");
        }
        assert_eq!(raid(&mut world, "Ann", "r2").await, [""; 0]);
        for wrong in ["!autoso friends", "!autoso everyone", "!autoso add", "!autoso creators now"] {
            assert!(world.moderator(wrong).await.starts_with("Type !autoso off|creators|listed"), "{wrong}");
        }
    }
}

#[tokio::test]
async fn whoever_raids_gets_one_and_no_second_within_an_hour() {
    for mut world in worlds().await {
        world.moderator("!autoso creators").await;
        assert_eq!(raid(&mut world, "Ann", "r1").await, [ANN]);
        assert_eq!(raid(&mut world, "Ann", "r1").await, [""; 0], "the same raid again");
        assert_eq!(raid(&mut world, "Ann", "r2").await, [""; 0]);
        assert_eq!(raid(&mut world, "Nobody", "r3").await, [""; 0], "Twitch knows none");
        world.clock.advance(TimeDelta::minutes(61));
        assert_eq!(raid(&mut world, "Ann", "r4").await, [ANN]);
        // One that a moderator gave counts too.
        world.moderator("!so bob").await;
        assert_eq!(raid(&mut world, "Bob", "r5").await, [""; 0]);
        let stats = shoutouts::stats(&world.services.db, world.slot.community_id).await.unwrap();
        assert_eq!((stats.n_shoutouts, stats.n_targets), (3, 2));
    }
}

#[tokio::test]
async fn a_first_line_counts_once_a_stream_and_for_those_of_the_level() {
    for mut world in worlds().await {
        world.moderator("!autoso vip").await;
        assert_eq!(first_line(&mut world, Level::Subscriber, "Ann").await, [""; 0]);
        assert_eq!(first_line(&mut world, Level::Vip, "Ann").await, [ANN]);
        world.clock.advance(TimeDelta::hours(2));
        assert_eq!(first_line(&mut world, Level::Vip, "Ann").await, [""; 0], "the same stream");
        world.clock.advance(TimeDelta::hours(11));
        // One a batch: Bob's turn comes with his next line.
        let both = [(Level::Vip, "Ann"), (Level::Moderator, "Bob")];
        assert_eq!(world.lines_to(NAME, &both).await, [ANN]);
        assert_eq!(world.lines_to(NAME, &both).await, [BOB]);
        assert_eq!(world.lines_to(NAME, &both).await, [""; 0]);
    }
}

#[tokio::test]
async fn the_list_is_kept_and_those_on_it_get_one() {
    for mut world in worlds().await {
        world.moderator("!autoso listed").await;
        assert!(world.moderator("!autoso list").await.starts_with("The list is empty"));
        assert_eq!(first_line(&mut world, Level::Everyone, "Bob").await, [""; 0]);
        assert_eq!(world.moderator("!autoso add @Bob").await, "bob is on the list now.");
        assert_eq!(world.moderator("!autoso add bob").await, "bob is on the list already.");
        assert_eq!(world.moderator("!autoso list").await, "Listed: bob");
        assert_eq!(first_line(&mut world, Level::Everyone, "Bob").await, [BOB]);
        assert_eq!(world.moderator("!autoso remove bob").await, "bob is off the list.");
        assert_eq!(world.moderator("!autoso remove bob").await, "bob is not on the list.");
        world.clock.advance(TimeDelta::hours(13));
        assert_eq!(first_line(&mut world, Level::Everyone, "Bob").await, [""; 0]);
    }
}

#[tokio::test]
async fn streamers_whose_channel_is_served_get_one_with_their_first_line() {
    for mut world in worlds().await {
        world.moderator("!autoso creators").await;
        assert_eq!(first_line(&mut world, Level::Everyone, "Bob").await, [""; 0]);
        let key = domain::ChannelKey::new(Platform::Console, "bob").unwrap();
        channels::ensure_many(&world.services.db, &[key], world.clock.now()).await.unwrap();
        assert_eq!(first_line(&mut world, Level::Everyone, "Bob").await, [BOB]);
    }
}
