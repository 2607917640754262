//! The gate as a function: table and line in, verdict out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{CommandLine, Level, Refusal};

use super::gate::{Gate, Passed};
use crate::actors::modules::{MODULES, Registry};
use crate::config::Config;
use crate::messages::{Chatter, CommandTable, CustomCommand, TableEntry};

fn gate() -> Gate {
    let limits = Config::local(std::iter::empty()).unwrap().limits;
    Gate::new(&limits, Registry::new(MODULES))
}

fn viewer(login: &str, level: Level) -> Chatter {
    let (platform_user_id, login) = (format!("id-{login}"), login.to_owned());
    Chatter { platform_user_id, display_name: login.clone(), login, level }
}

/// A table with `!hi` (5 s cooldown) and whatever `change` adds.
fn table(change: impl FnOnce(&mut CommandTable)) -> CommandTable {
    let mut table = CommandTable::default();
    table.commands.insert("hi".to_owned(), entry("Hello"));
    change(&mut table);
    table
}

fn entry(response: &str) -> TableEntry {
    TableEntry {
        module: "commands".to_owned(),
        level: Level::Everyone,
        cooldown_secs: 5,
        user_cooldown_secs: 0,
        enabled: true,
        custom: Some(Arc::new(CustomCommand { id: "1".to_owned(), response: response.to_owned() })),
    }
}

fn judge(
    gate: &mut Gate,
    table: &CommandTable,
    user: &Chatter,
    text: &str,
    now: Instant,
) -> Result<Passed, Refusal> {
    let line = CommandLine::parse(text).unwrap();
    gate.judge(table, user, line, now).map_err(|(_, refusal)| refusal)
}

#[test]
fn viewers_wait_for_a_cooldown_and_moderators_pass() {
    let (mut gate, table, now) = (gate(), table(|_| {}), Instant::now());
    let ann = viewer("ann", Level::Everyone);
    assert!(judge(&mut gate, &table, &ann, "!HI", now).is_ok());
    let refused = judge(&mut gate, &table, &ann, "!hi", now + Duration::from_millis(100)).unwrap_err();
    assert_eq!(refused, Refusal::Cooldown { seconds_left: 5 });
    assert!(judge(&mut gate, &table, &viewer("mo", Level::Moderator), "!hi", now).is_ok());
    assert!(judge(&mut gate, &table, &ann, "!hi", now + Duration::from_secs(6)).is_ok());
}

#[test]
fn a_failed_command_gives_its_cooldown_and_its_rate_slot_back() {
    let (mut gate, table, now) = (gate(), table(|_| {}), Instant::now());
    let ann = viewer("ann", Level::Everyone);
    for _ in 0..200 {
        let passed = judge(&mut gate, &table, &ann, "!hi", now).expect("everything was given back");
        gate.release(&passed.name, &ann, passed.reservation);
    }
}

#[test]
fn sixty_commands_a_minute_pass_and_the_next_is_refused() {
    let (mut gate, table, now) = (gate(), table(|_| {}), Instant::now());
    let ann = viewer("ann", Level::Everyone);
    for _ in 0..60 {
        assert!(judge(&mut gate, &table, &ann, "!ping", now).is_ok());
    }
    let refused = judge(&mut gate, &table, &ann, "!ping", now).unwrap_err();
    assert_eq!(refused, Refusal::RateLimited { seconds_left: 60 });
    assert!(judge(&mut gate, &table, &ann, "!help", now).is_ok(), "another command has a window of its own");
    assert!(judge(&mut gate, &table, &viewer("bob", Level::Everyone), "!ping", now).is_ok());
    assert!(judge(&mut gate, &table, &ann, "!ping", now + Duration::from_secs(61)).is_ok());
}

#[test]
fn levels_are_enforced_and_stored_roles_count() {
    let now = Instant::now();
    let ann = viewer("ann", Level::Everyone);
    let refused = judge(&mut gate(), &table(|_| {}), &ann, "!addcom !x y", now).unwrap_err();
    assert_eq!(refused, Refusal::Level { needed: Level::Moderator });
    let by_id = table(|table| table.roles.extend([("id-ann".to_owned(), Level::Editor)]));
    assert_eq!(judge(&mut gate(), &by_id, &ann, "!addcom !x y", now).unwrap().level, Level::Editor);
    let by_login = table(|table| table.roles.extend([("login:ann".to_owned(), Level::Editor)]));
    assert!(judge(&mut gate(), &by_login, &ann, "!addcom !x y", now).is_ok());
}

#[test]
fn what_is_switched_off_or_unknown_is_refused_by_name() {
    let (now, ann) = (Instant::now(), viewer("ann", Level::Owner));
    let off = table(|table| {
        table.modules.insert("ping".to_owned(), false);
        table.commands.insert("dead".to_owned(), TableEntry { enabled: false, ..entry("x") });
    });
    let refusal = |text: &str| judge(&mut gate(), &off, &ann, text, now).unwrap_err();
    assert_eq!(refusal("!ping"), Refusal::ModuleDisabled { module: "ping".to_owned() });
    assert_eq!(refusal("!dead"), Refusal::CommandDisabled { command: "dead".to_owned() });
    assert_eq!(refusal("!nope"), Refusal::Unknown { command: "nope".to_owned() });
}

#[test]
fn an_alias_is_followed_three_deep_and_no_deeper() {
    let (now, ann) = (Instant::now(), viewer("ann", Level::Everyone));
    let chain = table(|table| {
        for (name, body) in
            [("a", "!b {args}"), ("b", "!c {args}"), ("c", "!hi {args}"), ("x", "!y"), ("y", "!x")]
        {
            table.aliases.insert(name.to_owned(), body.to_owned());
        }
    });
    let passed = judge(&mut gate(), &chain, &ann, "!a one two", now).unwrap();
    assert_eq!((&*passed.name, passed.args.as_str(), passed.alias.as_deref()), ("hi", "one two", Some("a")));
    assert_eq!(judge(&mut gate(), &chain, &ann, "!x", now).unwrap_err(), Refusal::AliasDepth);
}

#[test]
fn a_channels_own_entry_wins_over_the_built_in() {
    let (now, ann) = (Instant::now(), viewer("ann", Level::Everyone));
    let own = table(|table| {
        let restricted =
            TableEntry { module: "ping".to_owned(), level: Level::Vip, custom: None, ..entry("") };
        table.commands.insert("ping".to_owned(), restricted);
    });
    assert_eq!(
        judge(&mut gate(), &own, &ann, "!ping", now).unwrap_err(),
        Refusal::Level { needed: Level::Vip }
    );
}
