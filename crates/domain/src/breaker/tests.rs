//! The table of design "restart strategy = circuit breaker", row by row.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const GOOD: CallResult = CallResult::Success { slow: false };
const SLOW: CallResult = CallResult::Success { slow: true };

fn module() -> Breaker {
    Breaker::new(BreakerConfig::module())
}

/// Opens a closed breaker and gives the time at which it may be probed.
fn tripped(breaker: &mut Breaker, now: Instant) -> Instant {
    for _ in 0..5 {
        breaker.record(CallResult::Failure, now, 0.5);
    }
    opened_until(breaker)
}

fn opened_until(breaker: &Breaker) -> Instant {
    match breaker.state() {
        BreakerState::Open { until } => until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_crashes_restart_and_the_fourth_opens() {
    let now = Instant::now();
    let mut breaker = module();
    for _ in 0..5 {
        breaker.record(GOOD, now, 0.0);
    }
    let delays: Vec<_> = (0..3).map(|n| breaker.crashed(now + n * SECOND, 0.0)).collect();
    assert_eq!(delays, [0, 100, 400].map(|ms| AfterCrash::RestartAfter(Duration::from_millis(ms))));
    let until = now + 29 * SECOND + 4 * SECOND;
    assert_eq!(breaker.crashed(now + 29 * SECOND, 0.0), AfterCrash::Opened { until });
}

#[test]
fn crashes_far_apart_only_restart() {
    let now = Instant::now();
    let mut breaker = module();
    for n in 0..40 {
        let after = breaker.crashed(now + n * 11 * SECOND, 0.0);
        assert!(matches!(after, AfterCrash::RestartAfter(_)), "crash {n}: {after:?}");
    }
}

#[test]
fn a_crash_is_one_failed_call() {
    let now = Instant::now();
    let mut breaker = module();
    breaker.record(GOOD, now, 0.5);
    breaker.record(GOOD, now, 0.5);
    breaker.crashed(now, 0.5);
    breaker.crashed(now, 0.5);
    assert_eq!(breaker.state(), BreakerState::Closed, "two of four");
    assert!(matches!(breaker.crashed(now, 0.5), AfterCrash::Opened { .. }), "three of five");
}

#[test]
fn half_of_five_failed_calls_open() {
    let now = Instant::now();
    let mut breaker = module();
    for result in [CallResult::Failure, GOOD, CallResult::Failure, GOOD] {
        assert_eq!(breaker.record(result, now, 0.5), None);
    }
    let state = breaker.record(CallResult::Failure, now + 9 * SECOND, 0.5);
    assert_eq!(state, Some(BreakerState::Open { until: now + 14 * SECOND }));
}

#[test]
fn failures_older_than_ten_seconds_do_not_count() {
    let now = Instant::now();
    let mut breaker = module();
    for n in 0..100 {
        let state = breaker.record(CallResult::Failure, now + n * 5 / 2 * SECOND, 0.5);
        assert_eq!(state, None, "call {n}: at most four are within ten seconds");
    }
}

#[test]
fn eighty_percent_slow_calls_open() {
    let now = Instant::now();
    let mut breaker = module();
    for result in [SLOW, SLOW, SLOW, GOOD] {
        assert_eq!(breaker.record(result, now, 0.5), None);
    }
    assert!(breaker.record(SLOW, now, 0.5).is_some());
}

#[test]
fn open_rejects_and_says_until_when() {
    let now = Instant::now();
    let mut breaker = module();
    let until = tripped(&mut breaker, now);
    assert_eq!(breaker.admit(now), Admission::Rejected { retry_at: Some(until) });
    assert_eq!(breaker.record(GOOD, now, 0.5), None, "a late result changes nothing");
    assert_eq!(breaker.poll(until), Some(BreakerState::HalfOpen));
}

#[test]
fn one_probe_at_a_time_and_three_close() {
    let now = Instant::now();
    let mut breaker = module();
    let until = tripped(&mut breaker, now);
    for n in 0..3 {
        assert_eq!(breaker.admit(until), Admission::Probe, "probe {n}");
        assert_eq!(breaker.admit(until), Admission::Rejected { retry_at: None });
        let state = breaker.record(GOOD, until, 0.5);
        assert_eq!(state, (n == 2).then_some(BreakerState::Closed));
    }
    assert_eq!(breaker.opens_in_row(), 0);
    for _ in 0..4 {
        assert_eq!(breaker.record(CallResult::Failure, until, 0.5), None, "the windows were cleared");
    }
}

#[test]
fn a_probe_given_back_or_lost_is_taken_by_the_next_call() {
    let now = Instant::now();
    let mut breaker = module();
    let until = tripped(&mut breaker, now);
    assert_eq!(breaker.admit(until), Admission::Probe);
    assert_eq!(breaker.record(CallResult::Cancelled, until, 0.5), None);
    assert_eq!(breaker.admit(until), Admission::Probe);
    assert_eq!(breaker.admit(until + PROBE_LOST_AFTER), Admission::Probe);
}

#[test]
fn a_failed_probe_opens_for_twice_as_long_up_to_five_minutes() {
    let mut now = Instant::now();
    let mut breaker = Breaker::opened(BreakerConfig::module(), now, 0.5);
    let mut lengths = vec![opened_until(&breaker) - now];
    for _ in 0..9 {
        now = opened_until(&breaker);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.crashed(now, 0.5);
        lengths.push(opened_until(&breaker) - now);
    }
    assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300].map(Duration::from_secs));
}

#[test]
fn after_ten_times_open_in_a_row_it_is_disabled_until_enabled() {
    let now = Instant::now();
    let mut breaker = Breaker::opened(BreakerConfig::module(), now, 0.5);
    let mut opens = 1;
    while let BreakerState::Open { until } = breaker.state() {
        breaker.admit(until);
        if let Some(BreakerState::Open { .. }) = breaker.record(CallResult::Failure, until, 0.5) {
            opens += 1;
        }
    }
    assert_eq!((opens, breaker.state()), (10, BreakerState::Disabled));
    assert_eq!(breaker.crashed(now, 0.5), AfterCrash::Disabled);
    assert_eq!(breaker.open_for(SECOND, now), None);
    assert_eq!(breaker.admit(now + Duration::from_hours(99)), Admission::Rejected { retry_at: None });
    breaker.enable();
    assert_eq!((breaker.admit(now), breaker.opens_in_row()), (Admission::Call, 0));
}

#[test]
fn a_host_opens_after_five_failures_in_a_row_for_a_minute() {
    let now = Instant::now();
    let mut breaker = Breaker::new(BreakerConfig::host());
    for result in [CallResult::Failure; 4].into_iter().chain([GOOD]).chain([CallResult::Failure; 4]) {
        assert_eq!(breaker.record(result, now, 0.9), None);
    }
    let until = now + 60 * SECOND;
    assert_eq!(breaker.record(CallResult::Failure, now, 0.9), Some(BreakerState::Open { until }));
    breaker.admit(until);
    assert_eq!(breaker.record(GOOD, until, 0.9), None);
    breaker.admit(until);
    assert_eq!(breaker.record(SLOW, until, 0.9), Some(BreakerState::Closed));
}

#[test]
fn retry_after_opens_for_its_time_and_never_shortens() {
    let now = Instant::now();
    let mut breaker = Breaker::new(BreakerConfig::host());
    let until = now + 120 * SECOND;
    assert_eq!(breaker.open_for(120 * SECOND, now), Some(BreakerState::Open { until }));
    assert_eq!(breaker.open_for(SECOND, now), None);
    assert_eq!(breaker.admit(now + 119 * SECOND), Admission::Rejected { retry_at: Some(until) });
    breaker.open_for(Duration::MAX, now);
    assert_eq!(breaker.state(), BreakerState::Open { until: now + OPEN_FOR_MAX });
}

#[test]
fn the_gauge_counts_in_the_order_of_the_table() {
    let until = Instant::now();
    let states =
        [BreakerState::Closed, BreakerState::Open { until }, BreakerState::HalfOpen, BreakerState::Disabled];
    assert_eq!(states.map(BreakerState::gauge), [0, 1, 2, 3]);
    assert_eq!(states.map(BreakerState::as_str), ["CLOSED", "OPEN", "HALF_OPEN", "DISABLED"]);
}

proptest! {
    #[test]
    fn probes_never_overlap_and_crashes_stay_bounded(
        steps in prop::collection::vec((0u8..6, 0u64..20_000), 1..200),
    ) {
        let mut now = Instant::now();
        let mut breaker = module();
        let mut probe_at: Option<Instant> = None;
        for (step, wait_ms) in steps {
            now += Duration::from_millis(wait_ms);
            if step < 2 {
                if breaker.admit(now) == Admission::Probe {
                    let is_free = probe_at.is_none_or(|at| now - at >= PROBE_LOST_AFTER);
                    prop_assert!(is_free, "a second probe beside that of {:?} ago", probe_at.map(|at| now - at));
                    probe_at = Some(now);
                }
                continue;
            }
            match step {
                2 => _ = breaker.record(GOOD, now, 0.3),
                3 => _ = breaker.record(CallResult::Failure, now, 0.3),
                4 => _ = breaker.crashed(now, 0.3),
                _ => _ = breaker.record(SLOW, now, 0.3),
            }
            probe_at = None;
            prop_assert!(breaker.crashed_at.len() <= 4);
        }
    }
}
