//! The Twitch platform alone: a directory, a spawner that echoes, and the platform's root actor between them.

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use domain::{ChannelId, CommunityId, Outcome, Platform};
use fake_twitch::FakeTwitch;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustls::RootCertStore;
use storage::{Db, StorageOptions, Vault};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use waddlebot::cluster::SlotSpec;
use waddlebot::cluster::{ChannelSlot, Directory};
use waddlebot::config::Config;
use waddlebot::http::{HttpClient, HttpOptions};
use waddlebot::messages::{
    Board, ByteBudget, Clock, Completion, Delivery, ModuleRequest, OutboundReply, PlatformReport, Reply,
    Spawner,
};
use waddlebot::platforms::{PlatformDeps, twitch};

/// Answers each command at once and in order: `!say text` with `text`, anything else with `echo <text>`.
#[derive(Debug, Default)]
struct Echo {
    /// Set once the directory exists.
    directory: OnceLock<Weak<Directory>>,
}

impl Spawner for Echo {
    fn start_module(&self, _request: ModuleRequest) {}

    fn activate_channel(&self, channel_id: ChannelId) {
        let Some(directory) = self.directory.get().and_then(Weak::upgrade) else { return };
        let Some(slot) = directory.get(channel_id) else { return };
        loop {
            let (batch, left) = slot.lane.take(64);
            batch.into_iter().for_each(answer);
            if !left {
                return;
            }
        }
    }

    fn detach(&self, _name: &'static str, _work: BoxFuture<'static, ()>) {}
}

fn answer(delivery: Delivery) {
    let text = match delivery.event.text.strip_prefix("!say ") {
        Some(text) => text.to_owned(),
        None => format!("echo {} {}", delivery.event.kind.as_str(), delivery.event.text),
    };
    delivery.sink.deliver(OutboundReply {
        channel_id: delivery.event.channel_id,
        reply: Reply::text(text),
        in_reply_to: delivery.event.message_id.clone(),
        received: delivery.received,
        correlation_id: delivery.event.correlation_id,
        permit: delivery.permit.map(Arc::new),
    });
    delivery.sink.done(&Completion { outcome: Outcome::Answered, command: None, module: None });
}

/// Stands where the platforms' supervisor stands in a node.
struct Root;

impl Actor for Root {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        _event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A running platform.
pub struct Rig {
    pub directory: Arc<Directory>,
    pub board: Arc<Board>,
    pub db: Db,
    pub vault: Vault,
    pub stop_reading: CancellationToken,
    pub tasks: TaskTracker,
    root: ActorRef<()>,
    actor: ActorCell,
    _folder: Arc<TempDir>,
}

/// Where a rig keeps its database, so that a second rig can go on with it.
pub fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// The settings that lead to `fake` over `irc_url`; `extra` are keys of `[platforms.twitch]` in capitals.
pub fn settings(fake: &FakeTwitch, irc_url: &str, extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let key = |name: &str| format!("WADDLEBOT_PLATFORMS__TWITCH__{name}");
    let mut settings = vec![
        (key("ENABLED"), "true".to_owned()),
        (key("IRC_URL"), irc_url.to_owned()),
        (key("AUTH_URL"), fake.http_url()),
        (key("CA_FILE"), fake.ca_file().display().to_string()),
        (key("BOT_LOGIN"), "waddlebot".to_owned()),
        (key("BOT_TOKEN"), "oauth:token".to_owned()),
        (key("CONNECTIONS_PER_SECOND"), "0".to_owned()),
    ];
    for (name, value) in extra {
        settings.retain(|(known, _)| *known != key(name));
        if !value.is_empty() {
            settings.push((key(name), (*value).to_owned()));
        }
    }
    settings
}

impl Rig {
    /// Starts the platform with these channels.
    pub async fn start(settings: Vec<(String, String)>, logins: &[String]) -> Self {
        Self::start_in(folder(), settings, logins).await
    }

    pub async fn start_in(folder: Arc<TempDir>, settings: Vec<(String, String)>, logins: &[String]) -> Self {
        let config = Config::local(settings.into_iter()).unwrap();
        let (db, vault) = open(folder.path()).await;
        let echo = Arc::new(Echo::default());
        let budget = Arc::new(ByteBudget::new(64 << 20));
        let directory = Arc::new(Directory::new(1_024, budget, Arc::clone(&echo) as Arc<dyn Spawner>));
        echo.directory.set(Arc::downgrade(&directory)).unwrap();
        let (board, tasks, stop_reading) =
            (Arc::new(Board::default()), TaskTracker::new(), CancellationToken::new());
        let deps = PlatformDeps {
            config: Arc::new(config),
            directory: Arc::clone(&directory),
            db: db.clone(),
            vault: vault.clone(),
            clock: Clock::System,
            board: Arc::clone(&board),
            send_budget: Arc::new(ByteBudget::new(32 << 20)),
            http: HttpClient::new(HttpOptions {
                roots: RootCertStore::empty(),
                clock: Clock::System,
                seed: 1,
            })
            .unwrap(),
            tasks: tasks.clone(),
            stop_reading: stop_reading.clone(),
            console: false,
        };
        add(&directory, logins);
        let (root, _) = Actor::spawn(None, Root, ()).await.unwrap();
        let actor = (twitch::SPEC.spawn)(deps, root.get_cell()).await.unwrap();
        Self { directory, board, db, vault, stop_reading, tasks, root, actor, _folder: folder }
    }

    /// Adds channels while it runs.
    pub fn add(&self, logins: &[String]) {
        add(&self.directory, logins);
    }

    pub fn slot(&self, login: &str) -> Arc<ChannelSlot> {
        self.directory.find(&format!("twitch:{login}").parse().unwrap()).unwrap()
    }

    pub fn report(&self) -> PlatformReport {
        self.board.all().remove(&Platform::Twitch).unwrap_or_default()
    }

    /// Waits until the board says what is wanted.
    pub async fn wait_report(
        &self,
        wanted: impl Fn(&PlatformReport) -> bool,
        deadline: Instant,
    ) -> PlatformReport {
        loop {
            let report = self.report();
            assert!(wanted(&report) || Instant::now() < deadline, "{report:?}");
            if wanted(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the platform as a node does; it flushes and closes.
    pub async fn stop(self) {
        self.stop_reading.cancel();
        self.actor.stop_and_wait(None, Some(Duration::from_secs(10))).await.unwrap();
        self.root.stop(None);
        self.tasks.close();
        tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await.expect("every task ends");
    }
}

async fn open(folder: &Path) -> (Db, Vault) {
    let url = format!("sqlite://{}", folder.join("rig.db").display());
    let db = Db::open(&StorageOptions::new(url)).await.unwrap();
    db.migrate(Clock::System.now()).await.unwrap();
    (db, Vault::open_or_create(&folder.join("storage.key")).unwrap())
}

fn add(directory: &Directory, logins: &[String]) {
    let spec = |login: &String| SlotSpec {
        id: ChannelId(Ulid::new()),
        community_id: CommunityId(Ulid::new()),
        platform: Platform::Twitch,
        login: login.clone(),
        platform_id: None,
        ownership: None,
    };
    directory.add(logins.iter().map(spec).collect());
}

/// `channel_0`, `channel_1`, …
pub fn names(n_channels: usize) -> Vec<String> {
    (0..n_channels).map(|n| format!("channel_{n}")).collect()
}

pub fn within(secs: u64) -> Instant {
    Instant::now() + Duration::from_secs(secs)
}
