//! What a node reads and makes before its first actor runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::{ChannelId, ChannelKey, Platform};
use storage::channels::Channel;
use storage::{Db, StorageOptions};
use tokio::sync::Semaphore;
use ulid::Ulid;

use super::spawner::NodeSpawner;
use super::watchdog::LastAbort;
use crate::actors::Services;
use crate::actors::modules::{MODULES, Registry};
use crate::actors::services::LOADS_MAX;
use crate::cluster::Directory;
use crate::cluster::directory::SlotSpec;
use crate::config::Config;
use crate::messages::spawner::SharedSpawner;
use crate::messages::{ByteBudget, Clock, CommandInfo, Memory, ModuleInfo};
use crate::telemetry::command_meters::CommandMeters;

/// Channels read or added in one go.
const PAGE: u32 = 500;
/// Limits of any HTTP call that names no others.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The channel of the terminal.
pub const CONSOLE_LOGIN: &str = "local";

/// Opens the storage the configuration names and brings its schema up to date.
pub async fn open_storage(config: &Config) -> anyhow::Result<Db> {
    let options = storage_options(config);
    let db = Db::open(&options).await.map_err(|error| anyhow::anyhow!("storage.url: {}", error.advice()))?;
    let applied =
        db.migrate(Clock::System.now()).await.context("the schema could not be brought up to date")?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "schema brought up to date");
    }
    Ok(db)
}

/// The storage section as the storage wants it.
pub fn storage_options(config: &Config) -> StorageOptions {
    StorageOptions {
        url: config.storage.url.clone(),
        replicas: config.storage.replicas.clone(),
        replica_lag_max: config.storage.replica_lag_max,
        max_connections: u32::try_from(config.storage.max_connections).unwrap_or(u32::MAX),
        statement_timeout: config.storage.statement_timeout,
        lock_timeout: config.storage.lock_timeout,
        slow_query: config.storage.slow_query,
    }
}

pub fn directory(config: &Config, memory: Arc<Memory>, spawner: Arc<NodeSpawner>) -> Arc<Directory> {
    let budget = Arc::new(ByteBudget::new(config.limits.data_budget_bytes));
    let spawner: SharedSpawner = spawner;
    let lines_wanted = MODULES.iter().any(|spec| spec.lines);
    let directory = Directory::new(config.limits.channel_mailbox, budget, spawner);
    Arc::new(directory.with_lines_wanted(lines_wanted).with_memory(memory))
}

pub fn services(
    config: &Config,
    db: Db,
    directory: Arc<Directory>,
    spawner: Arc<NodeSpawner>,
    last_abort: Option<LastAbort>,
) -> Services {
    let clock = Clock::System;
    if let Some(abort) = &last_abort {
        tracing::error!(
            channel.key = abort.channel_key,
            module.name = abort.module,
            "the last process was aborted in this module; it begins with an open breaker there"
        );
    }
    Services {
        node_id: config.node.id.clone(),
        incarnation: Ulid::new().to_string(),
        started_at: clock.now(),
        clock,
        db,
        directory,
        spawner,
        registry: Registry::new(MODULES),
        limits: config.limits.clone(),
        ends: Arc::default(),
        breakers: Arc::default(),
        meters: CommandMeters::default(),
        loads: Arc::new(Semaphore::new(LOADS_MAX)),
        poll_slots: Arc::default(),
        suspects: last_abort.into_iter().map(|abort| (abort.channel_key, abort.module)).collect(),
    }
}

/// Writes the configured `[[commands]]` that are not there yet; what people changed since stays.
pub async fn seed_commands(config: &Config, services: &Services) -> anyhow::Result<()> {
    for seed in &config.commands {
        let mut tx = services.db.begin().await?;
        storage::commands::ensure_global_seed(&mut tx, &seed_row(seed), services.clock.now())
            .await
            .with_context(|| format!("[[commands]] {}", seed.name))?;
        tx.commit().await?;
    }
    Ok(())
}

fn seed_row(seed: &crate::config::SeedCommand) -> storage::commands::CommandSpec {
    storage::commands::CommandSpec {
        level: seed.level,
        cooldown_secs: i64::try_from(seed.cooldown.as_secs()).unwrap_or(i64::MAX),
        ..storage::commands::CommandSpec::custom(seed.name.as_str(), seed.response.as_str())
    }
}

/// Adds the configured channels to the storage, then every active one to the directory, page by page.
pub async fn load_channels(config: &Config, services: &Services, console: bool) -> anyhow::Result<()> {
    let mut keys: Vec<ChannelKey> = Vec::new();
    if config.platforms.twitch.enabled {
        keys.extend(config.platforms.twitch.channels.iter().cloned());
    }
    if console {
        keys.push(ChannelKey::new(Platform::Console, CONSOLE_LOGIN)?);
    }
    for page in keys.chunks(PAGE as usize) {
        storage::channels::ensure_many(&services.db, page, services.clock.now()).await?;
    }
    let mut after: Option<ChannelId> = None;
    loop {
        let page = storage::channels::active_all(&services.db, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        services.directory.add(page.into_iter().map(slot_spec).collect());
    }
    Ok(())
}

fn slot_spec(channel: Channel) -> SlotSpec {
    SlotSpec {
        id: channel.id,
        community_id: channel.community_id,
        platform: channel.platform,
        login: channel.login,
        platform_id: channel.platform_id,
    }
}

/// The client for everything the node calls over HTTP.
pub fn http_client(config: &Config) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .timeout(HTTP_TIMEOUT)
        .connect_timeout(HTTP_CONNECT_TIMEOUT)
        .user_agent(concat!("waddlebot/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &config.platforms.twitch.ca_file {
        let pem =
            std::fs::read(path).with_context(|| format!("platforms.twitch.ca_file: {}", path.display()))?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    Ok(builder.build()?)
}

/// The registry as the hub lists it.
pub fn module_infos(registry: &Registry) -> Vec<ModuleInfo> {
    let command = |command: &crate::actors::CommandSpec| CommandInfo {
        name: command.name,
        also: command.also,
        usage: command.usage,
        description: command.description,
        level: command.level,
        cooldown_secs: command.cooldown_secs,
    };
    let module = |spec: &crate::actors::ModuleSpec| ModuleInfo {
        name: spec.name,
        description: spec.description,
        commands: spec.commands.iter().map(command).collect(),
    };
    registry.modules().iter().map(module).collect()
}
