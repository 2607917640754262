use std::sync::Arc;

use chrono::DateTime;
use storage::event_log::event_id;

use super::*;
use crate::messages::EventRecord;

fn at() -> DateTime<Utc> {
    "2026-05-01T18:00:00Z".parse().unwrap()
}

fn logged(what: What) -> Logged {
    let record = EventRecord { user_login: "ann".into(), ..EventRecord::about(None, what) };
    Logged { id: event_id(at(), 0), record: Arc::new(record) }
}

fn ended(module: Option<&'static str>, outcome: Outcome) -> Logged {
    let (command, level) = ("ban".into(), Level::Everyone);
    logged(What::Ended { command, module: module.map(Into::into), level, outcome, duration_us: 1_500 })
}

const ASKED: Asked = Asked { is_on: true, is_narrow: true, kept: TimeDelta::days(7) };

#[test]
fn a_refusal_says_what_to_change() {
    let refusals = [
        (
            Refusal::Level { needed: Level::Moderator },
            "ann has everyone; lower it with `!command options ban",
        ),
        (Refusal::Unknown { command: "ban".to_owned() }, "add it with `!addcom ban <text>`"),
        (Refusal::ModuleDisabled { module: "ping".to_owned() }, "module ping is switched off"),
        (Refusal::CommandDisabled { command: "ban".to_owned() }, "`!command enable ban`"),
        (Refusal::Cooldown { seconds_left: 4 }, "4 s were left; moderators pass"),
        (Refusal::RateLimited { seconds_left: 9 }, "limits.command_rate"),
        (
            Refusal::Unavailable { module: "ping".to_owned(), retry_at: Some(at()) },
            "until 2026-05-01 18:00:00",
        ),
        (Refusal::Busy { module: "ping".to_owned() }, "too many calls waited"),
        (Refusal::AliasDepth, "`!alias remove ban`"),
        (Refusal::NotLoaded, "could not be read in time"),
    ];
    for (refusal, wanted) in refusals {
        let told = sentence(&ended(None, Outcome::Refused { refusal }));
        assert!(told.contains("was refused: ") && told.contains(wanted), "{told}");
    }
}

#[test]
fn each_outcome_is_told_with_its_module_and_its_time() {
    let told = sentence(&ended(Some("commands"), Outcome::Answered));
    assert_eq!(
        told,
        "!ban by ann, received at 2026-05-01 17:59:59.998 UTC, was answered by the module commands (1.5 ms later)"
    );
    for (outcome, wanted) in [
        (Outcome::Silent, "nothing to say"),
        (Outcome::Failed, "failed in the module commands"),
        (Outcome::TimedOut, "limits.module_timeout_ms"),
        (Outcome::Shed, "a queue on its way was full"),
        (Outcome::Moved, "was not begun"),
    ] {
        let told = sentence(&ended(Some("commands"), outcome));
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn what_became_of_a_reply_and_of_a_connection_is_told() {
    let queued = What::Send { state: SendState::Queued, why: Some("the account's send limit".into()) };
    let gap = What::Gap { from: at(), to: None, reason: "lost".into() };
    for (what, wanted) in [
        (What::written(), "was written"),
        (What::dropped("stale"), "limits.reply_max_age_secs"),
        (queued, "the reply waits: the account's send limit"),
        (What::Shed { reason: "channel_full".into(), count: 7 }, "7 lines were shed within a second"),
        (What::Duplicate { source: "router".into() }, "came again over router and was not run again"),
        (gap, "was not read (connection lost)"),
        (What::Lost { count: 3 }, "3 records of this log were dropped"),
    ] {
        let told = sentence(&logged(what));
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn nothing_found_says_what_that_means() {
    let told = conclusion(ASKED, &[], &[]).join("\n");
    assert!(told.contains("older than 7 days") && told.contains("most likely no command"), "{told}");
    let gap = logged(What::Gap { from: at(), to: None, reason: "lost".into() });
    let told = conclusion(ASKED, &[], &[gap]).join("\n");
    assert!(
        told.contains("compare its time") && told.contains("has not been read since 2026-05-01"),
        "{told}"
    );
    let told = conclusion(Asked { is_on: false, ..ASKED }, &[], &[]).join("\n");
    assert!(told.contains("telemetry.event_log_days"), "{told}");
}

#[test]
fn an_answer_whose_reply_is_still_on_its_way_is_told_so() {
    let answered = [ended(Some("ping"), Outcome::Answered)];
    assert!(conclusion(ASKED, &answered, &[])[0].contains("no reply has been written yet"));
    let [answered] = answered;
    assert!(conclusion(ASKED, &[answered, logged(What::written())], &[]).is_empty());
}
