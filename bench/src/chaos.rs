//! Three nodes as processes under load, and what becomes of the channels while nodes, links and the database fail.

mod caller;
mod database;
mod faults;
mod frozen;
mod held;
mod ledger;
mod links;
mod load;
mod network;
mod node;
mod planned;
mod postgres;
mod table;
mod world;

use std::io::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

use self::table::Line;
use self::world::World;
use crate::process;

pub(crate) const USAGE: &str =
    "usage: waddlebot-bench chaos --bot PATH [options]   break a cluster of three nodes, and print a table
  --bot PATH            a waddlebot built with --features test-support
  --channels N          default 5000
  --kills N             default 20; 0 leaves a row out, here and below
  --stops N             default 20
  --cuts N              default 20
  --database N          rounds of outages of PostgreSQL; default 1
  --clock N             rounds of steps of its clock; default 1
  --rolling N           rolling restarts; default 1
  --quiet-secs N        without any fault; default 60
  --link-secs N         events over one link, full and at half of the goal; default 5
  --keep DIR            the nodes' data and logs; default waddlebot-chaos in the temporary folder, made anew
  --fence-off           the nodes write unfenced: the table must be red";

/// What is done, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) bot: PathBuf,
    pub(crate) n_channels: usize,
    n_kills: usize,
    n_stops: usize,
    n_cuts: usize,
    n_database: usize,
    n_clock: usize,
    n_rolling: usize,
    quiet_secs: usize,
    link_secs: usize,
    pub(crate) is_fence_off: bool,
    /// Where the nodes' data and logs are kept.
    pub(crate) keep: PathBuf,
    command: String,
}

/// # Errors
/// A sentence that names what is wrong.
pub(crate) fn parse(arguments: &[String]) -> std::result::Result<Plan, String> {
    let mut plan = Plan {
        bot: PathBuf::new(),
        n_channels: 5_000,
        n_kills: 20,
        n_stops: 20,
        n_cuts: 20,
        n_database: 1,
        n_clock: 1,
        n_rolling: 1,
        quiet_secs: 60,
        link_secs: 5,
        is_fence_off: false,
        keep: std::env::temp_dir().join("waddlebot-chaos"),
        command: format!("waddlebot-bench chaos {}", arguments.join(" ")),
    };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        if name == "--fence-off" {
            plan.is_fence_off = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} is unknown or needs a value"))?;
        if name == "--bot" {
            plan.bot = PathBuf::from(value);
            continue;
        }
        if name == "--keep" {
            plan.keep = PathBuf::from(value);
            continue;
        }
        let number = value.parse().map_err(|_| format!("{value} is no number"))?;
        match name.as_str() {
            "--channels" => plan.n_channels = number,
            "--kills" => plan.n_kills = number,
            "--stops" => plan.n_stops = number,
            "--cuts" => plan.n_cuts = number,
            "--database" => plan.n_database = number,
            "--clock" => plan.n_clock = number,
            "--rolling" => plan.n_rolling = number,
            "--quiet-secs" => plan.quiet_secs = number,
            "--link-secs" => plan.link_secs = number,
            _ => return Err(format!("unknown: {name}")),
        }
    }
    if plan.bot.as_os_str().is_empty() {
        return Err("chaos breaks waddlebot: give --bot".to_owned());
    }
    if plan.n_channels < 200 {
        return Err("takeovers are watched in many channels: give 200 or more".to_owned());
    }
    Ok(plan)
}

/// Runs every scenario and prints the table.
///
/// # Errors
/// The cluster could not be made or does not settle, or a line of the table is missed.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    if plan.keep.exists() {
        std::fs::remove_dir_all(&plan.keep)?;
    }
    let mut world = World::new(plan).await?;
    world.load.go_on();
    // Ctrl-C ends here, too, so that nodes, network and server go with the world.
    let lines = tokio::select! {
        lines = scenarios(plan, &mut world) => lines?,
        _ = tokio::signal::ctrl_c() => return Err(Error::other("stopped; the rows so far stand above")),
    };
    println!("{}\n\n`{}`\n\n{}", process::machine()?, plan.command, table::markdown(&lines));
    let n_missed = lines.iter().filter(|line| !line.is_met()).count();
    if n_missed == 0 {
        Ok(())
    } else {
        Err(Error::other(format!("{n_missed} lines of the table are missed")))
    }
}

async fn scenarios(plan: &Plan, world: &mut World) -> Result<Vec<Line>> {
    let mut lines = Lines::default();
    if plan.quiet_secs > 0 {
        lines.add(planned::quiet(world, Duration::from_secs(plan.quiet_secs as u64)).await?);
    }
    if plan.link_secs > 0 {
        lines.add(links::figures(world, Duration::from_secs(plan.link_secs as u64)).await?);
    }
    for _ in 0..plan.n_rolling {
        lines.add(planned::rolling_restart(world).await?);
    }
    if plan.n_kills > 0 {
        lines.add(faults::kills(world, plan.n_kills).await?);
    }
    if plan.n_stops > 0 {
        lines.add(faults::stops(world, plan.n_stops).await?);
        lines.add(frozen::wakes(world, plan.n_stops.div_ceil(5)).await?);
    }
    if plan.n_cuts > 0 {
        lines.add(faults::cuts(world, plan.n_cuts).await?);
    }
    for _ in 0..plan.n_database {
        lines.add(database::outages(world).await?);
    }
    for _ in 0..plan.n_clock {
        lines.add(database::clock_steps(world).await?);
    }
    lines.add(table::judged(&world.judge().await?));
    Ok(lines.0)
}

/// Those so far; each is shown as it comes, since a run takes a while.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, lines: Vec<Line>) {
        eprint!("{}", table::rows(&lines));
        self.0.extend(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_needs_a_program_and_known_options() {
        let words = |text: &str| parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let plan = words("--bot w --kills 3 --fence-off").unwrap();
        assert_eq!((plan.n_kills, plan.n_stops, plan.is_fence_off), (3, 20, true));
        for bad in ["", "--bot", "--bot w --kills many", "--bot w --channels 5", "--bot w --what 1"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
