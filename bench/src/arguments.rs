//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::chaos;
use crate::subject::Transport;

pub(crate) const USAGE: &str = "usage: waddlebot-bench [--bot PATH] [options]   measure, and print Markdown
  --bot PATH            the waddlebot to measure; without it only the others are measured
  --channels N,N,…      default 1,1000,5000; with --overload and --bot-cores 1000
  --runs N              runs of each, of which the median is shown; default 3
  --secs N              length of each load; default 5
  --load-core N         default 0
  --bot-core N          default 1
  --transport T,T,…     how the bot is connected: tcp, tls, ws, wss; default tcp
  --uniform             all channels speak as often; else as Zipf has it, with exponent 1
  --no-bare-client      leave out the bare twitch-irc client
  --no-echo-loop        leave out the echo loop
  --passivate           also measure what a channel keeps once its actors have ended: minutes more; first transport
  --bot-cores N,N,…     instead: CPU seconds a line of the bot on these cores beside those on one
  --overload            instead: ten times more than the bot can take
  --one-channel-secs N  its length on one channel; default 20, 0 leaves it out
  --all-channels-secs N the same on all; default 20
  --stall-secs N        how long a connection's sends are stalled; default 15
  --effects             instead: effects a second with their replies; one command under way in each channel, default 200
  --services            instead: queue, limiter, cache and quotes, as a program uses them; needs --postgres and --redis
  --postgres URL        a server on which databases may be made; without it --effects measures SQLite only
  --redis URL           a server whose databases 0 to 2 and 13 to 15 may be used
       waddlebot-bench bare-client ADDRESS N_CHANNELS     the twitch-irc client that is measured beside it
       waddlebot-bench echo-loop ADDRESS N_CHANNELS       the least that a bot could do
       waddlebot-bench chaos …                            a cluster whose parts fail; `chaos --help` says more";

/// What shall be done.
pub(crate) enum Command {
    /// What to print.
    Help(&'static str),
    Measure(Box<Plan>),
    Chaos(chaos::Plan),
    BareClient(Target),
    EchoLoop(Target),
}

/// Which question is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines a second, waiting times, memory.
    Figures,
    /// One core beside these, as `taskset` takes them.
    Cores(String),
    Overload,
    /// Effects a second.
    Effects,
    /// Queue, limiter, cache.
    Services,
}

/// How long each kind of overload lasts; zero: it is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverloadLengths {
    pub(crate) one_channel: Duration,
    pub(crate) all_channels: Duration,
    pub(crate) stall: Duration,
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    /// `None`: no bot is measured.
    pub(crate) bot: Option<PathBuf>,
    pub(crate) channels: Vec<usize>,
    pub(crate) n_runs: usize,
    /// Length of each load.
    pub(crate) length: Duration,
    pub(crate) load_core: usize,
    pub(crate) bot_core: usize,
    pub(crate) transports: Vec<Transport>,
    /// Of the channels' shares; 0: all the same.
    pub(crate) exponent: f64,
    pub(crate) bare_client: bool,
    pub(crate) echo_loop: bool,
    pub(crate) passivate: bool,
    pub(crate) overload: OverloadLengths,
    /// `None`: nothing is measured on `PostgreSQL`.
    pub(crate) postgres: Option<String>,
    /// `None`: nothing is measured with Redis.
    pub(crate) redis: Option<String>,
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
        Some("echo-loop") => parse_target(&arguments[1..]).map(Command::EchoLoop),
        Some("chaos") if arguments.iter().any(|word| word == "--help") => Ok(Command::Help(chaos::USAGE)),
        Some("chaos") => chaos::parse(&arguments[1..])
            .map(Command::Chaos)
            .map_err(|problem| format!("{problem}\n{}", chaos::USAGE)),
        Some("--help" | "help") => Ok(Command::Help(USAGE)),
        _ => parse_plan(&arguments).map(Box::new).map(Command::Measure),
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

fn secs(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs(number(text)? as u64))
}

fn list<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(one).collect()
}

fn transport(text: &str) -> Result<Transport, String> {
    let named = Transport::ALL.into_iter().find(|transport| transport.name() == text);
    named.ok_or_else(|| format!("{text} is none of tcp, tls, ws, wss"))
}

fn defaults(arguments: &[String]) -> Plan {
    Plan {
        mode: Mode::Figures,
        bot: None,
        channels: Vec::new(),
        n_runs: 3,
        length: Duration::from_secs(5),
        load_core: 0,
        bot_core: 1,
        transports: vec![Transport::Tcp],
        exponent: 1.0,
        bare_client: true,
        echo_loop: true,
        passivate: false,
        overload: OverloadLengths {
            one_channel: Duration::from_secs(20),
            all_channels: Duration::from_secs(20),
            stall: Duration::from_secs(15),
        },
        postgres: None,
        redis: None,
        command: format!("waddlebot-bench {}", arguments.join(" ")),
    }
}

fn parse_plan(arguments: &[String]) -> Result<Plan, String> {
    let mut plan = defaults(arguments);
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        if take_flag(&mut plan, name) {
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} is unknown or needs a value"))?;
        match name.as_str() {
            "--bot" => plan.bot = Some(PathBuf::from(value)),
            "--channels" => plan.channels = list(value, number)?,
            "--runs" => plan.n_runs = number(value)?,
            "--secs" => plan.length = secs(value)?,
            "--load-core" => plan.load_core = number(value)?,
            "--bot-core" => plan.bot_core = number(value)?,
            "--transport" => plan.transports = list(value, transport)?,
            "--bot-cores" => {
                let cores = list(value, number)?;
                let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
                plan.mode = Mode::Cores(cores.join(","));
            }
            "--one-channel-secs" => plan.overload.one_channel = secs(value)?,
            "--all-channels-secs" => plan.overload.all_channels = secs(value)?,
            "--redis" => plan.redis = Some(value.clone()),
            "--postgres" => plan.postgres = Some(value.clone()),
            "--stall-secs" => plan.overload.stall = secs(value)?,
            _ => return Err(format!("unknown: {name}")),
        }
    }
    check(plan)
}

/// Whether it was one of those without a value.
fn take_flag(plan: &mut Plan, name: &str) -> bool {
    match name {
        "--uniform" => plan.exponent = 0.0,
        "--no-bare-client" => plan.bare_client = false,
        "--no-echo-loop" => plan.echo_loop = false,
        "--passivate" => plan.passivate = true,
        "--overload" => plan.mode = Mode::Overload,
        "--effects" => plan.mode = Mode::Effects,
        "--services" => plan.mode = Mode::Services,
        _ => return false,
    }
    true
}

fn check(mut plan: Plan) -> Result<Plan, String> {
    if plan.channels.is_empty() {
        plan.channels = match plan.mode {
            Mode::Figures => vec![1, 1000, 5000],
            Mode::Cores(_) | Mode::Overload => vec![1000],
            Mode::Effects => vec![200],
            Mode::Services => vec![1],
        };
    }
    if plan.n_runs == 0 || plan.length.is_zero() || plan.channels.contains(&0) {
        return Err("runs, seconds and channels start at 1".to_owned());
    }
    if plan.mode == Mode::Services {
        let given = plan.postgres.is_some() && plan.redis.is_some();
        return if given { Ok(plan) } else { Err("--services needs --postgres and --redis".to_owned()) };
    }
    if plan.mode != Mode::Figures && plan.bot.is_none() {
        return Err("--overload, --bot-cores and --effects measure the bot: give --bot".to_owned());
    }
    if plan.mode == Mode::Overload && plan.channels.iter().any(|n_channels| *n_channels < 200) {
        return Err(
            "--overload looks at other channels and connections: give 200 channels or more".to_owned()
        );
    }
    if plan.bot.is_none() && !plan.bare_client && !plan.echo_loop {
        return Err("nothing to measure: give --bot, or leave out --no-bare-client".to_owned());
    }
    plan.channels.sort_unstable();
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &str) -> Result<Plan, String> {
        match parse(arguments.split_whitespace().map(str::to_owned))? {
            Command::Measure(plan) => Ok(*plan),
            _ => Err("another command".to_owned()),
        }
    }

    #[test]
    fn defaults_follow_the_mode() {
        assert_eq!(plan("").unwrap().channels, [1, 1000, 5000]);
        let cores = plan("--bot b --bot-cores 0,1 --transport tcp,wss").unwrap();
        assert_eq!((cores.mode, cores.channels), (Mode::Cores("0,1".to_owned()), vec![1000]));
        assert_eq!(cores.transports, [Transport::Tcp, Transport::SecureWebSocket]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let all =
            ["--overload", "--channels 0", "--secs", "--transport udp", "--overload --bot b --channels 10"];
        for arguments in all {
            assert!(plan(arguments).is_err(), "{arguments}");
        }
    }
}
