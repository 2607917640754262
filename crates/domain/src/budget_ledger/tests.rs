use proptest::prelude::*;

use super::*;

const TERMS: BudgetTerms =
    BudgetTerms { slots: 20, window: Duration::from_secs(30), life: Duration::from_secs(5) };

fn at(millis: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + delta(Duration::from_millis(1_790_000_000_000 + millis))
}

fn slice(n: u64) -> Ulid {
    Ulid::from_parts(1, u128::from(n))
}

#[test]
fn a_slice_that_nobody_settles_counts_for_its_life_and_one_window() {
    let mut ledger = BudgetLedger::default();
    assert_eq!(ledger.book(slice(1), 15, &TERMS, at(0)), Booked { n: 15, retry_after: None });
    let rest = ledger.book(slice(2), 15, &TERMS, at(0));
    assert_eq!(rest, Booked { n: 5, retry_after: Some(Duration::from_secs(35)) });
    assert_eq!(ledger.book(slice(3), 1, &TERMS, at(34_999)).n, 0);
    assert_eq!(ledger.book(slice(4), 40, &TERMS, at(35_000)).n, 20);
}

#[test]
fn what_was_not_used_is_free_at_once_and_the_rest_a_window_after_its_use() {
    let mut ledger = BudgetLedger::default();
    ledger.book(slice(1), 20, &TERMS, at(0));
    let used = SliceUse { slice: slice(1), n_used: 12, age: Duration::from_secs(2) };
    ledger.settle(&[used], &TERMS, at(3_000));
    let rest = ledger.book(slice(2), 20, &TERMS, at(3_000));
    assert_eq!(rest, Booked { n: 8, retry_after: Some(Duration::from_secs(28)) });
    ledger.settle(&[used], &TERMS, at(4_000));
    assert_eq!(ledger.book(slice(3), 20, &TERMS, at(30_999)).n, 0, "settled once");
    assert_eq!(ledger.book(slice(3), 20, &TERMS, at(31_000)).n, 12);
}

#[test]
fn a_clock_that_is_set_back_delays_by_no_more_than_a_life_and_a_window() {
    let mut ledger = BudgetLedger::default();
    ledger.book(slice(1), 20, &TERMS, at(3_600_000));
    let refused = ledger.book(slice(2), 20, &TERMS, at(0));
    assert_eq!(refused, Booked { n: 0, retry_after: Some(Duration::from_secs(35)) });
    assert_eq!(ledger.book(slice(2), 20, &TERMS, at(35_000)).n, 20);
}

#[test]
fn the_record_is_bounded_and_survives_being_stored() {
    let terms = BudgetTerms { slots: 1_000_000, ..TERMS };
    let mut ledger = BudgetLedger::default();
    for n in 0..20_000 {
        ledger.book(slice(n), 1, &terms, at(n));
        ledger.settle(&[SliceUse { slice: slice(n), n_used: 1, age: Duration::ZERO }], &terms, at(n));
    }
    assert!(ledger.entries.len() < 2 * GRAINS as usize, "{}", ledger.entries.len());
    let total: u32 = ledger.entries.iter().map(|entry| entry.n).sum();
    assert_eq!(total, 20_000, "nothing is forgotten within the window");
    let stored = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<BudgetLedger>(&stored).unwrap(), ledger);
    for n in 0..5_000 {
        ledger.book(slice(n), 1, &terms, at(20_000));
    }
    assert_eq!(ledger.entries.len(), ENTRIES_MAX, "beyond it nothing is booked");
}

/// What a holder does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Book {
        holder: usize,
        n: u32,
    },
    Use {
        holder: usize,
    },
    Settle {
        holder: usize,
    },
    /// The process dies: nobody ever says what it used.
    Kill {
        holder: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let holder = 0usize..3;
    prop_oneof![
        (holder.clone(), 1u32..9).prop_map(|(holder, n)| Step::Book { holder, n }),
        holder.clone().prop_map(|holder| Step::Use { holder }),
        holder.clone().prop_map(|holder| Step::Use { holder }),
        holder.clone().prop_map(|holder| Step::Settle { holder }),
        holder.prop_map(|holder| Step::Kill { holder }),
    ]
}

#[derive(Clone, Copy)]
struct Held {
    slice: Ulid,
    n_left: u32,
    n_used: u32,
    usable_until: u64,
    last_used: u64,
}

proptest! {
    #[test]
    fn no_window_of_any_position_holds_more_than_the_slots(
        steps in proptest::collection::vec((step(), 0u64..1_500), 1..400),
    ) {
        let mut ledger = BudgetLedger::default();
        let mut held: [Vec<Held>; 3] = Default::default();
        let (mut now, mut n_slices, mut sent) = (0u64, 0, Vec::new());
        for (step, gap_ms) in steps {
            now += gap_ms;
            match step {
                Step::Book { holder, n } => {
                    n_slices += 1;
                    let n_left = ledger.book(slice(n_slices), n, &TERMS, at(now)).n;
                    let usable_until = now + 5_000;
                    held[holder].push(Held { slice: slice(n_slices), n_left, n_used: 0, usable_until, last_used: now });
                }
                Step::Use { holder } => {
                    let may = |held: &&mut Held| held.n_left > 0 && now < held.usable_until;
                    if let Some(held) = held[holder].iter_mut().find(may) {
                        held.n_left -= 1;
                        held.n_used += 1;
                        held.last_used = now;
                        sent.push(now);
                    }
                }
                Step::Settle { holder } => {
                    for Held { slice, n_used, last_used, .. } in held[holder].drain(..) {
                        let age = Duration::from_millis(now - last_used);
                        ledger.settle(&[SliceUse { slice, n_used, age }], &TERMS, at(now));
                    }
                }
                Step::Kill { holder } => held[holder].clear(),
            }
        }
        for from in &sent {
            let n = sent.iter().filter(|at| *at >= from && **at < from + 30_000).count();
            prop_assert!(n <= 20, "{n} within one window");
        }
    }
}
