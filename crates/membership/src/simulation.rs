//! Whole clusters in virtual time, each run made from a seed: machines, the model of the database, and what goes wrong
//! between them. What must hold is checked at every step.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::ask::Role;
use crate::model::{Database, Write};
use crate::{Epoch, Incarnation, Input, NodeId, OwnedKey, Place, Timings};

mod checks;
mod faults;
mod process;
mod wire;

use faults::Fault;
use process::Process;

const MS: i64 = 1_000;
const SEC: i64 = 1_000_000;
/// Nothing goes wrong any more from here on.
const HEALED_AT: i64 = 22 * SEC;
/// All keys must be owned again by then.
const OWNED_WITHIN: i64 = 8 * SEC;
/// A run of the usual length has about 3,000.
const EVENTS_MAX: u32 = 200_000;

/// What happens at a time.
enum Event {
    Wake(usize),
    Input(usize, Input),
    Serve(usize, wire::Request),
    Drain(usize, OwnedKey, Epoch),
    WriteTick(usize),
    Begin(usize, u64, Write),
    Began(usize, u64),
    Commit(u64),
    Rollback(u64),
    LockFreed(Incarnation, u64),
    Start(usize),
    Fault(Fault),
}

/// What is wanted of a run.
#[derive(Clone, Copy)]
struct Plan {
    /// Only outages of the database and steps of its clock.
    is_calm: bool,
    is_fence_off: bool,
}

struct World {
    now: i64,
    n_events: u32,
    n_numbers: u64,
    queue: BTreeMap<(i64, u64), Event>,
    rng: SmallRng,
    plan: Plan,
    timings: Timings,
    db: Database,
    /// The database's clock is ahead by this.
    db_ahead_us: i64,
    db_down_until: i64,
    lossy_until: i64,
    /// By start; an incarnation each.
    processes: Vec<Process>,
    wanted: BTreeMap<OwnedKey, Place>,
    /// Will be wanted again.
    unwanted: BTreeMap<OwnedKey, Place>,
    /// When a node was added last beside others that gave keys up for it.
    returned_at: BTreeMap<NodeId, i64>,
    /// The clock was stepped: how long ago a view was published nobody can say.
    is_clock_wrong: bool,
    n_committed: u32,
    n_handed_over: u32,
    /// The first promise that was broken.
    broken: Option<String>,
}

/// What came of a run that kept all promises.
#[derive(Debug, Default)]
struct Run {
    n_events: u32,
    n_committed: u32,
    n_buried: usize,
    n_handed_over: u32,
    owned_after_us: i64,
}

fn run(seed: u64, plan: Plan) -> Result<Run, String> {
    let mut world = World::new(seed, plan);
    let mut check_at = HEALED_AT;
    while let Some(((at, _), event)) = world.queue.pop_first() {
        world.now = at;
        world.n_events += 1;
        world.happen(event);
        if world.n_events > EVENTS_MAX {
            world.breaks("it spins".to_owned());
        }
        if let Some(broken) = world.broken {
            return Err(format!("seed {seed}, at {at} us: {broken}"));
        }
        if at >= check_at {
            let missing = world.not_owned();
            if missing.is_empty() {
                break;
            }
            if at > HEALED_AT + OWNED_WITHIN {
                return Err(format!("seed {seed}: nobody owns {missing:?}\n{}", world.show()));
            }
            check_at = at + 100 * MS;
        }
    }
    Ok(Run {
        n_events: world.n_events,
        n_committed: world.n_committed,
        n_buried: world.db.buried.len(),
        n_handed_over: world.n_handed_over,
        owned_after_us: world.now - HEALED_AT,
    })
}

impl World {
    fn new(seed: u64, plan: Plan) -> Self {
        let timings = Timings { virtual_nodes: 8, rebalance_us: 3 * SEC, ..Timings::default() };
        let mut world = Self {
            now: 0,
            n_events: 0,
            n_numbers: 0,
            queue: BTreeMap::new(),
            rng: SmallRng::seed_from_u64(seed),
            plan,
            timings,
            db: Database { is_fence_off: plan.is_fence_off, ..Database::default() },
            db_ahead_us: 1_700_000_000 * SEC,
            db_down_until: 0,
            lossy_until: 0,
            processes: Vec::new(),
            wanted: BTreeMap::new(),
            unwanted: BTreeMap::new(),
            returned_at: BTreeMap::new(),
            is_clock_wrong: false,
            n_committed: 0,
            n_handed_over: 0,
            broken: None,
        };
        for n in 0..6 {
            let role = if n == 5 { Role::Platforms } else { Role::Channels };
            let key = OwnedKey(format!("key:{n}"));
            world.wanted.insert(key.clone(), Place::of(role, &key));
        }
        for node in 0..3 {
            let within = world.rng.random_range(0..300 * MS);
            world.after(within, Event::Start(node));
        }
        world.plan_faults();
        world
    }

    fn after(&mut self, us: i64, event: Event) {
        self.n_numbers += 1;
        self.queue.insert((self.now + us.max(0), self.n_numbers), event);
    }

    fn within(&mut self, least: i64, most: i64) -> i64 {
        self.rng.random_range(least..=most)
    }

    fn breaks(&mut self, promise: String) {
        self.broken.get_or_insert(promise);
    }

    fn happen(&mut self, event: Event) {
        let of = match &event {
            Event::Wake(p)
            | Event::Input(p, _)
            | Event::Drain(p, ..)
            | Event::WriteTick(p)
            | Event::Began(p, _) => Some(*p),
            _ => None,
        };
        if let Some(process) = of.map(|p| &self.processes[p]) {
            if !process.is_alive {
                return;
            }
            if process.paused_until > self.now {
                let us = process.paused_until - self.now;
                return self.after(us, event);
            }
        }
        match event {
            Event::Wake(p) => self.wake(p),
            Event::Input(p, input) => self.hand_in(p, input),
            Event::Serve(p, request) => self.serve(p, request),
            Event::Drain(p, key, epoch) => self.drain(p, key, epoch),
            Event::WriteTick(p) => self.write(p),
            Event::Begin(p, number, write) => self.begin(p, number, write),
            Event::Began(p, number) => {
                let within = self.within(MS, 5 * MS);
                if self.is_reachable(p) {
                    self.after(within, Event::Commit(number));
                }
            }
            Event::Commit(number) => self.commit(number),
            Event::Rollback(number) => drop(self.db.commit_write(number)),
            Event::LockFreed(incarnation, session) => drop(self.db.locks.remove(&(incarnation, session))),
            Event::Start(node) => self.start(node),
            Event::Fault(fault) => self.go_wrong(fault),
        }
    }
}

fn node_id(node: usize) -> NodeId {
    NodeId(format!("node-{node}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "no setting of the program, and there is no configuration here"
)]
fn n_seeds() -> u64 {
    std::env::var("MEMBERSHIP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

#[test]
fn no_schedule_of_faults_breaks_a_promise() {
    let begun_at = Instant::now();
    let (mut total, mut slowest) = (Run::default(), 0);
    let n_seeds = n_seeds();
    for seed in 0..n_seeds {
        let run = run(seed, Plan { is_calm: seed % 4 == 3, is_fence_off: false })
            .unwrap_or_else(|broken| panic!("{broken}"));
        total.n_events += run.n_events;
        total.n_committed += run.n_committed;
        total.n_buried += run.n_buried;
        total.n_handed_over += run.n_handed_over;
        slowest = slowest.max(run.owned_after_us);
    }
    println!(
        "{n_seeds} seeds in {:?}, owned again within {} ms, {total:?}",
        begun_at.elapsed(),
        slowest / MS
    );
    assert!(
        total.n_committed > 0 && total.n_buried > 0 && total.n_handed_over > 0,
        "nothing went on: {total:?}"
    );
}

#[test]
fn without_the_fence_the_simulation_finds_a_stale_write() {
    let plan = Plan { is_calm: false, is_fence_off: true };
    let found = (0..1_000).find_map(|seed| run(seed, plan).err());
    assert!(found.as_ref().is_some_and(|broken| broken.contains("stale write")), "{found:?}");
}
