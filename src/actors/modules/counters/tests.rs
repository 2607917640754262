//! Counters as moderators and viewers meet them.

use domain::Level;

use crate::actors::modules::testing::World;

#[tokio::test]
async fn deaths_are_there_from_the_start_and_moderators_count() {
    let mut world = World::new().await;
    assert_eq!(world.viewer("!deaths").await, "deaths: 0");
    assert_eq!(world.moderator("!deaths +").await, "deaths: 1");
    assert_eq!(world.moderator("!deaths +5").await, "deaths: 6");
    assert_eq!(world.moderator("!deaths - 2").await, "deaths: 4");
    assert_eq!(world.moderator("!deaths set 40").await, "deaths: 40");
    assert_eq!(world.moderator("!editcounter deaths -").await, "deaths: 39");
    assert_eq!(world.viewer("!deaths so many").await, "deaths: 39");
    assert_eq!(world.viewer("!deaths +").await, "Only moderators can change !deaths.");
    assert_eq!(world.viewer("!deaths").await, "deaths: 39");
}

#[tokio::test]
async fn an_added_counter_is_a_command() {
    let mut world = World::new().await;
    assert_eq!(
        world.moderator("!counter add !Wins").await,
        "Counter wins added; !wins shows it, !wins + counts."
    );
    let table = world.table().await;
    assert_eq!(table.commands["wins"].module, "counters");
    assert_eq!(world.moderator("!wins +3").await, "wins: 3");
    assert_eq!(world.viewer("!wins").await, "wins: 3");
    assert_eq!(world.moderator("!counter list").await, "Counters: deaths: 0, wins: 3");
    assert!(world.viewer("!commands").await.contains("!wins"));
    assert_eq!(
        world.moderator("!delcom wins").await,
        "!wins is no custom command; it belongs to the module counters."
    );
    assert_eq!(world.moderator("!command options wins -cd=9").await, "!wins is now for everyone, every 9 s.");
    assert_eq!(world.moderator("!counter remove wins").await, "Counter wins removed.");
    assert!(!world.table().await.commands.contains_key("wins"));
    assert_eq!(
        world.moderator("!counter add wins").await,
        "Counter wins added; !wins shows it, !wins + counts."
    );
    assert_eq!(world.viewer("!wins").await, "wins: 0");
}

#[tokio::test]
async fn a_name_that_is_taken_or_wrong_is_refused() {
    let mut world = World::new().await;
    world.moderator("!addcom hi Hello").await;
    world.moderator("!alias add hey hi").await;
    world.moderator("!counter add wins").await;
    for (line, want) in [
        ("!counter add ping", "!ping is a command already"),
        ("!counter add deaths", "!deaths is a command already"),
        ("!counter add hi", "!hi is a command already"),
        ("!counter add hey", "!hey is a command already"),
        ("!counter add wins", "There is a counter wins already"),
        ("!counter add", "Type !counter add <name>"),
        ("!counter add /x", "`/x` cannot be"),
        ("!counter dance", "Type !counter add <name>"),
        ("!counter remove none", "There is no counter none"),
        ("!counter remove hi", "There is no counter hi"),
        ("!counter remove deaths", "!deaths is always there"),
        ("!editcounter", "Type !editcounter <name> +"),
        ("!editcounter none +", "There is no counter none"),
        ("!addcom wins x", "!wins exists already"),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
    assert_eq!(world.viewer("!hi").await, "Hello");
}

#[tokio::test]
async fn a_counter_stays_within_its_bounds() {
    let mut world = World::new().await;
    assert_eq!(world.moderator("!deaths -").await, "deaths: 0 (it cannot go lower)");
    assert_eq!(world.moderator("!deaths set 999999999999").await, "deaths: 999999999999");
    assert_eq!(
        world.moderator("!deaths +1000000000000").await,
        "deaths: 1000000000000 (it cannot go higher)"
    );
    for (line, want) in [
        ("!deaths set 1000000000001", "A counter goes from 0 to 1000000000000."),
        ("!deaths +99999999999999999999999", "A counter goes from 0 to 1000000000000."),
        ("!deaths set -5", "Type !deaths +"),
        ("!deaths set", "Type !deaths +"),
        ("!deaths + many", "Type !deaths +"),
        ("!deaths --5", "Type !deaths +"),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
    assert_eq!(world.viewer("!deaths").await, "deaths: 1000000000000");
}

#[tokio::test]
async fn a_line_delivered_twice_counts_once() {
    let mut world = World::new().await;
    for _ in 0..3 {
        let replies = world.deliver(Level::Moderator, "Mod", "!deaths +", "same").await.unwrap();
        assert_eq!(replies[0].text, "deaths: 1");
    }
    assert_eq!(world.viewer("!deaths").await, "deaths: 1");
}
