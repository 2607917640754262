//! A channel for the tests of modules: a real database, a fixed clock, no actors.
//!
//! [`World::say`] does what the gate and the module actor do with a command line, so that a test reads like a chat.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::command_line::CommandLine;
use domain::{ChannelKey, CorrelationId, Level, Platform};
use futures_util::future::BoxFuture;
use serde_json::Map;
use storage::commands::Command;
use storage::{Db, StorageOptions};
use tempfile::TempDir;
use ulid::Ulid;

use super::{MODULES, Registry};
use crate::actors::{Context, Module, ModuleError, Services};
use crate::cluster::SlotSpec;
use crate::cluster::{ChannelSlot, Directory};
use crate::config::Config;
use crate::http::{FetchOptions, UrlFetcher};
use crate::messages::streamers::MadeUp;
use crate::messages::{
    ByteBudget, ChatEvent, Chatter, Clock, CommandCall, CommandTable, Completion, CustomCommand, EventKind,
    Line, ModuleRequest, Once, OutboundReply, Reply, ReplySink, Source, Spawner, TableEntry,
};

/// One channel (`console:waddle`) on a fresh database, at noon of 1 January 2030.
pub struct World {
    pub services: Arc<Services>,
    pub slot: Arc<ChannelSlot>,
    pub clock: Clock,
    modules: HashMap<&'static str, Box<dyn Module>>,
    n_lines: AtomicU64,
    _folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let db = Db::open(&StorageOptions::new(url)).await.unwrap();
        Self::on(db, folder).await
    }

    /// One on each database.
    pub async fn on_both() -> [Self; 2] {
        let db = storage::testing::empty_postgres().await.db;
        [Self::new().await, Self::on(db, tempfile::tempdir().unwrap()).await]
    }

    async fn on(db: Db, folder: TempDir) -> Self {
        let clock = Clock::fixed("2030-01-01T12:00:00Z".parse().unwrap());
        db.migrate(clock.now()).await.unwrap();
        let channel = add_channel(&db, clock.now()).await;
        let spawner = Arc::new(TestSpawner);
        let directory = Arc::new(Directory::new(64, Arc::new(ByteBudget::new(1 << 20)), spawner.clone()));
        let spec = SlotSpec {
            id: channel.id,
            community_id: channel.community_id,
            platform: Platform::Console,
            login: channel.login,
            platform_id: None,
            ownership: None,
        };
        let slot = directory.add(vec![spec]).remove(0);
        let services = Arc::new(Services {
            node_id: "test".to_owned(),
            incarnation: "test".to_owned(),
            started_at: clock.now(),
            clock: clock.clone(),
            db,
            urls: fetcher(&clock, Vec::new()),
            streamers: Arc::new(MadeUp::default()),
            directory,
            spawner,
            registry: Registry::new(MODULES),
            limits: Config::local(std::iter::empty()).unwrap().limits,
            poll_slots: Arc::default(),
            ends: Arc::default(),
            breakers: Arc::default(),
            events: Arc::new(crate::telemetry::event_log::EventLog::new(
                Arc::default(),
                chrono::TimeDelta::days(1),
                StorageOptions::new("sqlite://none"),
                folder.path().join("events.db"),
            )),
            meters: crate::telemetry::command_meters::CommandMeters::default(),
            loads: Arc::new(tokio::sync::Semaphore::new(1)),
        });
        Self { services, slot, clock, modules: HashMap::new(), n_lines: AtomicU64::new(0), _folder: folder }
    }

    /// The same with an operator who lets users reach this service.
    pub async fn allowing(address: SocketAddr) -> Self {
        let mut world = Self::new().await;
        let services = Arc::get_mut(&mut world.services).expect("nobody has it yet");
        services.urls = fetcher(&world.clock, vec![address.to_string()]);
        world
    }

    /// What the channel's commands are now.
    pub async fn table(&self) -> Arc<CommandTable> {
        let (db, slot) = (&self.services.db, &self.slot);
        let rows = storage::commands::for_channel(db, slot.id, slot.community_id).await.unwrap();
        let aliases = storage::aliases::list(db, slot.id).await.unwrap();
        Arc::new(CommandTable {
            commands: rows.into_iter().map(|row| (row.spec.command.clone(), entry(row))).collect(),
            aliases: aliases.into_iter().map(|row| (row.name, row.body)).collect(),
            ..CommandTable::default()
        })
    }

    /// One line of `user`; the replies' texts, or the text of the mistake.
    pub async fn say(&mut self, level: Level, user: &str, line: &str) -> Vec<String> {
        let message_id = format!("m{}", self.n_lines.fetch_add(1, Ordering::Relaxed));
        match self.deliver(level, user, line, &message_id).await {
            Ok(replies) => replies.into_iter().map(|reply| reply.text).collect(),
            Err(ModuleError::User(text)) => vec![text],
            Err(error) => panic!("{line}: {error:?}"),
        }
    }

    /// A moderator's line with exactly one answer.
    pub async fn moderator(&mut self, line: &str) -> String {
        let mut replies = self.say(Level::Moderator, "Mod", line).await;
        assert_eq!(replies.len(), 1, "{line}: {replies:?}");
        replies.remove(0)
    }

    /// A viewer's line with exactly one answer.
    pub async fn viewer(&mut self, line: &str) -> String {
        let mut replies = self.say(Level::Everyone, "Ann", line).await;
        assert_eq!(replies.len(), 1, "{line}: {replies:?}");
        replies.remove(0)
    }

    /// Delivers one line under that message id, as often as it is called.
    pub async fn deliver(
        &mut self,
        level: Level,
        user: &str,
        line: &str,
        message_id: &str,
    ) -> Result<Vec<Reply>, ModuleError> {
        let table = self.table().await;
        let typed = CommandLine::parse(line).expect("the test says a command");
        let name = typed.name.to_lowercase();
        let (name, module, custom) = match (table.commands.get(&name), self.services.registry.command(&name))
        {
            (Some(entry), None) => (name, entry.module.clone(), entry.custom.clone()),
            (_, Some((module, command))) => (command.name.to_owned(), module.name.to_owned(), None),
            (None, None) => panic!("no command {name}"),
        };
        let call = CommandCall {
            ticket: 1,
            name: name.into(),
            args: typed.args.to_owned(),
            level,
            custom,
            event: Arc::new(self.event(level, user, line, message_id)),
            received: Instant::now(),
            sink: Arc::new(NoSink),
            permit: None,
            table,
        };
        let (ctx, module) = self.enter(&module, &call.event, &call.table);
        module.on_command(&ctx, &call).await
    }

    /// Gives `event` to a module.
    pub async fn event_to(&mut self, module: &str, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
        let table = self.table().await;
        let (mut ctx, module) = self.enter(module, &Arc::new(event.clone()), &table);
        // What an event says leaves for good, and a repeat says nothing.
        ctx.has_outlet = true;
        let replies = module.on_event(&ctx, event).await?;
        Ok(replies.into_iter().filter(|reply| reply.once != Once::Repeated).collect())
    }

    /// Gives plain lines to a module; the replies' texts.
    pub async fn lines_to(&mut self, module: &str, lines: &[(Level, &str)]) -> Vec<String> {
        let lines = lines.iter().map(|(level, user)| {
            let event = self.event(*level, user, "hello", "none");
            Line { user: event.user, text: event.text, message_id: None }
        });
        let lines: Vec<_> = lines.collect();
        let table = self.table().await;
        let event = Arc::new(self.services.system_event(&self.slot));
        let (mut ctx, module) = self.enter(module, &event, &table);
        ctx.has_outlet = true;
        module.on_lines(&ctx, &lines).await.unwrap().into_iter().map(|reply| reply.text).collect()
    }

    /// An event of this channel as a platform would bring it.
    pub fn event(&self, level: Level, user: &str, text: &str, message_id: &str) -> ChatEvent {
        ChatEvent {
            channel_id: self.slot.id,
            platform: Platform::Console,
            kind: EventKind::ChatMessage,
            source: Source::Console,
            message_id: Some(message_id.to_owned()),
            user: Chatter {
                platform_user_id: format!("id-{}", user.to_lowercase()),
                login: user.to_lowercase(),
                display_name: user.to_owned(),
                level,
            },
            text: text.to_owned(),
            sent_at: None,
            received_at: self.clock.now(),
            correlation_id: CorrelationId(Ulid::from_parts(1, 1)),
            traceparent: None,
            metadata: Map::new(),
        }
    }

    fn enter(
        &mut self,
        module: &str,
        event: &Arc<ChatEvent>,
        table: &Arc<CommandTable>,
    ) -> (Context, &mut Box<dyn Module>) {
        let spec = *self.services.registry.module(module).expect("the module is in the registry");
        let ctx = Context::new(
            Arc::clone(&self.services),
            Arc::clone(&self.slot),
            Arc::clone(table),
            spec.name,
            Arc::clone(event),
        );
        (ctx, self.modules.entry(spec.name).or_insert_with(spec.new))
    }
}

/// One that trusts nobody's certificate and reaches nothing else inside.
fn fetcher(clock: &Clock, allow: Vec<String>) -> UrlFetcher {
    let roots = rustls::RootCertStore::empty();
    UrlFetcher::new(FetchOptions::new(roots, clock.clone(), allow)).unwrap()
}

async fn add_channel(db: &Db, now: DateTime<Utc>) -> storage::channels::Channel {
    let key = ChannelKey::new(Platform::Console, "waddle").unwrap();
    let mut tx = db.begin().await.unwrap();
    let ensured = storage::channels::ensure(&mut tx, &key, None, now).await.unwrap();
    tx.commit().await.unwrap();
    ensured.channel
}

fn entry(row: Command) -> TableEntry {
    let spec = row.spec;
    let is_custom = !spec.response.is_empty();
    TableEntry {
        module: spec.module_name,
        level: spec.level,
        cooldown_secs: u32::try_from(spec.cooldown_secs).unwrap(),
        user_cooldown_secs: u32::try_from(spec.user_cooldown_secs).unwrap(),
        enabled: spec.is_enabled,
        custom: is_custom
            .then(|| Arc::new(CustomCommand { id: row.id.to_string(), response: spec.response })),
    }
}

/// Runs background work on the test's runtime; there are no actors to start.
#[derive(Debug)]
struct TestSpawner;

impl Spawner for TestSpawner {
    fn start_module(&self, _request: ModuleRequest) {}

    fn activate_channel(&self, _channel_id: domain::ChannelId) {}

    #[expect(clippy::disallowed_methods, reason = "the test's runtime drops what is left with itself")]
    fn detach(&self, _name: &'static str, work: BoxFuture<'static, ()>) {
        tokio::spawn(work);
    }
}

/// Replies are returned to the test, not delivered.
#[derive(Debug)]
struct NoSink;

impl ReplySink for NoSink {
    fn deliver(&self, _reply: OutboundReply) {}

    fn done(&self, _completion: &Completion) {}
}
