//! Cooldowns as people meet them.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn spec(global_secs: u64, user_secs: u64) -> CooldownSpec {
    CooldownSpec { global: Duration::from_secs(global_secs), user: Duration::from_secs(user_secs) }
}

#[test]
fn a_global_cooldown_holds_for_everybody() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    assert_eq!(cooldowns.reserve("hi", "ann", spec(5, 0), now), Ok(()));
    assert_eq!(cooldowns.reserve("hi", "bob", spec(5, 0), now + SECOND), Err(4 * SECOND));
    assert_eq!(cooldowns.reserve("ho", "bob", spec(5, 0), now + SECOND), Ok(()));
    assert_eq!(cooldowns.reserve("hi", "bob", spec(5, 0), now + 5 * SECOND), Ok(()));
}

#[test]
fn a_user_cooldown_holds_for_that_person() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    assert_eq!(cooldowns.reserve("hi", "ann", spec(2, 30), now), Ok(()));
    assert_eq!(cooldowns.reserve("hi", "bob", spec(2, 30), now + 2 * SECOND), Ok(()));
    assert_eq!(cooldowns.reserve("hi", "ann", spec(2, 30), now + 3 * SECOND), Err(27 * SECOND));
}

#[test]
fn a_failed_command_gives_its_own_reservation_back() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    cooldowns.reserve("hi", "ann", spec(5, 60), now).unwrap();
    cooldowns.release("hi", "ann", now);
    assert_eq!(cooldowns.reserve("hi", "ann", spec(5, 60), now + SECOND), Ok(()));
    cooldowns.release("hi", "ann", now);
    assert_eq!(cooldowns.reserve("hi", "ann", spec(5, 60), now + SECOND), Err(60 * SECOND));
}

#[test]
fn no_cooldown_remembers_nothing() {
    let mut cooldowns = Cooldowns::default();
    cooldowns.reserve("hi", "ann", CooldownSpec::default(), Instant::now()).unwrap();
    assert!(cooldowns.is_empty());
}

#[test]
fn long_ones_survive_a_restart() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    cooldowns.reserve("so", "ann", spec(60, 3600), now).unwrap();
    let stored: Vec<_> = cooldowns.left_over(now, 60 * SECOND).collect();
    assert_eq!(stored, [(now, CooldownLeft { command: "so", user: Some("ann"), left: 3600 * SECOND })]);

    let mut restarted = Cooldowns::default();
    restarted.restore(stored[0].1, now);
    assert_eq!(restarted.reserve("so", "ann", spec(60, 3600), now + SECOND), Err(3599 * SECOND));
    assert_eq!(restarted.reserve("so", "bob", spec(60, 3600), now + SECOND), Ok(()));
}

#[test]
fn a_stored_one_never_shortens_a_running_one() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    cooldowns.reserve("so", "ann", spec(600, 0), now).unwrap();
    cooldowns.restore(CooldownLeft { command: "so", user: None, left: 70 * SECOND }, now);
    assert_eq!(cooldowns.reserve("so", "ann", spec(600, 0), now), Err(600 * SECOND));
}

#[test]
fn a_full_memory_drops_what_runs_out_first() {
    let now = Instant::now();
    let mut cooldowns = Cooldowns::default();
    for n in 0..COOLDOWNS_MAX as u64 {
        cooldowns.reserve("c", &n.to_string(), spec(0, 100 + n), now).unwrap();
    }
    cooldowns.reserve("c", "new", spec(0, 50), now).unwrap();
    assert_eq!(cooldowns.len(), COOLDOWNS_MAX);
    assert_eq!(cooldowns.reserve("c", "1", spec(0, 1), now), Err(101 * SECOND), "the second oldest stays");
    assert_eq!(cooldowns.reserve("c", "0", spec(0, 1), now), Ok(()), "the oldest went");
    cooldowns.prune(now + Duration::from_hours(9));
    assert!(cooldowns.is_empty());
}

#[test]
fn seconds_are_rounded_up() {
    assert_eq!(seconds_left(Duration::from_millis(1)), 1);
    assert_eq!(seconds_left(Duration::from_millis(4_001)), 5);
    assert_eq!(seconds_left(4 * SECOND), 4);
    assert_eq!(seconds_left(Duration::MAX), u32::MAX);
}

#[test]
fn a_refusal_is_said_once_per_user_command_and_window() {
    let now = Instant::now();
    let mut said = SaidOnce::default();
    assert!(said.should_say("ann", "hi", now, 30 * SECOND));
    assert!(!said.should_say("ann", "hi", now + 29 * SECOND, 30 * SECOND));
    assert!(said.should_say("bob", "hi", now, 30 * SECOND));
    assert!(said.should_say("ann", "ho", now, 30 * SECOND));
    assert!(said.should_say("ann", "hi", now + 30 * SECOND, 30 * SECOND));
}

#[test]
fn what_was_said_is_bounded() {
    let now = Instant::now();
    let mut said = SaidOnce::default();
    for n in 0..3 * SAID_MAX {
        assert!(said.should_say(&n.to_string(), "hi", now, SECOND));
    }
    assert_eq!(said.said.len(), SAID_MAX);
}

proptest! {
    #[test]
    fn a_command_never_runs_twice_within_its_cooldown(
        calls in prop::collection::vec((0usize..3, 0u64..4), 1..100),
        global_secs in 0u64..4,
        user_secs in 0u64..9,
    ) {
        let users = ["ann", "bob", "eve"];
        let mut now = Instant::now();
        let mut cooldowns = Cooldowns::default();
        let mut ran: Vec<(usize, Instant)> = Vec::new();
        for (user, wait_secs) in calls {
            now += Duration::from_secs(wait_secs);
            let rests = ran.iter().any(|(who, at)| {
                now - *at < Duration::from_secs(global_secs)
                    || (*who == user && now - *at < Duration::from_secs(user_secs))
            });
            let reserved = cooldowns.reserve("x", users[user], spec(global_secs, user_secs), now);
            prop_assert_eq!(reserved.is_err(), rests);
            if !rests {
                ran.push((user, now));
            }
        }
    }
}
