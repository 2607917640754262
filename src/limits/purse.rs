//! The permits of one resource that this process has in hand. Pure: the time comes in.
//!
//! What is in hand was booked before, so using it needs nobody. More is booked ahead of need: a share of the budget while
//! permits are used, a small reserve when they were used lately, nothing afterwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::{Booked, BudgetTerms, SliceUse};
use ulid::Ulid;

use super::Limit;

/// How much later than allowed we are on purpose, in percent: what leaves us evenly may arrive closer together.
const SLACK_PERCENT: u32 = 3;
/// What is in hand at most, and booked at once: this part of the budget.
const SHARE: u32 = 4;
/// And this part when permits were used lately, but not just now.
const RESERVE: u32 = 20;
/// Permits are used: what is in hand is kept at its share.
const BUSY: Duration = Duration::from_secs(5);
/// Nothing was used for this long: nothing is kept in hand.
const IDLE: Duration = Duration::from_mins(10);
/// A slice lives for this part of the window, within the bounds below.
const LIFE: u32 = 6;
const LIFE_MIN: Duration = Duration::from_millis(250);
const LIFE_MAX: Duration = Duration::from_secs(10);
/// A booking that got less than it asked for is not repeated sooner nor later.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Slices whose use the database was not told; one beyond counts there until it lapses.
const TOLD_LATER_MAX: usize = 64;

/// A slice in hand.
#[derive(Debug)]
struct Slice {
    id: Ulid,
    n_left: u32,
    n_used: u32,
    last_used: Instant,
    usable_until: Instant,
}

/// A slice that is used no more.
#[derive(Clone, Copy, Debug)]
struct Spent {
    id: Ulid,
    n_used: u32,
    last_used: Instant,
}

/// What is to be booked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub slice: Ulid,
    pub n: u32,
    pub uses: Vec<SliceUse>,
}

/// The permits of one resource.
#[derive(Debug)]
pub(super) struct Purse {
    pub resource: &'static str,
    /// Slots 0: no limit, nothing is ever booked.
    pub terms: BudgetTerms,
    /// The oldest first.
    slices: VecDeque<Slice>,
    spent: VecDeque<Spent>,
    /// When a permit was last used or missed. `None`: never.
    active: Option<Instant>,
    /// Nothing is booked before. `None`: at once.
    not_before: Option<Instant>,
}

impl Purse {
    pub const fn new(limit: Limit) -> Self {
        let window = limit.window.saturating_mul(100 + SLACK_PERCENT).checked_div(100);
        let window = window.expect("100 is not 0");
        let life = window.checked_div(LIFE).expect("the part is not 0");
        let terms = BudgetTerms { slots: limit.slots, window, life };
        Self { resource: limit.resource, terms, slices: VecDeque::new(), spent: VecDeque::new(), active: None, not_before: None }
    }
}
