//! Nodes killed, stopped and cut off, one at a time, under load.

use std::collections::HashSet;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::caller::Ask;
use super::held::{Held, hold};
use super::network::{self, Place};
use super::table::{Line, ms, row};
use super::world::{JOINS_PER_10S, LOOK_EACH, N_NODES, World};
use crate::percentiles::Percentiles;

/// Between a cluster that is whole and the next fault: a node may bury another when it has been there for three seconds.
const CALM: Duration = Duration::from_secs(4);
/// Longest wait for a takeover before it counts as never.
const PATIENCE: Duration = Duration::from_mins(1);
/// Channels of the lost node that are asked over the API from the first moment on.
const N_FIRST_REPLIES: usize = 20;
/// What a send may take that was past its gate when the process stopped.
const SILENT_AFTER: Duration = Duration::from_millis(200);
const GATE: Duration = Duration::from_millis(1_400);
/// How long a node is stopped, in turn.
const STOPS_SECS: [u64; 6] = [3, 5, 1, 8, 2, 30];
const CUT_FOR: Duration = Duration::from_secs(6);
/// A flapping way is shut and open that long, so often.
const FLAP: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(2)];
const N_FLAPS: usize = 4;

/// What the others did while a node was gone.
#[derive(Default)]
pub(crate) struct Seen {
    taken_over: Vec<Duration>,
    first_replies: Vec<Duration>,
    heard: Vec<Duration>,
    back: Vec<Duration>,
    n_late_lines: usize,
    n_never: usize,
    n_held: usize,
}

/// A node that is about to be lost.
pub(crate) struct Victim {
    pub(crate) number: usize,
    pub(crate) incarnation: String,
    pub(crate) channels: Vec<String>,
    connections: HashSet<u64>,
}

pub(crate) async fn choose(world: &World) -> Result<Victim> {
    tokio::time::sleep(CALM).await;
    let (number, incarnation) = world.heaviest().await?;
    let channels = world.channels_of(&incarnation).await?;
    Ok(Victim { number, channels, connections: world.connections_of(number), incarnation })
}

/// In every second round the fault hits a transaction that is past its fence.
async fn held(world: &World, victim: &Victim, round: usize) -> Result<Option<Held>> {
    if round.is_multiple_of(2) || victim.channels.is_empty() {
        return Ok(None);
    }
    hold(world, &victim.incarnation, &victim.channels).await.map(Some)
}

/// Watches the others take over. `exempt` channels stay with the transaction that holds them.
async fn watch(world: &World, victim: &Victim, since: Instant, seen: &mut Seen) {
    let others: Vec<usize> = (0..N_NODES).filter(|number| *number != victim.number).collect();
    let mut asked = JoinSet::new();
    for (n, login) in victim.channels.iter().take(N_FIRST_REPLIES).enumerate() {
        let (caller, others, login) = (world.caller.clone(), others.clone(), login.clone());
        let id = format!("first-{}-{n}", world.ledger.n_api_asked());
        asked.spawn(async move {
            let answer = caller.insist(&others, &Ask::new(&login, &id, "!echo here"), PATIENCE).await;
            answer.map(|_| since.elapsed())
        });
    }
    match world.taken_over(&victim.incarnation, since, PATIENCE).await {
        Some(took) => {
            eprintln!("  taken over after {} ms", took.as_millis());
            seen.taken_over.push(took);
        }
        None => seen.n_never += 1,
    }
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Some(took)) => seen.first_replies.push(took),
            _ => seen.n_never += 1,
        }
    }
    match world.heard_again(&victim.connections, since, PATIENCE).await {
        Some(took) => seen.heard.push(took),
        None => seen.n_never += 1,
    }
}

/// Waits until the node is back as another process of the cluster.
async fn back(world: &World, victim: &Victim, since: Instant, seen: &mut Seen) -> Result<()> {
    while since.elapsed() < PATIENCE {
        let now = world.incarnation(victim.number).await.ok().flatten();
        if now.is_some_and(|now| now != victim.incarnation) {
            seen.back.push(since.elapsed());
            return Ok(());
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    seen.n_never += 1;
    Err(Error::other(format!(
        "node-{} does not come back:\n{}",
        victim.number,
        world.nodes[victim.number].log_tail()
    )))
}

/// R1: signal 9.
pub(crate) async fn kills(world: &mut World, n_rounds: usize) -> Result<Vec<Line>> {
    let mut seen = Seen::default();
    for round in 0..n_rounds {
        let victim = choose(world).await?;
        eprintln!(
            "kill {}/{n_rounds}: node-{} of {} channels",
            round + 1,
            victim.number,
            victim.channels.len()
        );
        let held = held(world, &victim, round).await?;
        seen.n_held += usize::from(held.is_some());
        let killed = Instant::now();
        world.nodes[victim.number].signal("KILL")?;
        drop(held);
        watch(world, &victim, killed, &mut seen).await;
        world.nodes[victim.number].ended(PATIENCE).await?;
        world.nodes[victim.number].start(&world.setting)?;
        world.caller.wait_ready(victim.number).await?;
        world.settled().await?;
    }
    let n_joins = world.setting.channels.len() as f64 / f64::from(JOINS_PER_10S);
    let heard_bar = n_joins.ceil() * 10_000.0 + 2_000.0;
    Ok(vec![
        row(
            "R1",
            format!("kill -9, {n_rounds}, {} inside a transaction: claims", seen.n_held),
            &seen.taken_over,
            "95 of 100 ≤500 ms",
            |p| p.p95_ms <= 500.0,
        ),
        row(
            "R1",
            "first reply of 20 of its channels".to_owned(),
            &seen.first_replies,
            "p99 ≤1,500 ms",
            |p| p.p99_ms <= 1_500.0,
        ),
        row(
            "R1",
            "last channel heard again".to_owned(),
            &seen.heard,
            &format!("≤{heard_bar:.0} ms"),
            |p| p.max_ms <= heard_bar,
        ),
        Line::count("R1", "takeovers, replies, joins that never came", seen.n_never, 0),
    ])
}

/// R2: signal 19, and 18 later.
pub(crate) async fn stops(world: &mut World, n_rounds: usize) -> Result<Vec<Line>> {
    let mut seen = Seen::default();
    for round in 0..n_rounds {
        let victim = choose(world).await?;
        let length = Duration::from_secs(STOPS_SECS[round % STOPS_SECS.len()]);
        eprintln!(
            "stop {}/{n_rounds}: node-{} of {} channels, {length:?}",
            round + 1,
            victim.number,
            victim.channels.len()
        );
        let held = held(world, &victim, round).await?;
        seen.n_held += usize::from(held.is_some());
        let stopped = Instant::now();
        world.nodes[victim.number].signal("STOP")?;
        // Its session goes on to where it waits for the stopped process, still inside its transaction.
        drop(held);
        if length > Duration::from_secs(2) {
            watch(world, &victim, stopped, &mut seen).await;
        }
        tokio::time::sleep(length.saturating_sub(stopped.elapsed())).await;
        let was_buried = world.incarnation(victim.number).await?.is_none();
        let woken = Instant::now();
        world.nodes[victim.number].signal("CONT")?;
        if was_buried {
            back(world, &victim, woken, &mut seen).await?;
            seen.n_late_lines += world.ledger.n_from(&victim.connections, woken + SILENT_AFTER);
        }
        world.settled().await?;
    }
    Ok(vec![
        row(
            "R2",
            format!("SIGSTOP 1-30 s, {n_rounds}, {} inside a transaction: claims", seen.n_held),
            &seen.taken_over,
            "max ≤3,000 ms",
            |p| p.max_ms <= 3_000.0,
        ),
        row(
            "R2",
            "first reply of 20 of its channels".to_owned(),
            &seen.first_replies,
            "p99 ≤4,500 ms",
            |p| p.p99_ms <= 4_500.0,
        ),
        row("R2", "woken, back as a new incarnation".to_owned(), &seen.back, "≤10,000 ms", |p| {
            p.max_ms <= 10_000.0
        }),
        Line::count("R2", "lines said by the woken process later than 200 ms", seen.n_late_lines, 0),
        Line::count("R2", "takeovers and replies that never came", seen.n_never, 0),
    ])
}

/// What is cut in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// From nodes, database and platform.
    All,
    /// From the other nodes only.
    Nodes,
    Database,
    /// It hears the others no more, they hear it.
    OneWay,
    /// From the database, now and then.
    Flapping,
}

const CUTS: [Cut; 5] = [Cut::All, Cut::Nodes, Cut::Database, Cut::OneWay, Cut::Flapping];

/// The ways that are shut, each from where to where.
fn ways(cut: Cut, node: usize) -> Vec<(Place, Place)> {
    let others = || (0..N_NODES).filter(move |other| *other != node).map(Place::Node);
    let node = Place::Node(node);
    match cut {
        Cut::All => {
            let out = others().chain([Place::Database, Place::Twitch]).map(|to| (node, to));
            out.chain(others().map(|from| (from, node))).chain([(Place::Control, node)]).collect()
        }
        Cut::Nodes => others().flat_map(|other| [(node, other), (other, node)]).collect(),
        Cut::Database | Cut::Flapping => vec![(node, Place::Database)],
        Cut::OneWay => others().map(|other| (other, node)).collect(),
    }
}

/// R3: a node behind a cut, and healed.
pub(crate) async fn cuts(world: &mut World, n_rounds: usize) -> Result<Vec<Line>> {
    let (mut seen, mut healed) = (Seen::default(), Vec::new());
    let (mut n_moves_flapping, mut n_moves_of_links) = (0.0_f64, 0);
    for round in 0..n_rounds {
        let cut = CUTS[round % CUTS.len()];
        let victim = choose(world).await?;
        eprintln!(
            "cut {}/{n_rounds}: {cut:?}, node-{} of {} channels",
            round + 1,
            victim.number,
            victim.channels.len()
        );
        let held = if cut == Cut::All { held(world, &victim, 1).await? } else { None };
        seen.n_held += usize::from(held.is_some());
        if matches!(cut, Cut::Nodes | Cut::OneWay) {
            // What moves then moves because of the cut.
            world.balanced().await?;
        }
        let before = world.owning().await?;
        let begun = Instant::now();
        shut(world, cut, held, &victim, &mut seen).await?;
        let mended = Instant::now();
        world.nodes[victim.number].start_if_ended(&world.setting)?;
        world.settled().await?;
        healed.push(mended.elapsed());
        let moves = world.owning().await?.n_changes - before.n_changes;
        match cut {
            Cut::Flapping => {
                n_moves_flapping = n_moves_flapping.max(moves as f64 / victim.channels.len().max(1) as f64);
            }
            Cut::Nodes | Cut::OneWay => n_moves_of_links += usize::try_from(moves).unwrap_or(0),
            Cut::All | Cut::Database => {}
        }
        if cut != Cut::Flapping && matches!(cut, Cut::Database | Cut::All) {
            let silent = begun + GATE + SILENT_AFTER;
            seen.n_late_lines += world.ledger.n_from(&victim.connections, silent);
        }
    }
    Ok(vec![
        row(
            "R3",
            format!("cut off, {n_rounds}, {} inside a transaction: claims", seen.n_held),
            &seen.taken_over,
            "max ≤3,000 ms",
            |p| p.max_ms <= 3_000.0,
        ),
        row(
            "R3",
            "healed: three nodes, everything owned and joined once".to_owned(),
            &healed,
            "≤10,000 ms",
            |p| p.max_ms <= 10_000.0,
        ),
        Line::count("R3", "lines said without the database after the gate time", seen.n_late_lines, 0),
        Line::count("R3", "moves while only links were cut", n_moves_of_links, 0),
        Line::at_most("R3", "moves a channel while flapping", n_moves_flapping, 2.0),
        Line::count("R3", "takeovers that never came", seen.n_never, 0),
    ])
}

/// Shuts the ways for a while and watches, then opens them.
async fn shut(world: &World, cut: Cut, held: Option<Held>, victim: &Victim, seen: &mut Seen) -> Result<()> {
    let ways = ways(cut, victim.number);
    let set = |is_cut: bool| {
        let one = |(from, to): &(Place, Place)| {
            if is_cut { network::cut(*from, *to) } else { network::heal(*from, *to) }
        };
        ways.iter().try_for_each(one)
    };
    let begun = Instant::now();
    if cut == Cut::Flapping {
        for _ in 0..N_FLAPS {
            set(true)?;
            tokio::time::sleep(FLAP[0]).await;
            set(false)?;
            tokio::time::sleep(FLAP[1]).await;
        }
        return Ok(());
    }
    set(true)?;
    drop(held);
    if matches!(cut, Cut::All | Cut::Database) {
        match world.taken_over(&victim.incarnation, begun, CUT_FOR).await {
            Some(took) => seen.taken_over.push(took),
            None => seen.n_never += 1,
        }
    }
    tokio::time::sleep(CUT_FOR.saturating_sub(begun.elapsed())).await;
    set(false)
}

/// Percentiles with the nineteen of twenty that claims are judged by.
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub(crate) struct Spread {
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Spread {
    pub(crate) fn of(samples: &[Duration]) -> Self {
        let all = Percentiles::of(samples.to_vec());
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        Self {
            p95_ms: sorted.get(rank).map_or(0.0, |took| ms(*took)),
            p99_ms: all.p99_ms,
            max_ms: all.max_ms,
        }
    }
}
