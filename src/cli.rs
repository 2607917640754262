//! The command line: what can be typed, and everything but `run`, `migrate` and `tree`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod channels;
mod chat;
mod check_config;
mod client;
mod cluster;
mod commands;
mod doctor;
mod modules;
mod output;
mod queue;
mod transfer;

#[cfg(test)]
mod tests;

pub use output::{say, say_part, tell};

/// What was refused or failed, in the process's exit code; wrong usage is 2, from the parser.
const FAILED: u8 = 1;

/// A chat bot in which every channel is a supervised actor.
#[derive(Debug, Parser)]
#[command(name = "waddlebot", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub node: NodeArgs,
}

/// How to reach a running node.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Address of the node
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "Address of the node [default: WADDLEBOT_URL, else http://127.0.0.1:8080]"
    )]
    pub url: Option<String>,
    /// File with the service key
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "File with the service key [default: WADDLEBOT_SERVICE_KEY, else ./data/service.key]"
    )]
    pub key_file: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// Everything that can be asked of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node; without a file: local mode, SQLite in ./data, hub on 127.0.0.1:8080
    Run(RunArgs),
    /// Talk to the bot from a terminal, through a running node
    Chat(chat::ChatArgs),
    /// Check a configuration and show every problem at once
    CheckConfig {
        /// The configuration
        file: PathBuf,
    },
    /// Bring the database to this version and exit
    Migrate {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the supervision tree
    Tree,
    /// Add, remove, list and import channels; KEY is platform:login or platform:id
    #[command(subcommand)]
    Channels(channels::ChannelsCommand),
    /// Add, edit, remove and list custom commands
    #[command(subcommand)]
    Commands(commands::CommandsCommand),
    /// Show the nodes of the cluster, drain one, move channels, make certificates
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show what waits in the queue, handle dead letters, replay
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Write quotes, commands, bookmarks or timers of a channel as JSON or CSV
    Export(transfer::ExportArgs),
    /// Take quotes, commands, bookmarks or timers in from JSON or CSV; --dry-run shows what would change
    Import(transfer::ImportArgs),
    /// Show the modules, their state, breakers and restarts
    Modules {
        /// Only how they are in this channel
        #[arg(long, value_name = "KEY")]
        channel: Option<String>,
    },
    /// Check configuration, storage, tokens, reachability and clock, and say what to do
    Doctor {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// How to start a node.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The configuration
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration [default: WADDLEBOT_CONFIG, else local mode]"
    )]
    pub config: Option<PathBuf>,
    /// The node's id, instead of the configured one
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// Open the console channel although a platform is configured or standard input is no terminal
    #[arg(long)]
    pub console: bool,
}

/// The environment as `main` found it; tests give their own.
pub type Env = BTreeMap<String, String>;

/// Does what was asked, unless it is `run`, `migrate` or `tree`: those are given back, for the caller's own hands.
///
/// # Errors
/// The command that is not done here.
pub async fn dispatch(cli: Cli, env: Env) -> Result<ExitCode, Command> {
    let Cli { command, node } = cli;
    let json = node.json;
    let done = match command {
        Command::Run(_) | Command::Migrate { .. } | Command::Tree => return Err(command),
        Command::CheckConfig { file } => check_config::check(&file, env, json),
        Command::Doctor { config } => doctor::examine(config.as_deref(), &node, env).await,
        Command::Chat(args) => {
            with_node(&node, &env, async |client| chat::talk(client, args, json).await).await
        }
        Command::Channels(command) => {
            with_node(&node, &env, async |client| channels::run(client, command, json).await).await
        }
        Command::Commands(command) => {
            with_node(&node, &env, async |client| commands::run(client, command, json).await).await
        }
        Command::Cluster(command) => cluster::run(command, &node, &env).await,
        Command::Queue(command) => {
            with_node(&node, &env, async |client| queue::run(client, command, json).await).await
        }
        Command::Export(args) => {
            with_node(&node, &env, async |client| transfer::export(client, &args).await).await
        }
        Command::Import(args) => {
            with_node(&node, &env, async |client| transfer::import(client, &args, json).await).await
        }
        Command::Modules { channel } => {
            with_node(&node, &env, async |client| modules::show(client, channel.as_deref(), json).await).await
        }
    };
    Ok(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            ExitCode::from(FAILED)
        }
    })
}

/// Runs `work` with a client for the node.
async fn with_node(
    node: &NodeArgs,
    env: &Env,
    work: impl AsyncFnOnce(&client::Client) -> Result<(), output::Failure>,
) -> Result<(), output::Failure> {
    let client = client::Client::new(node, env)?;
    work(&client).await
}
