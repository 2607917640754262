//! The program: arguments, configuration, start, wait, exit code.

use std::process::ExitCode;

use clap::Parser;
use waddlebot::cli::{self, Cli, Command, Env, RunArgs, say, say_part, tell};
use waddlebot::config::Config;
use waddlebot::run::{self as running, EXIT_BURIED};
use waddlebot::supervision::{boot, tree};

/// Gives the memory of passive channels back to the system, which glibc's does not: docs/decisions/0009.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<ExitCode> {
    // serenity, reqwest and ractor_cluster may each bring a provider; without a choice rustls panics at first use.
    // An error means that one is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    // Names that are not text cannot be ours.
    let env: Env = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match cli::dispatch(cli, env.clone()).await {
            Ok(code) => Ok(code),
            Err(Command::Run(args)) => run(args, env).await,
            Err(Command::Migrate { config }) => migrate(config.as_deref(), env).await,
            Err(_) => {
                say_part(tree::picture());
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // Whatever still runs after a hard stop is not waited for.
    runtime.shutdown_background();
    if matches!(&ended, Ok(code) if *code == ExitCode::from(EXIT_BURIED)) {
        running::start_again();
    }
    ended.or_else(|error| {
        tell(format_args!("waddlebot: {error:#}"));
        Ok(ExitCode::FAILURE)
    })
}

async fn run(args: RunArgs, mut env: Env) -> anyhow::Result<ExitCode> {
    if let Some(node) = args.node {
        env.insert("WADDLEBOT_NODE__ID".to_owned(), node);
    }
    let config = Config::load(args.config.as_deref(), env.into_iter())?;
    waddlebot::run::run(config, args.console).await
}

async fn migrate(config: Option<&std::path::Path>, env: Env) -> anyhow::Result<ExitCode> {
    let config = Config::load(config, env.into_iter())?;
    let db = boot::open_storage(&config, None).await?;
    say(format_args!("schema version {}", db.schema_version().await?));
    db.close().await;
    Ok(ExitCode::SUCCESS)
}
