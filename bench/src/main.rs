//! Measures waddlebot under load, beside a bare twitch-irc client and an echo loop, and prints the figures as Markdown.
//!
//! The fake Twitch and the load run in this process on one core, the measured process runs on another.

mod arguments;
mod bare_client;
mod chaos;
mod cores;
mod echo_loop;
mod effects;
mod limits_and_cache;
mod load;
mod overload;
mod percentiles;
mod process;
mod queue;
mod quotes;
mod report;
mod run;
mod services;
mod subject;
mod zipf;

use std::io;
use std::process::ExitCode;

use arguments::{Command, Mode, Plan};

fn main() -> ExitCode {
    let result = match arguments::parse(std::env::args().skip(1)) {
        Ok(Command::Help(text)) => {
            println!("{text}");
            Ok(())
        }
        Ok(Command::BareClient(target)) => {
            worker_runtime().and_then(|runtime| runtime.block_on(bare_client::run(target)))
        }
        Ok(Command::EchoLoop(target)) => {
            worker_runtime().and_then(|runtime| runtime.block_on(echo_loop::run(target)))
        }
        Ok(Command::Chaos(plan)) => worker_runtime().and_then(|runtime| runtime.block_on(chaos::run(&plan))),
        Ok(Command::Measure(plan)) => measure(&plan),
        Err(problem) => {
            eprintln!("{problem}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waddlebot-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The kind of runtime that the bot has.
fn worker_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn measure(plan: &Plan) -> io::Result<()> {
    process::pin_self(plan.load_core)?;
    // Sockets are polled after each task: the load spins while it keeps a pace, and replies must be stamped at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    let (report, trouble) = match &plan.mode {
        Mode::Figures => {
            let series = runtime.block_on(run::all(plan))?;
            (report::markdown(plan, &series)?, report::trouble(&series))
        }
        Mode::Cores(cores) => runtime.block_on(cores::report(plan, cores))?,
        Mode::Effects => runtime.block_on(effects::report(plan))?,
        Mode::Services => worker_runtime()?.block_on(services::report(plan))?,
        Mode::Overload => {
            let outcomes = runtime.block_on(overload::all(plan))?;
            (overload::markdown(plan, &outcomes)?, overload::trouble(&outcomes))
        }
    };
    println!("{report}");
    trouble.map_or(Ok(()), |trouble| Err(io::Error::other(trouble)))
}
