use std::time::{Duration, Instant};

use chrono::TimeZone;
use proptest::prelude::*;

use super::*;

const NEW_YORK: Tz = Tz::America__New_York;

/// 2 September 1997 at nine in New York, where the RFC's examples begin.
fn start() -> DateTime<Tz> {
    NEW_YORK.with_ymd_and_hms(1997, 9, 2, 9, 0, 0).unwrap()
}

/// What a rule gives in New York, as `0902T09`, at most `n`.
fn of_rfc(rule: &str, n: usize) -> Vec<String> {
    let recurrence = Recurrence::parse(rule, start()).unwrap();
    recurrence
        .occurrences()
        .take(n)
        .map(|at| at.with_timezone(&NEW_YORK).format("%y%m%dT%H%M").to_string())
        .collect()
}

/// Days of 1997 at nine.
fn at_nine(days: &[&str]) -> Vec<String> {
    days.iter().map(|day| format!("{day}T0900")).collect()
}

#[test]
fn the_examples_of_the_rfc_come_as_it_says() {
    for (rule, days) in [
        ("FREQ=DAILY;COUNT=3", &["970902", "970903", "970904"][..]),
        ("FREQ=DAILY;INTERVAL=10;COUNT=5", &["970902", "970912", "970922", "971002", "971012"]),
        ("FREQ=WEEKLY;COUNT=4", &["970902", "970909", "970916", "970923"]),
        (
            "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
            &["970902", "970904", "970916", "970918", "970930", "971002", "971014", "971016"],
        ),
        (
            "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
            &[
                "970905", "971003", "971107", "971205", "980102", "980206", "980306", "980403", "980501",
                "980605",
            ],
        ),
        ("FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", &["970922", "971020", "971117", "971222", "980119", "980216"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-3;COUNT=4", &["970928", "971029", "971128", "971229"]),
        ("FREQ=MONTHLY;COUNT=3;BYMONTHDAY=2,15", &["970902", "970915", "971002"]),
        ("FREQ=YEARLY;COUNT=4;BYMONTH=6,7", &["980602", "980702", "990602", "990702"]),
        ("FREQ=YEARLY;INTERVAL=3;COUNT=4;BYYEARDAY=1,100,200", &["000101", "000409", "000718", "030101"]),
        ("FREQ=YEARLY;BYDAY=20MO;COUNT=3", &["980518", "990517", "000515"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;COUNT=3", &["980511", "990517", "000515"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=5", &["980213", "980313", "981113", "990813", "001013"]),
        (
            "DTSTART:19961105T090000\nFREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=3",
            &["961105", "001107", "041102"],
        ),
        ("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", &["970904", "971007", "971106"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=3", &["970929", "971030", "971127"]),
        ("FREQ=DAILY;UNTIL=19970905T000000Z", &["970902", "970903", "970904"]),
    ] {
        assert_eq!(of_rfc(rule, 20), at_nine(days), "{rule}");
    }
    assert_eq!(
        of_rfc("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T190000Z", 20),
        ["970902T0900", "970902T1200", "970902T1500"]
    );
    assert_eq!(of_rfc("FREQ=WEEKLY;UNTIL=19971224T000000Z", 100).len(), 17);
    assert_eq!(of_rfc("FREQ=DAILY;UNTIL=19971224T000000Z", 1_000).len(), 113);
}

#[test]
fn the_hour_stands_when_the_clocks_change() {
    let weekly =
        Recurrence::parse("FREQ=WEEKLY;COUNT=3", NEW_YORK.with_ymd_and_hms(1997, 10, 20, 9, 0, 0).unwrap());
    let in_utc: Vec<_> = weekly.unwrap().occurrences().map(|at| at.format("%m%dT%H").to_string()).collect();
    assert_eq!(in_utc, ["1020T13", "1027T14", "1103T14"]);
    let berlin = Tz::Europe__Berlin.with_ymd_and_hms(2030, 3, 30, 2, 30, 0).unwrap();
    let nightly = Recurrence::parse("FREQ=DAILY;COUNT=3", berlin).unwrap();
    let in_utc: Vec<_> = nightly.occurrences().map(|at| at.format("%m%dT%H%M").to_string()).collect();
    // On the 31st the clocks go from two to three: half past two is then half past three.
    assert_eq!(in_utc, ["0330T0130", "0331T0130", "0401T0030"]);
    let autumn = Tz::Europe__Berlin.with_ymd_and_hms(2030, 10, 26, 2, 30, 0).unwrap();
    let nightly = Recurrence::parse("FREQ=DAILY;COUNT=3", autumn).unwrap();
    let in_utc: Vec<_> = nightly.occurrences().map(|at| at.format("%m%dT%H%M").to_string()).collect();
    // On the 27th half past two comes twice and is told once, the first time.
    assert_eq!(in_utc, ["1026T0030", "1027T0030", "1028T0130"]);
}

#[test]
fn a_leap_day_comes_in_leap_years_and_nowhere_else() {
    let leap = Tz::UTC.with_ymd_and_hms(2028, 2, 29, 9, 0, 0).unwrap();
    let days = |rule: &str| {
        let recurrence = Recurrence::parse(rule, leap).unwrap();
        recurrence.occurrences().map(|at| at.format("%Y%m%d").to_string()).take(4).collect::<Vec<_>>()
    };
    assert_eq!(days("FREQ=YEARLY"), ["20280229", "20320229", "20360229"]);
    assert_eq!(days("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1;COUNT=2"), ["20280229", "20290228"]);
    assert_eq!(days("FREQ=MONTHLY;BYMONTHDAY=31;COUNT=3"), ["20280331", "20280531", "20280731"]);
}

#[test]
fn it_ends_with_its_count_its_last_day_or_after_ten_years() {
    let counted = Recurrence::parse("FREQ=DAILY;COUNT=3", start()).unwrap();
    let mut at = counted.first(start().to_utc()).unwrap();
    let mut n = 1;
    while let Some(next) = counted.after(at) {
        assert!(next > at);
        (at, n) = (next, n + 1);
    }
    assert_eq!(n, 3);
    assert_eq!(of_rfc("FREQ=DAILY;UNTIL=19970904", 9), at_nine(&["970902", "970903", "970904"]));
    assert_eq!(of_rfc("FREQ=DAILY;UNTIL=19970904T085959", 9), at_nine(&["970902", "970903"]));
    let endless = Recurrence::parse("FREQ=MONTHLY", start()).unwrap();
    assert_eq!(endless.occurrences().count(), 121);
}

#[test]
fn exceptions_are_left_out_and_count() {
    let rule = "RRULE:FREQ=DAILY;COUNT=5\nEXDATE;TZID=America/New_York:19970903T090000\nEXDATE:19970905,19970906T130000Z";
    assert_eq!(of_rfc(rule, 9), at_nine(&["970902", "970904"]));
    let all = "FREQ=DAILY;COUNT=1\nEXDATE;VALUE=DATE:19970902";
    let recurrence = Recurrence::parse(all, start()).unwrap();
    assert_eq!(recurrence.first(start().to_utc()), Err(RecurrenceError::Never));
}

#[test]
fn its_start_is_kept_and_what_is_stored_reads_the_same() {
    let text =
        "DTSTART;TZID=Europe/Berlin:20300501T180000\r\nRRULE:FREQ=WEEKLY;UNTIL=20300601\nEXDATE:20300508";
    let read = Recurrence::parse(text, start()).unwrap();
    assert_eq!(read.zone(), Tz::Europe__Berlin);
    let now = "2030-05-01T12:00:00Z".parse().unwrap();
    let first: DateTime<Utc> = read.first(now).unwrap();
    assert_eq!(first.to_rfc3339(), "2030-05-01T16:00:00+00:00");
    assert_eq!(read.after(first).unwrap().to_rfc3339(), "2030-05-15T16:00:00+00:00");
    assert_eq!(
        read.to_string(),
        "DTSTART;TZID=Europe/Berlin:20300501T180000\nRRULE:FREQ=WEEKLY;UNTIL=20300601T215959Z\nEXDATE:20300508"
    );
    assert_eq!(Recurrence::parse(&read.to_string(), start()).unwrap(), read);
}

#[test]
fn hostile_rules_are_refused_with_the_reason_and_soon() {
    let list: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    let minutely = format!("FREQ=HOURLY;BYMINUTE={}", list.join(","));
    let long = format!("FREQ=DAILY;BYMONTH={}", "1,".repeat(1_000));
    for (rule, want) in [
        ("", "needs one line such as FREQ=DAILY"),
        ("COUNT=3", "needs one line such as FREQ=DAILY"),
        ("FREQ=SECONDLY", "must be HOURLY"),
        ("FREQ=MINUTELY;INTERVAL=60", "must be HOURLY"),
        ("FREQ=DAILY;COUNT=4294967295", "COUNT must be 1 to 10000"),
        ("FREQ=DAILY;COUNT=99999999999999", "COUNT must be 1 to 10000"),
        ("FREQ=DAILY;COUNT=0", "COUNT must be 1 to 10000"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be 1 to 1000"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL must be 1 to 1000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=19971224T000000Z", "exclude each other"),
        ("FREQ=DAILY;UNTIL=soon", "`SOON` is no date"),
        ("FREQ=DAILY;UNTIL=19960101T000000Z", "UNTIL"),
        ("FREQ=DAILY;BYSECOND=0,1", "`BYSECOND=0,1` is no part"),
        ("FREQ=DAILY;FREQ=WEEKLY", "`FREQ=WEEKLY` is no part"),
        ("FREQ=DAILY;BYHOUR=25", "BYHOUR"),
        ("FREQ=WEEKLY;BYDAY=2MO", "numbers only with"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=HOURLY;BYHOUR=3;BYSETPOS=20", "no use with FREQ=HOURLY"),
        ("FREQ=DAILY\nFREQ=WEEKLY", "is not understood here"),
        ("FREQ=DAILY\nRDATE:19970903T090000", "is not understood here"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY", "is not understood here"),
        ("DTSTART;TZID=Mars/Olympus:19970902T090000\nRRULE:FREQ=DAILY", "no time zone `Mars/Olympus`"),
        ("DTSTART:never\nRRULE:FREQ=DAILY", "`never` is no date"),
        ("DTSTART:19900101T000000Z\nRRULE:FREQ=DAILY", "more than a year back"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes true"),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "never comes true"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "never comes true"),
        ("FREQ=YEARLY;INTERVAL=11;BYMONTH=1", "never comes true"),
        ("FREQ=YEARLY;BYMONTHDAY=1;BYSETPOS=300", "never comes true"),
        (&minutely, "less than 15 minutes"),
        ("FREQ=YEARLY;BYHOUR=1;BYMINUTE=0,14", "less than 15 minutes"),
        (&long, "at most 1000 bytes"),
    ] {
        let began = Instant::now();
        let error =
            Recurrence::parse(rule, start()).and_then(|read| read.first(start().to_utc())).unwrap_err();
        assert!(error.to_string().contains(want), "{rule:.60}: {error}");
        // Without optimization; a release takes a tenth of it.
        assert!(began.elapsed() < Duration::from_secs(5), "{rule:.60}: {:?}", began.elapsed());
    }
    assert!(
        Recurrence::parse("FREQ=HOURLY;BYMINUTE=0,15,30,45", start())
            .unwrap()
            .first(start().to_utc())
            .is_ok()
    );
}

fn part() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&PARTS[1..]);
    let number = prop::collection::vec(-370i32..370, 1..4)
        .prop_map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let days = prop::sample::select(vec!["MO", "TU,TH", "-1FR", "53SU", "SA,SU,MO", "19980101T000000Z"]);
    (name, prop_oneof![number, days.prop_map(str::to_owned)])
        .prop_map(|(name, value)| format!("{name}={value}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_rule_is_followed_comes_to_an_end(
        frequency in prop::sample::select(vec!["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
        parts in prop::collection::vec(part(), 0..4),
    ) {
        let rule = format!("FREQ={frequency};{}", parts.join(";"));
        if let Ok(recurrence) = Recurrence::parse(&rule, start()) {
            prop_assert_eq!(Recurrence::parse(&recurrence.to_string(), start()).unwrap(), recurrence.clone());
            if let Ok(first) = recurrence.first(start().to_utc()) {
                prop_assert!(recurrence.after(first).is_none_or(|next| next > first));
                prop_assert_eq!(recurrence.after(start().to_utc() + SPAN_MAX), None);
            }
        }
    }

    #[test]
    fn no_text_breaks_the_reader_of_rules(text in "[A-Z=;:,0-9\\n-]{0,60}") {
        drop(Recurrence::parse(&text, start()));
    }
}
