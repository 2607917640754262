//! Nodes that are told to end and start again, and a time without any fault.

use std::io::Result;
use std::time::{Duration, Instant};

use super::table::{Line, row};
use super::world::{N_NODES, World};
use crate::process;

const ENDED_WITHIN: Duration = Duration::from_mins(1);
/// Channels that are asked all the time, and how often each.
const N_PROBED: usize = 100;
const PROBED_EACH: Duration = Duration::from_millis(200);

/// R10: one node after the other.
pub(crate) async fn rolling_restart(world: &mut World) -> Result<Vec<Line>> {
    let step = world.setting.channels.len() / N_PROBED;
    let logins: Vec<String> = world.setting.channels.iter().step_by(step.max(1)).cloned().collect();
    let probes = world.load.probe("rolling", logins, PROBED_EACH);
    let mut ended = Vec::new();
    for number in 0..N_NODES {
        eprintln!("node-{number} is restarted");
        let told = Instant::now();
        world.nodes[number].signal("TERM")?;
        world.nodes[number].ended(ENDED_WITHIN).await?;
        ended.push(told.elapsed());
        world.nodes[number].start(&world.setting)?;
        world.caller.wait_ready(number).await?;
        world.balanced().await?;
    }
    drop(probes);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let gaps = world.ledger.gaps("rolling");
    Ok(vec![
        row("R10", "rolling restart of three: told to end, ended".to_owned(), &ended, "≤20,000 ms", |p| {
            p.max_ms <= 20_000.0
        }),
        row(
            "R10",
            format!("{} commands in {} channels, the longest wait of each", gaps.n_asked, gaps.longest.len()),
            &gaps.longest,
            "p99 <500 ms",
            |p| p.p99_ms < 500.0,
        ),
        Line::count("R10", "commands that nobody answered", gaps.n_unanswered, 0),
    ])
}

/// R14, shortened: the load alone.
pub(crate) async fn quiet(world: &World, length: Duration) -> Result<Vec<Line>> {
    eprintln!("{length:?} without a fault");
    world.balanced().await?;
    let before = world.owning().await?;
    let usage = || -> Result<(f64, u64)> {
        let ids = world.nodes.iter().filter_map(super::node::Node::process_id);
        let all = ids.map(process::usage).collect::<Result<Vec<_>>>()?;
        Ok((all.iter().map(|one| one.cpu_secs).sum(), all.iter().map(|one| one.rss_kib).sum()))
    };
    let (cpu_before, rss_before) = usage()?;
    tokio::time::sleep(length).await;
    let (cpu_after, rss_after) = usage()?;
    let after = world.owning().await?;
    let moves = usize::try_from(after.n_changes - before.n_changes).unwrap_or(usize::MAX);
    let share = (cpu_after - cpu_before) / length.as_secs_f64() * 100.0;
    let grown = (rss_after as f64 - rss_before as f64) / 1024.0;
    let fenced = fenced_writes(world).await;
    Ok(vec![
        Line::count("R14", "no fault: channels that moved", moves, 0),
        Line::new(
            "R14",
            format!("{} s of the load", length.as_secs()),
            format!(
                "three nodes together {share:.0} % of a core, RSS {:.0} MiB ({grown:+.1}), {fenced:.0} fenced writes since their starts",
                rss_after as f64 / 1024.0
            ),
            "",
            true,
        ),
    ])
}

async fn fenced_writes(world: &World) -> f64 {
    let mut sum = 0.0;
    for number in 0..N_NODES {
        sum += world.caller.metric(number, "waddlebot_fenced_writes_total").await.unwrap_or(0.0);
    }
    sum
}
