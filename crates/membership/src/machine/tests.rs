//! One machine against the model of the database, which answers at once.

use super::*;
use crate::ask::{Evidence, Role};
use crate::model::Database;
use crate::{DbTime, Timings};

const MS: i64 = 1_000;
const SEC: i64 = 1_000_000;
/// From an ask to its answer.
const TRIP_US: i64 = 2 * MS;

struct World {
    now: i64,
    db: Database,
    nodes: Vec<Node>,
    /// Probes that are answered yet; later ones are refused.
    n_answered: usize,
}

struct Node {
    machine: Machine,
    /// Asks with the time of their answer.
    asks: Vec<(i64, u64, Ask)>,
    /// Incarnations that it probes, with the time at which their address refuses.
    probes: Vec<(i64, Incarnation)>,
    /// All that it said but asks, by time.
    said: Vec<(i64, Output)>,
    /// All that it asked, by time.
    asked: Vec<(i64, Ask)>,
    is_running: bool,
}

fn newcomer(n: u32, id: &str) -> Newcomer {
    Newcomer {
        me: Incarnation(u128::from(n)),
        node: NodeId(id.to_owned()),
        address: format!("{id}:7070"),
        roles: vec![Role::Channels],
        weight: 100,
        protocol: (1, 1),
        lease_us: 0,
        predecessor: None,
    }
}

fn keys(n: usize) -> Input {
    let keys = (0..n).map(|n| OwnedKey(format!("channel:{n}")));
    Input::Wanted(keys.map(|key| (key.clone(), Place::of(Role::Channels, &key))).collect())
}

impl World {
    fn new(ids: &[&str]) -> Self {
        let mut world = Self { now: 0, db: Database::default(), nodes: Vec::new(), n_answered: 0 };
        for id in ids {
            world.join(id);
        }
        world
    }

    fn join(&mut self, id: &str) {
        let n = u32::try_from(self.nodes.len()).unwrap() + 1;
        let machine = Machine::new(newcomer(n, id), Timings::default());
        self.db.locks.insert((Incarnation(u128::from(n)), 1));
        let (asks, probes, said, asked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        self.nodes.push(Node { machine, asks, probes, said, asked, is_running: true });
        self.tell(self.nodes.len() - 1, Input::Tick);
    }

    fn tell(&mut self, n: usize, input: Input) {
        let (now, node) = (self.now, &mut self.nodes[n]);
        for output in node.machine.on(MonotonicUs(now), input) {
            match output {
                Output::Ask { number, ask, .. } => {
                    node.asked.push((now, ask.clone()));
                    node.asks.push((now + TRIP_US, number, ask));
                }
                output => {
                    if let Output::Probe { incarnation, .. } = output {
                        node.probes.push((now + TRIP_US, incarnation));
                    }
                    node.said.push((now, output));
                }
            }
        }
    }

    /// Everybody's asks are answered and everybody wakes until then; what is to be handed over is drained at once.
    fn run(&mut self, us: i64) {
        let until = self.now + us;
        loop {
            let next = (0..self.nodes.len())
                .filter(|n| self.nodes[*n].is_running)
                .filter_map(|n| Some((self.due(n)?, n)));
            let Some((at, n)) = next.min().filter(|(at, _)| *at <= until) else { break };
            self.now = self.now.max(at);
            if let Some(due) = self.nodes[n].probes.iter().position(|(at, _)| *at <= self.now) {
                let (_, incarnation) = self.nodes[n].probes.remove(due);
                let refused = self.n_answered == 0;
                self.n_answered = self.n_answered.saturating_sub(1);
                self.tell(n, Input::Probed { incarnation, refused });
            }
            let due = self.nodes[n].asks.iter().position(|(at, ..)| *at <= self.now);
            match due.map(|due| self.nodes[n].asks.remove(due)) {
                Some((_, number, ask)) => {
                    let answer = self.db.answer(DbTime(self.now), ask);
                    self.tell(n, Input::Answer { number, answer });
                }
                None => self.tell(n, Input::Tick),
            }
            while let Some(drained) = self.nodes[n].drained() {
                self.tell(n, drained);
            }
        }
        self.now = until;
    }

    fn due(&self, n: usize) -> Option<i64> {
        let node = &self.nodes[n];
        let probes = node.probes.iter().map(|(at, _)| *at);
        node.asks
            .iter()
            .map(|(at, ..)| *at)
            .chain(probes)
            .chain(node.machine.next_wake().map(|at| at.0))
            .min()
    }

    fn owned(&self, n: usize) -> usize {
        let me = Incarnation(u128::try_from(n).unwrap() + 1);
        self.db.owners.values().filter(|owner| owner.by == me && !owner.is_released).count()
    }
}

impl Node {
    fn drained(&self) -> Option<Input> {
        self.said.iter().rev().find_map(|(_, said)| match said {
            Output::HandOver { key, epoch, .. } if self.machine.epoch(key) == Some(*epoch) => {
                Some(Input::Drained { key: key.clone(), epoch: *epoch })
            }
            _ => None,
        })
    }

    /// When it said such a thing, each time.
    fn times(&self, is_meant: impl Fn(&Output) -> bool) -> Vec<i64> {
        self.said.iter().filter(|(_, said)| is_meant(said)).map(|(at, _)| *at).collect()
    }

    /// The number of the ask that is under way.
    fn under_way(&self, is_meant: impl Fn(&Ask) -> bool) -> u64 {
        self.asks.iter().find(|(.., ask)| is_meant(ask)).map(|(_, number, _)| *number).unwrap()
    }
}

#[test]
fn nodes_that_start_together_are_in_the_first_view_and_a_later_one_joins_soon() {
    let mut world = World::new(&["a", "b", "c"]);
    world.run(4 * SEC);
    assert_eq!((world.db.view.version, world.db.view.members.len()), (1, 3));
    world.join("d");
    world.run(2 * SEC);
    assert_eq!((world.db.view.version, world.db.view.members.len()), (2, 4));
}

#[test]
fn a_node_that_comes_and_goes_takes_its_keys_along_once_in_thirty_seconds() {
    let mut world = World::new(&["a", "b", "c"]);
    (0..3).for_each(|n| world.tell(n, keys(300)));
    world.run(5 * SEC);
    let mut last = 2;
    let mut returns = Vec::new();
    for _ in 0..12 {
        world.nodes[last].is_running = false;
        let dead = Incarnation(u128::try_from(last).unwrap() + 1);
        world.db.locks.retain(|(holder, _)| *holder != dead);
        (0..2).for_each(|n| world.tell(n, Input::PeerDropped(dead)));
        world.run(SEC);
        assert_eq!(world.owned(0) + world.owned(1), 300, "what a dead node had is claimed, however often");
        last = world.nodes.len();
        world.join("c");
        world.tell(last, keys(300));
        let is_back = |world: &World| world.db.view.members.len() == 3;
        (0..40).for_each(|_| {
            world.run(100 * MS);
            if is_back(&world) && returns.last().is_none_or(|at| world.now - at > 5 * SEC) {
                returns.push(world.now);
            }
        });
    }
    assert!(returns[0] < 7 * SEC, "the first time at once: {returns:?}");
    assert!(returns.len() > 1 && returns.windows(2).all(|two| two[1] - two[0] > 29 * SEC), "{returns:?}");
    let most = world.db.owners.values().map(|owner| owner.epoch.0 - 1).max().unwrap();
    assert!(most <= 2 * i64::try_from(returns.len()).unwrap() + 1, "{most} moves of a key, {returns:?}");
}

#[test]
fn a_crash_that_peers_see_is_claimed_within_half_a_second() {
    let mut world = World::new(&["a", "b", "c"]);
    (0..3).for_each(|n| world.tell(n, keys(300)));
    world.run(5 * SEC);
    let (before, crashed_at) = (world.owned(0), world.now);
    assert!(before > 50 && (0..3).map(|n| world.owned(n)).sum::<usize>() == 300);
    world.nodes[0].is_running = false;
    world.db.locks.retain(|(holder, _)| *holder != Incarnation(1));
    (1..3).for_each(|n| world.tell(n, Input::PeerDropped(Incarnation(1))));
    world.run(500 * MS);
    assert_eq!(world.owned(1) + world.owned(2), 300);
    let granted = world.nodes[1].times(|said| matches!(said, Output::Granted { from: From::Dead(_), .. }));
    assert!(granted.iter().all(|at| at - crashed_at < 150 * MS), "{granted:?}");
}

#[test]
fn a_probe_that_a_dying_process_still_answers_does_not_end_the_doubt() {
    let mut world = World::new(&["a", "b"]);
    (0..2).for_each(|n| world.tell(n, keys(300)));
    world.run(5 * SEC);
    world.nodes[0].is_running = false;
    world.db.locks.retain(|(holder, _)| *holder != Incarnation(1));
    world.n_answered = 1;
    world.tell(1, Input::PeerDropped(Incarnation(1)));
    world.run(500 * MS);
    assert_eq!(world.owned(1), 300);
}

#[test]
fn who_answers_again_and_again_is_doubted_no_more() {
    let mut world = World::new(&["a", "b"]);
    world.run(5 * SEC);
    world.n_answered = 100;
    world.tell(1, Input::PeerDropped(Incarnation(1)));
    world.run(5 * SEC);
    let probes = world.nodes[1].times(|said| matches!(said, Output::Probe { .. }));
    assert_eq!(probes.len(), 3, "{probes:?}");
    assert!(world.db.buried.is_empty());
}

#[test]
fn a_crash_that_nobody_sees_is_claimed_within_three_seconds() {
    let mut world = World::new(&["a", "b"]);
    (0..2).for_each(|n| world.tell(n, keys(300)));
    world.run(5 * SEC);
    world.nodes[0].is_running = false;
    world.run(3 * SEC);
    assert_eq!(world.owned(1), 300);
}

#[test]
fn a_refused_address_alone_buries_nobody() {
    let mut world = World::new(&["a", "b"]);
    world.run(5 * SEC);
    world.tell(1, Input::PeerDropped(Incarnation(1)));
    world.run(120 * MS);
    let bury = |ask: &Ask| matches!(ask, Ask::Bury { evidence: Evidence::Refused, .. });
    assert_eq!(world.nodes[1].asked.iter().filter(|(_, ask)| bury(ask)).count(), 1);
    assert!(world.db.buried.is_empty());
    world.run(300 * MS);
    let probes = world.nodes[1].times(|said| matches!(said, Output::Probe { .. }));
    assert!(probes.len() > 3 && world.db.buried.is_empty(), "{probes:?}");
}

#[test]
fn the_gate_counts_from_the_sending_and_only_over_a_session_that_lives() {
    let mut world = World::new(&["a"]);
    world.run(SEC);
    let is_renewal = |ask: &Ask| matches!(ask, Ask::Renew { .. });
    let until = |node: &Node| match node.said.last() {
        Some((_, Output::Gate { until })) => *until,
        other => panic!("{other:?}"),
    };
    while !world.nodes[0].asks.iter().any(|(.., ask)| is_renewal(ask)) {
        world.run(MS);
    }
    let sent_at = world.nodes[0].asked.iter().rev().find(|(_, ask)| is_renewal(ask)).unwrap().0;
    world.nodes[0].said.clear();
    let number = world.nodes[0].under_way(is_renewal);
    world.now = sent_at + 1_399 * MS;
    let (now, lease_until) = (DbTime(world.now), DbTime(world.now + 2 * SEC));
    world.tell(0, Input::Answer { number, answer: Answer::Renewed { now, lease_until, view: 0 } });
    assert_eq!(until(&world.nodes[0]), Some(MonotonicUs(sent_at + 1_400 * MS)));
    world.now = sent_at + 1_400 * MS;
    world.tell(0, Input::Tick);
    assert_eq!(until(&world.nodes[0]), None);

    let number = world.nodes[0].machine.lanes.next_number() - 1;
    world.tell(0, Input::LeaseSessionLost);
    world.nodes[0].said.clear();
    world.tell(0, Input::Answer { number, answer: Answer::Renewed { now, lease_until, view: 0 } });
    assert!(world.nodes[0].times(|said| matches!(said, Output::Gate { .. })).is_empty());
}

#[test]
fn dead_is_final() {
    let mut world = World::new(&["a"]);
    world.tell(0, keys(3));
    world.run(5 * SEC);
    world.db.nodes.values_mut().for_each(|node| node.state = State::Dead);
    world.run(SEC);
    let last: Vec<_> = world.nodes[0].said.iter().rev().take(2).map(|(_, said)| said.clone()).collect();
    assert_eq!(last, [Output::Died, Output::Gate { until: None }]);
    assert_eq!(world.nodes[0].machine.next_wake(), None);
    let lease_until = DbTime(world.now + 2 * SEC);
    let renewed = Answer::Renewed { now: DbTime(world.now), lease_until, view: 1 };
    let n_said = world.nodes[0].said.len();
    (0..200).for_each(|number| world.tell(0, Input::Answer { number, answer: renewed.clone() }));
    assert_eq!(world.nodes[0].said.len(), n_said);
}

#[test]
fn keys_are_claimed_in_batches_and_skipped_ones_soon_again() {
    let mut world = World::new(&["a"]);
    world.tell(0, keys(6_000));
    let key = OwnedKey("channel:7".to_owned());
    let write = crate::model::Write { by: Incarnation(9), key: key.clone(), epoch: Epoch(1) };
    world.db.open_writes.insert(1, write);
    world.run(5 * SEC);
    let claims: Vec<_> = world.nodes[0]
        .asked
        .iter()
        .filter_map(|(at, ask)| match ask {
            Ask::Claim { keys, .. } => Some((*at, keys.len())),
            _ => None,
        })
        .collect();
    let sizes: Vec<_> = claims.iter().map(|(_, n)| *n).take(4).collect();
    assert_eq!(sizes, [2_500, 2_500, 1_000, 1]);
    assert!(
        claims[3..].windows(2).all(|pair| pair[1].0 - pair[0].0 == 50 * MS + TRIP_US),
        "{:?}",
        &claims[3..9]
    );
    world.db.open_writes.clear();
    world.run(60 * MS);
    assert_eq!(world.nodes[0].machine.epoch(&key), Some(Epoch(1)));
}

#[test]
fn a_drain_moves_a_thousand_keys_a_second_and_leaves() {
    let mut world = World::new(&["a", "b"]);
    (0..2).for_each(|n| world.tell(n, keys(4_000)));
    world.run(5 * SEC);
    let n_owned = world.owned(0);
    world.tell(0, Input::Drain);
    world.run(12 * SEC);
    let moved = world.nodes[0].times(|said| matches!(said, Output::HandOver { to: Some(_), .. }));
    assert_eq!((moved.len(), world.owned(0), world.owned(1)), (n_owned, 0, 4_000));
    let most =
        moved.iter().map(|from| moved.iter().filter(|at| (*from..from + SEC).contains(at)).count()).max();
    assert_eq!(most, Some(1_000));
    assert!(matches!(world.nodes[0].said.last(), Some((_, Output::Left))));
    assert_eq!(world.db.nodes[&Incarnation(1)].state, State::Dead);
}

#[test]
fn a_pin_moves_its_key_and_nothing_else() {
    let mut world = World::new(&["a", "b"]);
    (0..2).for_each(|n| world.tell(n, keys(100)));
    world.run(5 * SEC);
    let key = OwnedKey("channel:3".to_owned());
    let [from, to] = if world.nodes[0].machine.epoch(&key).is_some() { [0, 1] } else { [1, 0] };
    let pin = Some(Box::new(NodeId(["a", "b"][to].to_owned())));
    let place = Place { pin, ..Place::of(Role::Channels, &key) };
    (0..2).for_each(|n| world.tell(n, Input::Wanted(vec![(key.clone(), place.clone())])));
    world.run(2 * SEC);
    assert_eq!(world.nodes[from].machine.epoch(&key), None);
    assert_eq!(world.nodes[to].machine.epoch(&key), Some(Epoch(2)));
    assert_eq!(world.db.owners.values().filter(|owner| owner.epoch != Epoch(1)).count(), 1);
}

#[test]
fn the_second_process_of_a_node_id_waits_and_the_first_one_goes_on() {
    let mut world = World::new(&["a"]);
    world.run(SEC);
    world.join("a");
    world.run(20 * SEC);
    assert!(world.db.buried.is_empty() && !world.db.nodes.contains_key(&Incarnation(2)));
    world.nodes[0].is_running = false;
    world.run(6 * SEC);
    assert_eq!(world.db.buried, [Incarnation(1)]);
    assert_eq!(world.db.nodes[&Incarnation(2)].state, State::Active);
}
