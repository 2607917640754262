//! A hub on a free port whose channels are played by a fake.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use domain::{ChannelId, ChannelKey, Level, Outcome, Refusal};
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rustls::RootCertStore;
use secrecy::SecretString;
use serde_json::Value;
use storage::{Db, StorageOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ChannelSlot, Directory};
use crate::config::Config;
use crate::http::{FetchOptions, UrlFetcher};
use crate::hub::{HubDeps, NodeInfo, serve};
use crate::limits::Limiter;
use crate::messages::spawner::{ModuleRequest, Spawner};
use crate::messages::streamers::MadeUp;
use crate::messages::{
    Board, ByteBudget, ChannelMsg, ChannelReport, ChatEvent, Clock, CommandInfo, Completion, Delivery,
    ModuleInfo, ModuleReport, NotDelivered, Operator, OutboundReply, PartReport, ReplayAsk, ReplayPage,
    Reply,
};
use crate::queue::Queue;
use crate::telemetry::event_log::EventLog;

pub const KEY: &str = "9f3c1e7ab24d6058c1f7e92ab3d4605f";

/// Plays every channel: answers what stands in the lane as soon as it is woken.
#[derive(Debug, Default)]
pub struct FakeChannels {
    directory: OnceLock<Arc<Directory>>,
    /// What the channels saw, oldest first.
    pub seen: Mutex<Vec<Arc<ChatEvent>>>,
    /// Events that are never ended.
    kept: Mutex<Vec<Delivery>>,
}

impl Spawner for FakeChannels {
    fn start_module(&self, _request: ModuleRequest) {}

    fn activate_channel(&self, channel_id: ChannelId) {
        let slot = self.directory.get().unwrap().get(channel_id).unwrap();
        for delivery in slot.lane.take(64).0 {
            self.answer(delivery);
        }
    }

    fn detach(&self, _name: &'static str, _work: BoxFuture<'static, ()>) {}
}

impl FakeChannels {
    fn answer(&self, delivery: Delivery) {
        let event = Arc::clone(&delivery.event);
        self.seen.lock().unwrap().push(Arc::clone(&event));
        let end = |outcome, command: &str| {
            let module = matches!(outcome, Outcome::Answered).then_some("ping");
            delivery.sink.done(&Completion { outcome, command: Some(command.into()), module });
        };
        let say = |text: &str| {
            delivery.sink.deliver(OutboundReply {
                channel_id: event.channel_id,
                reply: Reply::text(text),
                in_reply_to: None,
                received: delivery.received,
                correlation_id: event.correlation_id,
                permit: None,
            });
        };
        match event.text.as_str() {
            "!ping" => {
                say("Pong!");
                end(Outcome::Answered, "ping");
            }
            "!twice" => {
                say("one");
                say("two");
                end(Outcome::Answered, "twice");
            }
            "!cold" => {
                say("Wait 4 s.");
                end(Outcome::Refused { refusal: Refusal::Cooldown { seconds_left: 4 } }, "cold");
            }
            "!busy" => end(Outcome::Moved, "busy"),
            "!keep" => self.kept.lock().unwrap().push(delivery),
            text if text.starts_with('!') => {
                let command = text[1..].to_owned();
                end(Outcome::Refused { refusal: Refusal::Unknown { command } }, text);
            }
            _ => {}
        }
    }
}

/// An actor that describes itself, or is silent.
pub struct FakeActor {
    pub silent: bool,
}

impl Actor for FakeActor {
    type Msg = ChannelMsg;
    type State = Vec<ractor::RpcReplyPort<ChannelReport>>;
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<ChannelMsg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        me: ActorRef<ChannelMsg>,
        message: ChannelMsg,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChannelMsg::Describe(reply) if self.silent => kept.push(reply),
            ChannelMsg::Describe(reply) => drop(reply.send(report())),
            ChannelMsg::Operate { reply, .. } => drop(reply.send(Ok(()))),
            ChannelMsg::Drain => me.stop(None),
            _ => {}
        }
        Ok(())
    }
}

fn report() -> ChannelReport {
    ChannelReport {
        channel_id: ChannelId(ulid::Ulid::nil()),
        mailbox: 0,
        mailbox_max: 1_024,
        modules: vec![ModuleReport {
            module: "ping",
            enabled: true,
            running: true,
            breaker: "OPEN",
            retry_in_secs: Some(5),
            restarts: 3,
            failures: 4,
            waiting: 0,
        }],
        last_events: Vec::new(),
    }
}

#[derive(Debug, Default)]
pub struct FakeOperator(pub Mutex<Vec<ChannelId>>);

impl Operator for FakeOperator {
    fn restart_channel(&self, channel_id: ChannelId) -> BoxFuture<'static, Result<(), String>> {
        self.0.lock().unwrap().push(channel_id);
        Box::pin(async { Ok(()) })
    }

    fn parts(&self) -> BoxFuture<'static, Vec<PartReport>> {
        Box::pin(async { Vec::new() })
    }

    fn replay(&self, _: ChannelId, _: ReplayAsk) -> BoxFuture<'static, Result<ReplayPage, String>> {
        Box::pin(async { Ok(ReplayPage { lines: Vec::new(), next: None, reached: None }) })
    }

    fn deliver(&self, _: ChatEvent) -> BoxFuture<'static, Result<(), NotDelivered>> {
        Box::pin(async { Ok(()) })
    }

    fn freed(&self, _: Vec<membership::OwnedKey>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn drain(&self) {}
}

/// A running hub; it ends with the test's runtime.
pub struct TestNode {
    pub base: String,
    pub address: std::net::SocketAddr,
    pub channels: Arc<FakeChannels>,
    pub directory: Arc<Directory>,
    pub operator: Arc<FakeOperator>,
    pub db: Db,
    pub stop: CancellationToken,
    pub running: tokio::task::JoinHandle<std::io::Result<()>>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl TestNode {
    /// A hub that serves `twitch:ann` and counts no failed authentications.
    pub async fn start() -> Self {
        Self::start_with(&[("WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP", "0")]).await
    }

    /// A hub that serves `twitch:ann`, with those variables.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::local(variables.collect::<Vec<_>>().into_iter()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        Self::start_on(Db::open(&StorageOptions::new(url)).await.unwrap(), folder, config).await
    }

    /// One on each database.
    pub async fn start_on_both() -> [Self; 2] {
        let config =
            Config::local([("WADDLEBOT_LIMITS__HTTP_FAILED_AUTH_PER_IP".into(), "0".into())].into_iter());
        let db = storage::testing::postgres().await.db;
        [Self::start().await, Self::start_on(db, tempfile::tempdir().unwrap(), config.unwrap()).await]
    }

    async fn start_on(db: Db, folder: tempfile::TempDir, config: Config) -> Self {
        db.migrate(Clock::System.now()).await.unwrap();
        let channels = Arc::new(FakeChannels::default());
        let budget = Arc::new(ByteBudget::new(1 << 20));
        let spawner: Arc<dyn Spawner> = channels.clone();
        let directory = Arc::new(Directory::new(4, budget, spawner));
        channels.directory.set(Arc::clone(&directory)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, operator) = (CancellationToken::new(), Arc::new(FakeOperator::default()));
        let deps = HubDeps {
            config: Arc::new(config),
            db: db.clone(),
            directory: Arc::clone(&directory),
            events: Arc::new(EventLog::new(
                Arc::clone(directory.recorder()),
                chrono::TimeDelta::days(1),
                StorageOptions::new("sqlite://none"),
                folder.path().join("events.db"),
            )),
            clock: Clock::System,
            streamers: Arc::new(MadeUp::three()),
            urls: UrlFetcher::new(FetchOptions::new(RootCertStore::empty(), Clock::System, Vec::new()))
                .unwrap(),
            board: Arc::default(),
            queue: Queue::new(db.clone(), tokio::sync::watch::channel(domain::PartitionSet::ALL).1),
            redis: None,
            gateway: None,
            limiter: Arc::new(Limiter::new(None, 1)),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
            service_key: SecretString::from(KEY),
            modules: Arc::new(vec![ping()]),
            operator: operator.clone(),
            node: NodeInfo { id: "test".into(), version: "0", started_at: Clock::System.now() },
            stop: stop.clone(),
        };
        let _board: &Arc<Board> = &deps.board;
        #[expect(clippy::disallowed_methods, reason = "the test plays supervision")]
        let running = tokio::spawn(serve(deps, listener, None));
        let node = Self {
            base: format!("http://{address}"),
            address,
            channels,
            directory,
            operator,
            db,
            stop,
            running,
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap(),
            _folder: folder,
        };
        let (status, added) =
            node.call("POST", "/api/v1/channels", Some(serde_json::json!({ "key": "twitch:ann" }))).await;
        assert_eq!(status, 201, "{added}");
        node
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    /// A call with the right key; the status and the body.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method, path).header("X-Service-Key", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub fn slot(&self) -> Arc<ChannelSlot> {
        self.directory.find(&"twitch:ann".parse::<ChannelKey>().unwrap()).unwrap()
    }

    /// Gives the channel a running actor.
    pub async fn run_actor(&self, silent: bool) {
        let (actor, _) = Actor::spawn(None, FakeActor { silent }, ()).await.unwrap();
        self.slot().set_actor(Some(actor));
    }
}

fn ping() -> ModuleInfo {
    ModuleInfo {
        name: "ping",
        description: "Says that the bot is there.",
        commands: vec![CommandInfo {
            name: "ping",
            also: &["pong"],
            usage: "ping",
            description: "Asks whether the bot is there.",
            level: Level::Everyone,
            cooldown_secs: 0,
        }],
    }
}

/// A chat message of ann's channel.
pub fn event(message: &str) -> Value {
    serde_json::json!({
        "platform": "twitch", "channel_id": "ann", "user_id": "7", "username": "Bob",
        "message": message, "message_type": "chatMessage",
    })
}
