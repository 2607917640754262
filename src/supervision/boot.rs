//! What a node reads and makes before its first actor runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::{ChannelId, ChannelKey, PartitionSet, Platform};
use membership::Incarnation;
use rand::RngExt;
use rand::rngs::SmallRng;
use storage::suspects::Suspicion;
use storage::{Change, ChangeKind, ChangeScope, Db, StorageError, StorageOptions};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::clustering::Clustering;
use super::spawner::NodeSpawner;
use crate::actors::modules::{MODULES, Registry};
use crate::actors::services::LOADS_MAX;
use crate::actors::{Services, outbox};
use crate::cache::Caches;
use crate::cluster::Directory;
use crate::cluster::SlotSpec;
use crate::config::Config;
use crate::http::{self, FetchOptions, HttpClient, HttpOptions, UrlFetcher};
use crate::messages::spawner::SharedSpawner;
use crate::messages::streamers::StreamerLookup;
use crate::messages::{ByteBudget, Clock, CommandInfo, EventRecord, Memory, ModuleInfo, Recorder, What};
use crate::platforms::twitch::helix::{self, HelixDeps};
use crate::queue::{Queue, StreamBell};
use crate::redis::{Redis, RedisOptions};
use crate::telemetry::command_meters::CommandMeters;
use crate::telemetry::event_log::EventLog;
use crate::telemetry::poll_slots::{Fallen, PollSlots};

/// Channels read or added in one go.
const PAGE: u32 = 500;
/// A start waits so long for the first attempt to reach Redis, so that it need not begin with a change.
const REDIS_SETTLE_MAX: Duration = Duration::from_millis(500);
/// What the caches of a node keep in memory at most.
const CACHE_BYTES_MAX: u64 = 16 << 20;
/// The channel of the terminal.
pub const CONSOLE_LOGIN: &str = "local";

/// Opens the storage the configuration names and brings its schema up to date. The sessions of a
/// node of a cluster carry its incarnation.
pub async fn open_storage(config: &Config, incarnation: Option<Incarnation>) -> anyhow::Result<Db> {
    let options = StorageOptions { incarnation, ..storage_options(config) };
    let db = Db::open(&options).await.map_err(|error| anyhow::anyhow!("storage.url: {}", error.advice()))?;
    let applied =
        db.migrate(Clock::System.now()).await.context("the schema could not be brought up to date")?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "schema brought up to date");
    }
    Ok(db)
}

/// Reports what the last process on this folder fell over, before this one claims anything, and begins to note its own
/// polls there.
pub async fn poll_slots(config: &Config, db: &Db, incarnation: Incarnation) -> anyhow::Result<PollSlots> {
    let folder = &config.node.data_dir;
    if let Some(fallen) = Fallen::read(folder) {
        report(db, &fallen).await.context("cannot report what the last process fell over")?;
    }
    PollSlots::create(folder, incarnation).with_context(|| format!("{}: cannot map a file", folder.display()))
}

async fn report(db: &Db, fallen: &Fallen) -> Result<(), StorageError> {
    for suspect in &fallen.suspects {
        let (channel_id, module) = (suspect.channel_id, suspect.module.clone());
        tracing::error!(channel.id = %channel_id, module.name = module, "the last process fell: {}", fallen.reason);
        let (incarnation, reason) = (fallen.incarnation.to_string(), fallen.reason.to_owned());
        let suspicion = Suspicion { channel_id, module, incarnation, reason };
        let mut tx = db.begin().await?;
        if storage::suspects::report(&mut tx, &suspicion).await? {
            // Whoever serves the channel now reads it again.
            let change = Change::new(ChangeScope::Channel(channel_id), ChangeKind::Modules);
            storage::changes::append_all(&mut tx, &[change], Clock::System.now()).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Begins to connect to Redis, if one is configured, and gives it a moment; without it the node starts all the same.
pub async fn redis(config: &Config, background: &TaskTracker) -> anyhow::Result<Option<Redis>> {
    let Some(options) = redis_options(config) else { return Ok(None) };
    let redis = Redis::start(&options, background).context("redis.url cannot be used")?;
    redis.settle(REDIS_SETTLE_MAX).await;
    Ok(Some(redis))
}

/// The redis section as the handle wants it. `None`: no server is configured.
pub fn redis_options(config: &Config) -> Option<RedisOptions> {
    let section = &config.redis;
    Some(RedisOptions {
        url: section.url.clone()?,
        timeout: section.timeout,
        databases: [section.cache_db, section.limits_db, section.streams_db],
    })
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
        incarnation: None,
    }
}

/// The event log as the configuration has it; its writer opens it.
pub fn event_log(config: &Config) -> Arc<EventLog> {
    let kept = config.telemetry.event_log_kept;
    let recorder = Arc::new(Recorder::new(Clock::System, &config.node.id, !kept.is_zero()));
    let file = config.node.data_dir.join("events.db");
    Arc::new(EventLog::new(recorder, kept, storage_options(config), file))
}

pub fn directory(
    config: &Config,
    memory: Arc<Memory>,
    recorder: Arc<Recorder>,
    spawner: Arc<NodeSpawner>,
) -> Directory {
    let budget = Arc::new(ByteBudget::new(config.limits.data_budget_bytes));
    let spawner: SharedSpawner = spawner;
    let lines_wanted = MODULES.iter().any(|spec| spec.lines && !spec.starts_off);
    let directory = Directory::new(config.limits.channel_mailbox, budget, spawner);
    directory.with_lines_wanted(lines_wanted).with_memory(memory).with_recorder(recorder)
}

pub fn services(
    config: &Config,
    (db, urls, streamers): (Db, UrlFetcher, Arc<dyn StreamerLookup>),
    (directory, events): (Arc<Directory>, Arc<EventLog>),
    (spawner, incarnation): (Arc<NodeSpawner>, Incarnation),
    poll_slots: PollSlots,
) -> Services {
    let clock = Clock::System;
    Services {
        node_id: config.node.id.clone(),
        incarnation: incarnation.to_string(),
        started_at: clock.now(),
        clock,
        db,
        urls,
        streamers,
        directory,
        spawner,
        registry: Registry::new(MODULES),
        limits: config.limits.clone(),
        ends: Arc::default(),
        breakers: Arc::default(),
        meters: CommandMeters::default(),
        events,
        loads: Arc::new(Semaphore::new(LOADS_MAX)),
        poll_slots: Arc::new(poll_slots),
    }
}

/// The queue; a node that is alone reads all of its partitions.
pub fn queue(services: &Services, redis: Option<&Redis>, clustering: Option<&Arc<Clustering>>) -> Arc<Queue> {
    let owned = match clustering {
        Some(clustering) => clustering.partitions.subscribe(),
        None => watch::channel(PartitionSet::ALL).1,
    };
    let far_bell = redis.cloned().map(StreamBell::new);
    Arc::new(Queue::with_far_bell(services.db.clone(), owned, far_bell))
}

/// Brings the storage and the directory to where the first event may come.
pub async fn prepare(config: &Config, services: &Services, console: bool) -> anyhow::Result<()> {
    seed_commands(config, services).await?;
    load_channels(config, services, console).await?;
    outbox::forget_unknown(services).await?;
    resume_event_log(config, services).await
}

/// Writes the configured `[[commands]]` that are not there yet; what people changed since stays.
async fn seed_commands(config: &Config, services: &Services) -> anyhow::Result<()> {
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

/// Goes on with the recordings that the last process had, and notes that this one started.
async fn resume_event_log(config: &Config, services: &Services) -> anyhow::Result<()> {
    for recording in storage::recordings::running(&services.db, services.clock.now()).await? {
        services.directory.record(recording.channel_id, Some(recording.until));
    }
    let started = What::Started { node_id: config.node.id.as_str().into() };
    services.directory.recorder().note(EventRecord::about(None, started));
    Ok(())
}

/// Adds the configured channels to the storage, then every active one to the directory, page by page.
async fn load_channels(config: &Config, services: &Services, console: bool) -> anyhow::Result<()> {
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
    if services.directory.roster().is_some() {
        // The cluster decides which of them come here.
        return Ok(());
    }
    let mut after: Option<ChannelId> = None;
    loop {
        let page = storage::channels::active_all(&services.db, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let slots = services.directory.add(page.into_iter().map(SlotSpec::from).collect());
        services.bring_lines(&slots).await;
    }
    Ok(())
}

/// The one client for the hosts that the configuration names, and the one for addresses that users give.
pub fn http_clients(config: &Config) -> anyhow::Result<(HttpClient, UrlFetcher)> {
    let mut roots = http::system_roots();
    let allow = config.limits.url_fetch_allow.clone();
    let urls = UrlFetcher::new(FetchOptions::new(roots.clone(), Clock::System, allow))?;
    if let Some(path) = &config.platforms.twitch.ca_file {
        http::add_roots(&mut roots, path)
            .with_context(|| format!("platforms.twitch.ca_file: {}", path.display()))?;
    }
    let seed = rand::make_rng::<SmallRng>().random();
    let client = HttpClient::new(HttpOptions { roots, clock: Clock::System, seed })?;
    Ok((client, urls))
}

/// Who streams what, asked of Twitch and remembered.
pub fn streamers(
    config: &Config,
    (http, db): (&HttpClient, &Db),
    redis: Option<&Redis>,
    background: &TaskTracker,
) -> Arc<dyn StreamerLookup> {
    let caches = Caches::start(redis.cloned(), CACHE_BYTES_MAX, background);
    let (http, db) = (http.clone(), db.clone());
    helix::lookup(HelixDeps { config, http, db, caches: &caches, background })
}

/// The hub's port.
pub async fn listen(config: &Config) -> anyhow::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(config.hub.listen).await.with_context(|| {
        format!(
            "hub.listen: cannot listen on {}; is another node running? choose another port",
            config.hub.listen
        )
    })?;
    let address = listener.local_addr()?;
    Ok((listener.into_std()?, address))
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
