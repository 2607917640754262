use chrono::{DateTime, TimeDelta, Utc};
use domain::BudgetLedger;
use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn purse(slots: u32, reserve: u32) -> Purse {
    Purse::new(Limit { resource: "join", slots, window: WINDOW }, reserve)
}

/// Asks for what the purse wants, and everything is granted.
fn book(purse: &mut Purse, now: Instant) -> Option<Request> {
    let request = purse.request(Ulid::new(), now)?;
    purse.booked(&request, Booked { n: request.n, retry_after: None }, now);
    Some(request)
}

#[test]
fn what_is_wanted_is_booked_in_small_slices() {
    let now = Instant::now();
    let mut purse = purse(40, 0);
    assert!(book(&mut purse, now).is_none(), "nobody wants any");
    purse.want(30, now);
    assert_eq!(book(&mut purse, now).map(|request| request.n), Some(5));
    assert!(book(&mut purse, now).is_none(), "there is some in hand");
    purse.take(5, now);
    assert_eq!(purse.free(now), 0);
    let next = book(&mut purse, now).unwrap();
    assert_eq!(
        (next.n, next.uses.len(), next.uses[0].n_used),
        (5, 1, 5),
        "the next, and what was used is told"
    );
}

#[test]
fn what_nobody_waits_for_any_more_lapses_and_is_given_back() {
    let now = Instant::now();
    let mut purse = purse(40, 0);
    purse.want(3, now);
    let life = purse.terms.life;
    assert_eq!(book(&mut purse, now).map(|request| request.n), Some(3));
    purse.take(1, now);
    assert_eq!((purse.free(now), purse.free(now + life)), (2, 0));
    let told = book(&mut purse, now + life).unwrap();
    assert_eq!((told.n, told.uses[0].n_used, told.uses[0].age), (0, 1, life));
    assert!(book(&mut purse, now + life).is_none(), "told once");
}

#[test]
fn a_reserve_is_kept_while_permits_are_used_now_and_then() {
    let mut now = Instant::now();
    let mut purse = purse(40, 2);
    purse.want(1, now);
    book(&mut purse, now);
    purse.take(1, now);
    for _ in 0..600 {
        book(&mut purse, now);
        assert!(purse.free(now) > 0, "a line need not wait");
        now += Duration::from_millis(250);
    }
    now += ACTIVE_FOR;
    book(&mut purse, now);
    assert!(book(&mut purse, now).is_none() && purse.free(now) == 0, "nothing is held for nobody");
}

#[test]
fn without_an_answer_nothing_beyond_what_is_in_hand_is_used() {
    let now = Instant::now();
    let mut purse = purse(40, 0);
    purse.want(5, now);
    book(&mut purse, now);
    purse.take(5, now);
    purse.want(5, now);
    let lost = purse.request(Ulid::new(), now).unwrap();
    purse.failed(now);
    assert_eq!(purse.free(now), 0);
    purse.want(5, now + RETRY_MAX);
    let again = purse.request(Ulid::new(), now + RETRY_MAX).unwrap();
    assert_eq!(again.uses[0].slice, lost.uses[0].slice, "what was used is told again");
    assert_eq!(again.uses[0].age, RETRY_MAX, "as old as it is by then");
}

/// A request on its way: when it reaches the database, whether its answer arrives.
#[derive(Debug)]
struct OnItsWay {
    request: Request,
    arrives: Instant,
    is_answered: bool,
}

proptest! {
    #[test]
    fn however_many_share_an_account_no_window_holds_more_than_its_slots(
        steps in proptest::collection::vec((0usize..3, 0u32..6, 0u64..200, 0u64..900, 0u32..12), 1..400),
    ) {
        let start = Instant::now();
        let wall = |at: Instant| -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + TimeDelta::from_std(at.duration_since(start)).unwrap()
        };
        let mut ledger = BudgetLedger::default();
        let mut purses = [purse(20, 1), purse(20, 1), purse(20, 0)];
        let mut on_their_way: [Option<OnItsWay>; 3] = [const { None }; 3];
        let (mut now, mut used) = (start, Vec::new());
        for (index, n_wanted, gap_ms, delay_ms, fate) in steps {
            now += Duration::from_millis(gap_ms);
            let purse = &mut purses[index];
            if fate == 0 {
                // The process dies, and another begins with nothing.
                *purse = self::purse(20, 1);
                on_their_way[index] = None;
            }
            match on_their_way[index].take() {
                Some(way) if way.arrives > now => on_their_way[index] = Some(way),
                Some(way) => {
                    ledger.settle(&way.request.uses, &purse.terms, wall(way.arrives));
                    let booked = ledger.book(way.request.slice, way.request.n, &purse.terms, wall(way.arrives));
                    if way.is_answered {
                        purse.booked(&way.request, booked, now);
                    } else {
                        purse.failed(now);
                    }
                }
                None => {
                    purse.want(n_wanted, now);
                    let arrives = now + Duration::from_millis(delay_ms);
                    on_their_way[index] = purse
                        .request(Ulid::new(), now)
                        .map(|request| OnItsWay { request, arrives, is_answered: fate != 1 });
                }
            }
            let n = n_wanted.min(purse.free(now));
            purse.take(n, now);
            used.extend((0..n).map(|_| now));
        }
        for from in &used {
            let n = used.iter().filter(|at| *at >= from && **at < *from + WINDOW).count();
            prop_assert!(n <= 20, "{n} within one window");
        }
    }
}
