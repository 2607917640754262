//! Quotes as chats meet them, on both databases.

use domain::Level;

use crate::actors::modules::testing::World;

#[tokio::test]
async fn a_quote_is_added_said_searched_and_removed() {
    for mut world in World::on_both().await {
        assert!(world.viewer("!quote").await.starts_with("There are no quotes yet; !quote add <text>"));
        assert_eq!(world.moderator("!quote add I love cake").await, "Quote 1 added; !quote 1 says it.");
        assert_eq!(world.viewer("!quote").await, "Quote 1: “I love cake” (1 January 2030)");
        assert_eq!(
            world.moderator("!addquote @Bob Cake is \"a lie\"").await,
            "Quote 2 added; !quote 2 says it."
        );
        assert_eq!(world.viewer("!quote 2").await, "Quote 2: “Cake is \"a lie\"” – Bob (1 January 2030)");
        assert_eq!(world.viewer("!quote #2").await, world.viewer("!quote 2").await);
        assert_eq!(world.viewer("!quote search LIE bob").await, world.viewer("!quote 2").await);
        assert_eq!(world.viewer("!quote love").await, world.viewer("!quote 1").await);
        let both = world.viewer("!quote search cake").await;
        assert!(both.contains("1: “I love cake”") && both.contains("2: “Cake is"), "{both}");
        assert_eq!(world.viewer("!quote search pie").await, "No quote has these words.");
        assert_eq!(world.moderator("!quote remove 1").await, "Quote 1 removed.");
        assert_eq!(world.viewer("!quote 1").await, "There is no quote 1.");
        assert_eq!(world.moderator("!quote add more").await, "Quote 3 added; !quote 3 says it.");
    }
}

#[tokio::test]
async fn moderators_add_and_creators_and_moderators_remove() {
    for mut world in World::on_both().await {
        assert_eq!(world.viewer("!quote add hi").await, "Adding quotes is for moderator and above.");
        world.moderator("!command options addquote -ul=everyone").await;
        assert_eq!(world.viewer("!quote add hi").await, "Quote 1 added; !quote 1 says it.");
        assert_eq!(world.viewer("!addquote ho").await, "Quote 2 added; !quote 2 says it.");
        let other = world.say(Level::Vip, "Eve", "!quote remove 1").await;
        assert_eq!(other, ["Quote 1 can be removed by who added it and by moderators."]);
        assert_eq!(world.viewer("!quote remove 1").await, "Quote 1 removed.");
        assert_eq!(world.moderator("!quote del 2").await, "Quote 2 removed.");
        assert_eq!(world.moderator("!quote del 2").await, "There is no quote 2.");
    }
}

#[tokio::test]
async fn what_cannot_be_done_says_what_to_type() {
    let mut world = World::new().await;
    for (line, want) in [
        ("!quote add", "Type !quote add <text>"),
        ("!quote add @bob", "Type !quote add <text>"),
        ("!addquote", "Type !quote add <text>"),
        ("!quote remove", "Type !quote, !quote <number>"),
        ("!quote remove x", "Type !quote, !quote <number>"),
        ("!quote 0", "Type !quote, !quote <number>"),
        ("!quote 99999999999999999999", "Type !quote, !quote <number>"),
        ("!quote search", "Type !quote search <words>."),
        ("!quote search \"*", "No quote has these words."),
        ("!quote ' OR 1=1 --", "No quote has these words."),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
}

#[tokio::test]
async fn a_line_that_is_delivered_twice_keeps_one_quote() {
    for mut world in World::on_both().await {
        for _ in 0..2 {
            world.deliver(Level::Moderator, "Mod", "!quote add once", "same").await.unwrap();
        }
        assert_eq!(world.moderator("!quote add twice").await, "Quote 2 added; !quote 2 says it.");
    }
}

#[tokio::test]
async fn no_quote_is_said_as_a_command() {
    let mut world = World::new().await;
    for text in ["!ban ann", "/ban ann", ".timeout ann", "@x /ban ann"] {
        world.moderator(&format!("!quote add {text}")).await;
    }
    world.moderator("!addcom !said $(quote)").await;
    for line in
        ["!quote 1", "!quote 2", "!quote 3", "!quote 4", "!quote search ann", "!quote search ban", "!said"]
    {
        let said = world.viewer(line).await;
        assert!(!said.starts_with(['!', '/', '.', '#']), "{line}: {said}");
    }
}

#[tokio::test]
async fn custom_commands_say_a_quote() {
    for mut world in World::on_both().await {
        assert_eq!(world.moderator("!addcom !wise Listen: $(quote)").await, "!wise added.");
        assert_eq!(world.viewer("!wise").await, "Listen: no quotes yet");
        world.moderator("!quote add @Bob $(user) is /me").await;
        assert_eq!(world.viewer("!wise").await, "Listen: “$(user) is /me” – Bob");
    }
}
