//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str =
    "usage: waddlebot-bench [--bot PATH]... [options]   measure, and print Markdown
  --bot PATH            the waddlebot to measure; without it only the bare client is measured
  --channels N,N,…      default 1,1000,5000
  --runs N              runs of each, of which the median is shown; default 3
  --secs N              length of each load; default 5
  --load-core N         default 0
  --bot-core N          default 1
  --no-bare-client      leave out the bare twitch-irc client and the load's own ceiling
       waddlebot-bench bare-client ADDRESS N_CHANNELS     the twitch-irc client that is measured beside it
       waddlebot-bench drain-client ADDRESS N_CHANNELS    joins, reads and discards";

/// What shall be done.
pub(crate) enum Command {
    Help,
    Measure(Plan),
    BareClient(Target),
    DrainClient(Target),
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// `None`: no bot is measured.
    pub(crate) bot: Option<PathBuf>,
    pub(crate) channels: Vec<usize>,
    pub(crate) n_runs: usize,
    /// Length of each load.
    pub(crate) length: Duration,
    pub(crate) load_core: usize,
    pub(crate) bot_core: usize,
    pub(crate) bare_client: bool,
    /// As it was typed, for the report.
    pub(crate) command: String,
}

/// Where a client of ours connects, and how many channels it joins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) n_channels: usize,
}

/// # Errors
/// A sentence that names what is wrong.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.collect();
    match arguments.first().map(String::as_str) {
        Some("bare-client") => parse_target(&arguments[1..]).map(Command::BareClient),
        Some("drain-client") => parse_target(&arguments[1..]).map(Command::DrainClient),
        Some("--help" | "help") => Ok(Command::Help),
        _ => parse_plan(&arguments).map(Command::Measure),
    }
}

fn parse_target(arguments: &[String]) -> Result<Target, String> {
    let [address, n_channels] = arguments else { return Err("wanted: ADDRESS N_CHANNELS".to_owned()) };
    let address = address.parse().map_err(|_| format!("{address} is no address like 127.0.0.1:6667"))?;
    Ok(Target { address, n_channels: number(n_channels)? })
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn parse_plan(arguments: &[String]) -> Result<Plan, String> {
    let mut plan = Plan {
        bot: None,
        channels: vec![1, 1000, 5000],
        n_runs: 3,
        length: Duration::from_secs(5),
        load_core: 0,
        bot_core: 1,
        bare_client: true,
        command: format!("waddlebot-bench {}", arguments.join(" ")),
    };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        if name == "--no-bare-client" {
            plan.bare_client = false;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} is unknown or needs a value"))?;
        match name.as_str() {
            "--bot" => plan.bot = Some(PathBuf::from(value)),
            "--channels" => plan.channels = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--runs" => plan.n_runs = number(value)?,
            "--secs" => plan.length = Duration::from_secs(number(value)? as u64),
            "--load-core" => plan.load_core = number(value)?,
            "--bot-core" => plan.bot_core = number(value)?,
            _ => return Err(format!("unknown: {name}")),
        }
    }
    if plan.n_runs == 0 || plan.length.is_zero() || plan.channels.is_empty() || plan.channels.contains(&0) {
        return Err("runs, seconds and channels start at 1".to_owned());
    }
    plan.channels.sort_unstable();
    Ok(plan)
}
