//! Custom commands as moderators and viewers meet them.

use domain::Level;

use crate::actors::modules::testing::World;

mod fetches;

#[tokio::test]
async fn a_command_that_was_added_answers() {
    let mut world = World::new().await;
    assert_eq!(world.moderator("!addcom !Hi Hello $(user)").await, "!hi added.");
    assert_eq!(world.viewer("!hi").await, "Hello Ann");
    assert_eq!(world.viewer("!HI").await, "Hello Ann");
    let table = world.table().await;
    let entry = &table.commands["hi"];
    assert_eq!((entry.cooldown_secs, entry.user_cooldown_secs, entry.level), (5, 0, Level::Everyone));
}

#[tokio::test]
async fn every_spelling_manages_commands() {
    let mut world = World::new().await;
    for (line, want) in [
        ("!command add a one", "!a added."),
        ("!cmd add b two", "!b added."),
        ("!commands add c three", "!c added."),
        ("!addcommand d four", "!d added."),
        ("!cmd edit a 1", "!a changed."),
        ("!editcom !b 2", "!b changed."),
        ("!command delete a", "!a removed."),
        ("!delcom !b", "!b removed."),
        ("!delcmd c", "!c removed."),
    ] {
        assert_eq!(world.moderator(line).await, want, "{line}");
    }
    assert_eq!(world.viewer("!d").await, "four");
}

#[tokio::test]
async fn options_are_kept_and_changed() {
    let mut world = World::new().await;
    assert_eq!(
        world.moderator("!addcom -cd=30 !hi -ul=vip -usercd 60 -a=!hello,hey Hi $(1)").await,
        "!hi added with alias !hello, !hey."
    );
    let table = world.table().await;
    let entry = &table.commands["hi"];
    assert_eq!((entry.cooldown_secs, entry.user_cooldown_secs, entry.level), (30, 60, Level::Vip));
    assert_eq!(table.aliases["hello"], "hi {args}");
    assert_eq!(
        world.moderator("!command options !hi -cd 10 -level=250").await,
        "!hi is now for subscribers and above, every 10 s, every 60 s for each user."
    );
    assert_eq!(world.moderator("!editcom hi -cd=0 -usercd=0").await, "!hi is now for subscribers and above.");
    assert_eq!(world.moderator("!command disable hi").await, "!hi is off.");
    assert!(!world.table().await.commands["hi"].enabled);
    assert_eq!(world.moderator("!command enable hi").await, "!hi is on.");
    assert_eq!(world.table().await.commands["hi"].custom.as_ref().unwrap().response, "Hi $(1)");
    assert_eq!(world.moderator("!delcom hi").await, "!hi and its 2 aliases removed.");
    assert!(world.table().await.aliases.is_empty());
}

#[tokio::test]
async fn a_built_in_command_gets_options_and_nothing_else() {
    let mut world = World::new().await;
    for (line, want) in [
        ("!addcom ping x", "!ping is a built-in command; choose another name"),
        ("!editcom !ping x", "!ping is a built-in command"),
        ("!delcom ping", "!ping is a built-in command; !command disable ping switches it off."),
        ("!addcom cmd x", "!cmd is a built-in command"),
        ("!command disable cmd", "!command stays on"),
        ("!cmd options ping -cd=20", "!ping is now for everyone, every 20 s."),
        ("!cmd disable ping", "!ping is off."),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
    let table = world.table().await;
    let entry = &table.commands["ping"];
    assert_eq!((entry.module.as_str(), entry.cooldown_secs, entry.enabled), ("ping", 20, false));
    assert!(entry.custom.is_none());
}

#[tokio::test]
async fn another_spelling_of_a_built_in_command_is_the_same_command() {
    let mut world = World::new().await;
    let reply = world.say(Level::Owner, "Own", "!command options counters -cd=7").await;
    assert_eq!(reply, ["!counter is now for moderators and above, every 7 s."]);
    assert_eq!(world.table().await.commands["counter"].cooldown_secs, 7);
}

#[tokio::test]
async fn a_mistake_is_answered_with_what_to_type() {
    let mut world = World::new().await;
    world.moderator("!addcom hi Hello").await;
    world.moderator("!alias add hey hi").await;
    let long = format!("!addcom long {}", "x".repeat(1_001));
    for (line, want) in [
        ("!addcom", "Type !addcom <name> <text>, for example !addcom !hi Hello $(user)."),
        ("!addcom hi", "Type !addcom <name> <text>"),
        ("!addcom hi again", "!hi exists already; use !editcom hi <text>."),
        ("!addcom hey again", "!hey is an alias; remove it first"),
        ("!addcom yo $(usr)", "there is no variable `usr`; did you mean `user`?"),
        (
            "!addcom yo $(urlfetch http://0x7f.1/)",
            "`$(urlfetch)` cannot be saved: the address is not on the public",
        ),
        (
            "!addcom yo $(urlfetch https://x.test:8080/)",
            "`$(urlfetch)` cannot be saved: the address must use port 80",
        ),
        (
            "!editcom hi $(urlfetch ftp://x.test)",
            "`$(urlfetch)` cannot be saved: the address must begin with http",
        ),
        ("!addcom yo $(urlfetch https://x.test/$(count))", "`$(urlfetch)` cannot hold `$(count)`"),
        ("!addcom yo -ul=king x", "unknown level `king`"),
        ("!addcom yo -a=hi x", "!hi exists already; choose another alias."),
        ("!addcom yo -a=yo x", "!yo exists already; choose another alias."),
        ("!addcom /ban x", "`/ban` cannot be a command's name"),
        ("!editcom hallo x", "There is no command !hallo; !commands lists what there is."),
        ("!editcom ho x", "There is no command !ho; did you mean !hi?"),
        ("!editcom hi $(usr)", "there is no variable"),
        ("!delcom", "Type !delcom <name>."),
        ("!delcom nothing", "There is no command !nothing"),
        ("!delcom hey", "!hey is an alias; use !alias remove hey."),
        ("!command", "Type !command add|edit"),
        ("!command dance", "Type !command add|edit"),
        ("!command options hi", "Type !command options <name>"),
        ("!command options hi -cd=3 text", "Type !command options <name>"),
        ("!command options hey -cd=3", "!hey is an alias; name the command"),
        ("!command options nothing -cd=3", "There is no command !nothing"),
        ("!command disable", "Type !command disable <name>."),
        ("!command options hi -ul=owner", "Your own level is moderator"),
        (long.as_str(), "the text has more than 1000 characters."),
    ] {
        let reply = world.moderator(line).await;
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
    assert_eq!(world.viewer("!hi").await, "Hello");
}

#[tokio::test]
async fn a_command_above_the_callers_level_is_not_theirs_to_change() {
    let mut world = World::new().await;
    world.say(Level::Owner, "Own", "!addcom secret -ul=owner psst").await;
    for line in
        ["!editcom secret x", "!delcom secret", "!command disable secret", "!command options secret -cd=1"]
    {
        assert_eq!(
            world.moderator(line).await,
            "!secret is for the owner, and nobody else changes it.",
            "{line}"
        );
    }
    assert_eq!(
        world.moderator("!command disable editors").await,
        "!editors is for the owner, and nobody else changes it."
    );
    assert_eq!(world.say(Level::Owner, "Own", "!delcom secret").await, ["!secret removed."]);
}

#[tokio::test]
async fn a_viewer_lists_commands_and_changes_none() {
    let mut world = World::new().await;
    world.moderator("!addcom hi Hello").await;
    world.moderator("!addcom mods -ul=mod x").await;
    world.moderator("!addcom off x").await;
    world.moderator("!command disable off").await;
    world.moderator("!alias add hey hi").await;
    world.moderator("!command disable uptime").await;
    let list = world.viewer("!commands").await;
    assert!(
        list.starts_with("Commands: !hey, !hi, !bookmarks, !commands, !deaths, !help, !ping, !botuptime"),
        "{list}"
    );
    for hidden in ["!mods", "!off", "!addcom", "!uptime"] {
        assert!(!list.split([' ', ',']).any(|word| word == hidden), "{hidden}: {list}");
    }
    assert_eq!(world.viewer("!commands please").await, list);
    assert_eq!(world.viewer("!commands add x y").await, "Changing commands is for moderators and above.");
    assert!(world.moderator("!command list").await.contains("!mods"));
}

#[tokio::test]
async fn a_long_list_is_cut() {
    let mut world = World::new().await;
    for n in 0..60 {
        world.moderator(&format!("!addcom command{n:02} x")).await;
    }
    let list = world.viewer("!commands").await;
    assert!(list.ends_with(" more") && list.len() < 450, "{list}");
}

#[tokio::test]
async fn count_counts_each_line_once() {
    let mut world = World::new().await;
    world.moderator("!addcom hugs $(count) hugs").await;
    assert_eq!(world.viewer("!hugs").await, "1 hugs");
    for _ in 0..3 {
        let replies = world.deliver(Level::Everyone, "Ann", "!hugs", "same").await.unwrap();
        assert_eq!(replies[0].text, "2 hugs");
    }
    assert_eq!(world.viewer("!hugs").await, "3 hugs");
}

#[tokio::test]
async fn a_line_delivered_twice_adds_once_and_is_answered_alike() {
    let mut world = World::new().await;
    for _ in 0..2 {
        let replies = world.deliver(Level::Moderator, "Mod", "!addcom hi Hello", "same").await.unwrap();
        assert_eq!(replies[0].text, "!hi added.");
    }
}

#[tokio::test]
async fn an_edited_text_is_said_at_once() {
    let mut world = World::new().await;
    world.moderator("!addcom hi one").await;
    assert_eq!(world.viewer("!hi").await, "one");
    world.moderator("!editcom hi two $(touser)").await;
    assert_eq!(world.viewer("!hi @Bob").await, "two Bob");
}

#[tokio::test]
async fn what_a_viewer_typed_never_becomes_a_command() {
    let mut world = World::new().await;
    world.moderator("!addcom say $(query)").await;
    assert_eq!(world.viewer("!say /ban Bob $(count)").await, "ban Bob $(count)");
    assert!(world.say(Level::Everyone, "Ann", "!say").await.is_empty(), "nothing to say is silent");
}

#[tokio::test]
async fn an_operators_command_is_changed_for_this_community_only() {
    let mut world = World::new().await;
    let now = world.clock.now();
    let mut tx = world.services.db.begin().await.unwrap();
    let spec = storage::commands::CommandSpec::custom("echo", "$(query)");
    storage::commands::ensure_global_seed(&mut tx, &spec, now).await.unwrap();
    let broken = storage::commands::CommandSpec::custom("broken", "$(usr)");
    storage::commands::ensure_global_seed(&mut tx, &broken, now).await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.moderator("!delcom echo").await.starts_with("!echo is everywhere on this bot"));
    assert_eq!(world.moderator("!editcom echo You said $(query)").await, "!echo changed.");
    assert_eq!(world.viewer("!echo hi").await, "You said hi");
    let global =
        storage::commands::by_name(&world.services.db, storage::commands::CommandScope::Global, "echo");
    assert_eq!(global.await.unwrap().unwrap().spec.response, "$(query)");
    assert_eq!(world.moderator("!delcom echo").await, "!echo removed.");
    assert_eq!(world.viewer("!echo hi").await, "hi");
    assert!(world.viewer("!broken").await.contains("mend it with !editcom broken <text>."));
}
