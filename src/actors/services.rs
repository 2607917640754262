//! What every actor of the node is given at its start.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use storage::Db;

use super::modules::Registry;
use crate::cluster::Directory;
use crate::config::LimitsConfig;
use crate::messages::Clock;
use crate::messages::spawner::SharedSpawner;
use crate::telemetry::poll_slots::PollSlots;

/// The handles that actors share; made once at the start of the node.
#[derive(Debug)]
pub struct Services {
    pub node_id: String,
    pub started_at: DateTime<Utc>,
    pub clock: Clock,
    pub db: Db,
    pub directory: Arc<Directory>,
    pub spawner: SharedSpawner,
    pub registry: Registry,
    pub limits: LimitsConfig,
    /// Where the watchdog sees which module is being polled.
    pub poll_slots: Arc<PollSlots>,
}
