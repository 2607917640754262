use domain::Level;

use super::{new_channel, write};
use crate::commands::{self, CommandScope, CommandSpec};
use crate::testing::{on_both, start_of_tests};
use crate::{Db, StorageError};

async fn add(db: &Db, scope: CommandScope, name: &str, response: &str) -> Option<ulid::Ulid> {
    let spec = CommandSpec::custom(name, response);
    write(db, async |tx| commands::add(tx, scope, &spec, start_of_tests()).await).await.unwrap()
}

#[tokio::test]
async fn a_channels_command_wins_over_its_communitys_and_that_over_a_global_one() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let bob = new_channel(&db, "bob").await;
        for name in ["one", "two", "three"] {
            add(&db, CommandScope::Global, name, "global").await.unwrap();
        }
        for name in ["one", "two"] {
            add(&db, CommandScope::Community(ann.community_id), name, "community").await.unwrap();
        }
        add(&db, CommandScope::Channel(ann.id), "one", "channel").await.unwrap();
        let seen = async |channel: &crate::channels::Channel| {
            let commands = commands::for_channel(&db, channel.id, channel.community_id).await.unwrap();
            let seen = commands.into_iter().map(|command| (command.spec.command, command.spec.response));
            seen.collect::<Vec<_>>()
        };
        let pair = |name: &str, from: &str| (name.to_owned(), from.to_owned());
        assert_eq!(
            seen(&ann).await,
            [pair("one", "channel"), pair("three", "global"), pair("two", "community")]
        );
        assert_eq!(seen(&bob).await, [pair("one", "global"), pair("three", "global"), pair("two", "global")]);
    })
    .await;
}

#[tokio::test]
async fn a_disabled_command_of_the_channel_still_hides_the_global_one() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        add(&db, CommandScope::Global, "hi", "global").await.unwrap();
        let id = add(&db, CommandScope::Channel(ann.id), "hi", "channel").await.unwrap();
        assert!(
            write(&db, async |tx| commands::set_enabled(tx, id, false, start_of_tests()).await)
                .await
                .unwrap()
        );
        let seen = commands::for_channel(&db, ann.id, ann.community_id).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].id, seen[0].spec.is_enabled), (id, false));
    })
    .await;
}

#[tokio::test]
async fn a_scope_has_each_name_once() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let scopes =
            [CommandScope::Global, CommandScope::Community(ann.community_id), CommandScope::Channel(ann.id)];
        for scope in scopes {
            assert!(add(&db, scope, "hi", "first").await.is_some());
            assert!(add(&db, scope, "hi", "second").await.is_none());
            let found = commands::by_name(&db, scope, "hi").await.unwrap().unwrap();
            assert_eq!((found.scope, found.spec.response.as_str()), (scope, "first"));
        }
        let other = add(&db, CommandScope::Global, "ho", "third").await.unwrap();
        let taken = CommandSpec::custom("hi", "third");
        let edit = write(&db, async |tx| commands::edit(tx, other, &taken, start_of_tests()).await).await;
        assert_eq!(edit.unwrap_err(), StorageError::Conflict);
        let endless = CommandSpec::custom("x".repeat(101), "");
        let added =
            write(&db, async |tx| commands::add(tx, CommandScope::Global, &endless, start_of_tests()).await)
                .await;
        assert!(matches!(added.unwrap_err(), StorageError::Invalid { .. }));
    })
    .await;
}

#[tokio::test]
async fn edit_count_and_remove_answer_absence() {
    on_both(|db| async move {
        let id = add(&db, CommandScope::Global, "hi", "Hello").await.unwrap();
        let mut spec = CommandSpec::custom("hi", "Hello $(user)");
        spec.level = Level::Moderator;
        spec.cooldown_secs = 30;
        assert!(write(&db, async |tx| commands::edit(tx, id, &spec, start_of_tests()).await).await.unwrap());
        assert_eq!(write(&db, async |tx| commands::bump_count(tx, id).await).await.unwrap(), Some(1));
        assert_eq!(write(&db, async |tx| commands::bump_count(tx, id).await).await.unwrap(), Some(2));
        let found = commands::get(&db, id).await.unwrap().unwrap();
        assert_eq!((&found.spec, found.use_count, found.updated_at), (&spec, 2, start_of_tests()));
        assert!(write(&db, async |tx| commands::remove(tx, id).await).await.unwrap());
        assert!(!write(&db, async |tx| commands::remove(tx, id).await).await.unwrap());
        assert!(!write(&db, async |tx| commands::edit(tx, id, &spec, start_of_tests()).await).await.unwrap());
        assert_eq!(write(&db, async |tx| commands::bump_count(tx, id).await).await.unwrap(), None);
        assert_eq!(commands::get(&db, id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let scope = CommandScope::Channel(ann.id);
        for n in 0..25 {
            add(&db, scope, &format!("c{n:02}"), "x").await.unwrap();
        }
        let (mut after, mut names) = (String::new(), Vec::new());
        loop {
            let page = commands::list(&db, scope, &after, 10).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.spec.command);
            names.extend(page.into_iter().map(|command| command.spec.command));
        }
        assert_eq!(names, (0..25).map(|n| format!("c{n:02}")).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_configured_command_follows_the_configuration_but_stays_disabled() {
    on_both(|db| async move {
        let seed = async |spec: &CommandSpec| {
            write(&db, async |tx| commands::ensure_global_seed(tx, spec, start_of_tests()).await)
                .await
                .unwrap()
        };
        let mut spec = CommandSpec::custom("echo", "$(query)");
        assert!(seed(&spec).await);
        assert!(!seed(&spec).await, "nothing changed");
        let id = commands::by_name(&db, CommandScope::Global, "echo").await.unwrap().unwrap().id;
        write(&db, async |tx| commands::set_enabled(tx, id, false, start_of_tests()).await).await.unwrap();
        spec.response = "you said $(query)".into();
        assert!(seed(&spec).await);
        let found = commands::get(&db, id).await.unwrap().unwrap();
        assert_eq!((found.spec.response.as_str(), found.spec.is_enabled), ("you said $(query)", false));
    })
    .await;
}
