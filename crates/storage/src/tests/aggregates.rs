use std::time::Duration;

use domain::Platform;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{append, new_channel, write};
use crate::bot_accounts::{self, AccountName, Tokens};
use crate::cooldowns::{self, Cooldown};
use crate::settings::{self, SettingsScope};
use crate::testing::{on_both, start_of_tests};
use crate::timers::{self, Enabled, TimerSpec};
use crate::{AuditEntry, Db, StorageError, Vault, aliases, audit, counters, module_states};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn aliases_are_unique_in_their_channel_and_counted() {
    on_both(|db| async move {
        let (ann, bob) = (new_channel(&db, "ann").await, new_channel(&db, "bob").await);
        let now = start_of_tests();
        let add = async |channel, body: &str| {
            write(&db, async |tx| aliases::add(tx, channel, "so", body, now).await).await.unwrap()
        };
        let id = add(ann.id, "!shoutout {args}").await.unwrap();
        assert_eq!(add(ann.id, "!other").await, None);
        assert!(add(bob.id, "!other").await.is_some());
        assert_eq!(write(&db, async |tx| aliases::bump_count(tx, id).await).await.unwrap(), Some(1));
        aliases::count_uses(&db, ann.id, &[("so".into(), 4), ("gone".into(), 1)]).await.unwrap();
        let found = aliases::get(&db, ann.id, "so").await.unwrap().unwrap();
        assert_eq!((found.body.as_str(), found.usage_count), ("!shoutout {args}", 5));
        assert_eq!(aliases::list(&db, ann.id).await.unwrap(), std::slice::from_ref(&found));
        let removed = write(&db, async |tx| aliases::remove_by_id(tx, id).await).await.unwrap();
        assert_eq!(removed, Some(found));
        assert!(!write(&db, async |tx| aliases::remove(tx, ann.id, "so").await).await.unwrap());
        assert!(write(&db, async |tx| aliases::remove(tx, bob.id, "so").await).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn counters_add_set_and_stop_at_their_range() {
    on_both(|db| async move {
        let community = new_channel(&db, "ann").await.community_id;
        let now = start_of_tests();
        assert!(write(&db, async |tx| counters::create(tx, community, "wins", now).await).await.unwrap());
        assert!(!write(&db, async |tx| counters::create(tx, community, "wins", now).await).await.unwrap());
        let add = async |delta| {
            write(&db, async |tx| counters::add(tx, community, "wins", delta, now).await).await.unwrap()
        };
        assert_eq!((add(3).await, add(-5).await), (3, -2));
        assert_eq!(add(i64::MAX).await, counters::VALUE_MAX - 2);
        assert_eq!(add(i64::MAX).await, counters::VALUE_MAX);
        write(&db, async |tx| counters::set(tx, community, "wins", 7, now).await).await.unwrap();
        let listed = counters::list(&db, community, "", 10).await.unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].value), (1, "wins", 7));
        assert!(write(&db, async |tx| counters::remove(tx, community, "wins").await).await.unwrap());
        assert_eq!(counters::get(&db, community, "wins").await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_due_timer_is_claimed_by_exactly_one() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let due_at = start_of_tests() + secs(60);
        let spec = TimerSpec {
            name: "hydrate".into(),
            body: "drink".into(),
            interval_secs: 900,
            min_lines: 5,
            only_live: true,
        };
        let add = async || {
            write(&db, async |tx| timers::add(tx, ann.id, &spec, due_at, start_of_tests()).await)
                .await
                .unwrap()
        };
        let id = add().await.unwrap();
        assert_eq!(add().await, None);
        assert_eq!(timers::due(&db, due_at - secs(1), None, 10).await.unwrap(), []);
        let due = timers::due(&db, due_at, None, 10).await.unwrap();
        assert_eq!((due.len(), due[0].id, &due[0].spec), (1, id, &spec));
        let next = due_at + secs(900);
        let claims = (0..8).map(|_| write(&db, async |tx| timers::claim_due(tx, id, due_at, next).await));
        let claims = futures_util::future::try_join_all(claims).await.unwrap();
        assert_eq!(claims.iter().filter(|claimed| **claimed).count(), 1);
        assert_eq!(timers::list(&db, ann.id).await.unwrap()[0].next_due_at, next);
    })
    .await;
}

#[tokio::test]
async fn a_disabled_timer_and_one_of_a_removed_channel_are_not_due() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let now = start_of_tests();
        let spec = TimerSpec {
            name: "t".into(),
            body: "x".into(),
            interval_secs: 60,
            min_lines: 0,
            only_live: false,
        };
        write(&db, async |tx| timers::add(tx, ann.id, &spec, now, now).await).await.unwrap();
        let switch = async |enabled| {
            write(&db, async |tx| timers::set_enabled(tx, ann.id, "t", enabled, now).await).await.unwrap()
        };
        assert!(switch(Enabled::Off).await);
        assert_eq!(timers::due(&db, now, None, 10).await.unwrap(), []);
        assert!(switch(Enabled::On { next_due_at: now }).await);
        assert_eq!(timers::due(&db, now, None, 10).await.unwrap().len(), 1);
        write(&db, async |tx| crate::channels::deactivate(tx, ann.id, now).await).await.unwrap();
        assert_eq!(timers::due(&db, now, None, 10).await.unwrap(), []);
        assert!(write(&db, async |tx| timers::remove(tx, ann.id, "t").await).await.unwrap());
        let wrong = TimerSpec { interval_secs: 0, ..spec };
        assert!(write(&db, async |tx| timers::add(tx, ann.id, &wrong, now, now).await).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn cooldowns_that_still_run_are_loaded_and_ended_ones_pruned() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let now = start_of_tests();
        let cooldown = |user: Option<&str>, left| Cooldown {
            channel_id: ann.id,
            command: "hi".into(),
            platform_user_id: user.map(str::to_owned),
            person_id: None,
            expires_at: now + secs(left),
        };
        let batch = [cooldown(None, 100), cooldown(Some("1"), 200)];
        cooldowns::save(&db, &batch).await.unwrap();
        cooldowns::save(&db, &[cooldown(None, 300)]).await.unwrap();
        let loaded = cooldowns::load(&db, ann.id, now).await.unwrap();
        assert_eq!(loaded, [cooldown(None, 300), cooldown(Some("1"), 200)]);
        assert_eq!(cooldowns::load(&db, ann.id, now + secs(250)).await.unwrap().len(), 1);
        assert_eq!(cooldowns::prune(&db, now + secs(250), 10).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn settings_of_the_channel_win_over_those_of_its_community() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        let whole = SettingsScope { community_id: ann.community_id, channel_id: None };
        let own = SettingsScope { channel_id: Some(ann.id), ..whole };
        let set = async |scope, module: &str, n: i64| {
            let body = json!({ "n": n });
            write(&db, async |tx| settings::set(tx, scope, module, &body, start_of_tests()).await)
                .await
                .unwrap();
        };
        set(whole, "commands", 1).await;
        set(whole, "timers", 2).await;
        set(own, "commands", 3).await;
        set(own, "commands", 4).await;
        let seen = settings::for_channel(&db, ann.id, ann.community_id).await.unwrap();
        assert_eq!(seen, [("commands".into(), json!({"n": 4})), ("timers".into(), json!({"n": 2}))]);
        assert_eq!(settings::get(&db, whole, "commands").await.unwrap(), Some(json!({"n": 1})));
        assert_eq!(settings::get(&db, own, "timers").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_module_stays_as_it_was_switched() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        for is_enabled in [true, false] {
            write(&db, async |tx| {
                module_states::set(tx, ann.id, "counters", is_enabled, start_of_tests()).await
            })
            .await
            .unwrap();
        }
        let states = module_states::of_channel(&db, ann.id).await.unwrap();
        assert_eq!((states.len(), states[0].module.as_str(), states[0].is_enabled), (1, "counters", false));
    })
    .await;
}

async fn account(db: &Db, vault: &Vault, login: &str) -> AccountName {
    let name = AccountName { platform: Platform::Twitch, login: login.into(), community_id: None };
    let tokens = Tokens {
        access_token: SecretString::from(format!("access-{login}")),
        refresh_token: Some(SecretString::from(format!("refresh-{login}"))),
        expires_at: Some(start_of_tests() + secs(3_600)),
    };
    write(db, async |tx| {
        let id = bot_accounts::ensure(tx, &name, start_of_tests()).await?;
        assert_eq!(bot_accounts::ensure(tx, &name, start_of_tests()).await?, id);
        bot_accounts::set_tokens(tx, vault, id, &tokens, start_of_tests()).await
    })
    .await
    .unwrap();
    name
}

#[tokio::test]
async fn tokens_are_unreadable_in_the_database_and_refuse_to_be_swapped() {
    on_both(|db| async move {
        let vault = Vault::from_key([3; 32]).unwrap();
        let (ann, bob) = (account(&db, &vault, "ann").await, account(&db, &vault, "bob").await);
        let stored = bot_accounts::get(&db, &vault, &ann).await.unwrap().unwrap();
        assert_eq!(stored.access_token.unwrap().expose_secret(), "access-ann");
        assert_eq!(stored.refresh_token.unwrap().expose_secret(), "refresh-ann");
        assert_eq!(stored.expires_at, Some(start_of_tests() + secs(3_600)));
        assert_eq!(bot_accounts::list(&db, &vault, Platform::Twitch).await.unwrap().len(), 2);
        let other_key = Vault::from_key([4; 32]).unwrap();
        assert!(bot_accounts::get(&db, &other_key, &ann).await.is_err());
        let swap = "UPDATE bot_accounts SET access_token = \
             (SELECT access_token FROM bot_accounts WHERE login = 'ann') WHERE login = 'bob'";
        write(&db, async |tx| tx.run_script(swap).await).await.unwrap();
        let error = bot_accounts::get(&db, &vault, &bob).await.unwrap_err().to_string();
        assert!(error.contains("copied from another row"), "{error}");
        assert!(!error.contains("access-"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_audit_log_is_paged_and_cannot_be_rewritten() {
    on_both(|db| async move {
        let ann = new_channel(&db, "ann").await;
        for n in 0..5 {
            let entry = AuditEntry {
                channel_id: (n > 2).then_some(ann.id),
                detail: json!({ "n": n }),
                ..AuditEntry::new("twitch:ann", "command.add", format!("!c{n}"))
            };
            let at = start_of_tests() + secs(n);
            append(&db, entry, at).await.unwrap();
        }
        let first = audit::list(&db, None, None, 2).await.unwrap();
        let second = audit::list(&db, None, first.last().map(|row| row.id), 10).await.unwrap();
        let targets: Vec<_> = first.iter().chain(&second).map(|row| row.entry.target.as_str()).collect();
        assert_eq!(targets, ["!c4", "!c3", "!c2", "!c1", "!c0"]);
        assert_eq!(first[0].at, start_of_tests() + secs(4));
        assert_eq!(audit::list(&db, Some(ann.id), None, 10).await.unwrap().len(), 2);
        let rewrite =
            write(&db, async |tx| tx.run_script("UPDATE audit_log SET actor = 'nobody'").await).await;
        assert!(rewrite.unwrap_err().to_string().contains("append-only"));
        let endless = AuditEntry { detail: json!("x".repeat(5_000)), ..AuditEntry::new("a", "b", "c") };
        let appended = append(&db, endless, start_of_tests()).await;
        assert!(matches!(appended.unwrap_err(), StorageError::Invalid { .. }));
    })
    .await;
}
