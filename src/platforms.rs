//! The registry of platforms: one row a platform.
//!
//! A platform brings events to the [`Directory`] and is a [`ReplySink`](crate::messages::ReplySink) for their replies.
//! It knows no module and no channel actor.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ractor::{ActorCell, SpawnErr};
use storage::Db;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Directory;
use crate::config::Config;
use crate::http::HttpClient;
use crate::messages::{Board, ByteBudget, Clock};

pub mod console;
pub mod twitch;

/// What a platform is given at its start.
#[derive(Clone, Debug)]
pub struct PlatformDeps {
    pub config: Arc<Config>,
    pub directory: Arc<Directory>,
    pub db: Db,
    /// Encrypts the tokens that are stored.
    pub vault: storage::Vault,
    pub clock: Clock,
    pub board: Arc<Board>,
    /// What the replies that wait in all senders of the node may take.
    pub send_budget: Arc<ByteBudget>,
    pub http: HttpClient,
    /// Long-lived tasks of the platform; the node waits for them when it stops.
    pub tasks: TaskTracker,
    /// Cancelled first when the node drains: read no further, keep sending.
    pub stop_reading: CancellationToken,
    /// Whether somebody sits at the terminal and types.
    pub console: bool,
}

/// One row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct PlatformSpec {
    pub name: &'static str,
    /// Whether the configuration, or the terminal, asks for it.
    pub wanted: fn(&PlatformDeps) -> bool,
    /// Starts its root actor, linked to the supervisor. When that actor stops it flushes what waits to be sent, at
    /// most 3 s, then closes its connections.
    pub spawn: fn(PlatformDeps, ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>>,
}

/// Every platform of this build.
pub const PLATFORMS: &[PlatformSpec] = &[twitch::SPEC, console::SPEC];
