//! `waddlebot run`: start the node, say what runs, wait, stop softly.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::config::Config;
use crate::supervision::signals::StopSignals;
use crate::supervision::{Node, RunOptions, screen};
use crate::telemetry::logs::{self, LogTarget};

mod again;

pub use again::start_again;

/// The node gave itself up; the service manager starts it again.
pub const EXIT_GIVEN_UP: u8 = 70;
/// The others of the cluster took this process for dead: it starts anew as another incarnation.
pub const EXIT_BURIED: u8 = 75;
/// A second signal ended the soft stop.
const EXIT_HARD_STOP: u8 = 1;

/// Runs a node until it is stopped.
///
/// # Errors
/// What kept it from starting, in a sentence that names what to change.
pub async fn run(config: Config, console: bool) -> anyhow::Result<ExitCode> {
    let console = console || (std::io::stdin().is_terminal() && !config.platforms.twitch.enabled);
    let target = if console {
        std::fs::create_dir_all(&config.node.data_dir)?;
        LogTarget::File(config.node.data_dir.join("waddlebot.log"))
    } else {
        LogTarget::Stderr
    };
    logs::install(&config.telemetry, &target)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut signals = StopSignals::listen()?;
    let mut node = Node::start(config.clone(), RunOptions { console }).await?;
    tracing::info!(node.id = %config.node.id, address = %node.address, "ready");
    announce(&if console { screen::welcome(&node, &config) } else { screen::ready(&node, &config) });
    let (drain, died) = (node.drain.clone(), node.died());
    tokio::select! {
        () = signals.next() => {}
        () = drain.cancelled() => {}
        () = died.cancelled() => {
            tracing::error!("the cluster took this process for dead and owns its channels; exit 75");
            return Ok(ExitCode::from(EXIT_BURIED));
        }
        _ = &mut node.ended => {
            tracing::error!("a part of the node crashed too often; exit 70");
            return Ok(ExitCode::from(EXIT_GIVEN_UP));
        }
    }
    tokio::select! {
        () = node.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => {
            tracing::warn!("second signal: stopping at once");
            Ok(ExitCode::from(EXIT_HARD_STOP))
        }
    }
}

/// One text on standard output. A reader that is gone does not stop the node.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "nobody reads standard output");
    }
}
