//! What a module can reach while it answers.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::stream_info::StreamInfo;
use domain::{ChannelId, CommunityId, Level, Platform};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::{Db, Effect, OpId, Scope, StorageError, Tx, Waits};
use tokio::sync::oneshot;

use self::answers::{Answers, Operation};
use super::{ModuleError, Services};
use crate::cluster::ChannelSlot;
use crate::http::{CheckedUrl, FetchError, UrlRefused};
use crate::messages::streamers::{LookUpError, Streamer};
use crate::messages::{ChatEvent, Chatter, CommandTable, Reply, Source};

mod answers;

/// Longest wait for pages in one call, and the share of the module's own time that this may be.
const FETCH_LIMIT: Duration = Duration::from_millis(1_500);
const FETCH_SHARE: f64 = 0.75;

/// One call's view of the node: the channel it is in, the storage, the clock. Made per call by the module actor.
#[derive(Clone, Debug)]
pub struct Context {
    services: Arc<Services>,
    slot: Arc<ChannelSlot>,
    /// The channel's commands as the gate saw them.
    pub commands: Arc<CommandTable>,
    /// What caused this call; its op ids are made of it.
    event: Arc<ChatEvent>,
    module: &'static str,
    /// Whether replies leave for good where this call's go; see [`ReplySink::is_outlet`].
    pub has_outlet: bool,
    /// The caller's effective level.
    pub level: Level,
    /// Time between the receipt of the event and the start of this call.
    pub waited: Duration,
    /// For reading, see [`Context::db`].
    db: Db,
    /// How long this call waited for the database, and
    waits: Arc<Waits>,
    /// milliseconds for other people's sites: neither is the module's slowness.
    outside_ms: Arc<AtomicU64>,
}

impl Context {
    /// A context for one call of `module`.
    pub fn new(
        services: Arc<Services>,
        slot: Arc<ChannelSlot>,
        commands: Arc<CommandTable>,
        module: &'static str,
        event: Arc<ChatEvent>,
    ) -> Self {
        let level = event.user.level;
        let waited = Duration::ZERO;
        let (waits, outside_ms) = (Arc::default(), Arc::default());
        let db = services.db.waited_by(&waits);
        Self {
            services,
            slot,
            commands,
            event,
            module,
            has_outlet: false,
            level,
            waited,
            db,
            waits,
            outside_ms,
        }
    }

    /// The source of what caused this call, and its id there.
    fn cause(&self) -> (Source, Cow<'_, str>) {
        let id = self.event.message_id.as_deref().map(Cow::Borrowed);
        (self.event.source, id.unwrap_or_else(|| Cow::Owned(self.event.correlation_id.to_string())))
    }

    /// Who wrote what caused this call.
    pub fn user(&self) -> &Chatter {
        &self.event.user
    }

    pub fn channel_id(&self) -> ChannelId {
        self.slot.id
    }

    pub fn community_id(&self) -> CommunityId {
        self.slot.community_id
    }

    pub fn platform(&self) -> Platform {
        self.slot.platform
    }

    /// The channel's login, which is also what `$(channel)` says.
    pub fn channel_login(&self) -> &str {
        &self.slot.login
    }

    pub fn node_id(&self) -> &str {
        &self.services.node_id
    }

    /// When this node's process started.
    pub fn node_started_at(&self) -> DateTime<Utc> {
        self.services.started_at
    }

    /// The wall clock, for what is shown or stored.
    pub fn now(&self) -> DateTime<Utc> {
        self.services.clock.now()
    }

    /// What is known of the stream; unknown is said as unknown.
    pub fn stream(&self) -> StreamInfo {
        self.slot.stream().map(|info| StreamInfo::clone(&info)).unwrap_or_default()
    }

    /// Plain lines of this channel since the node started.
    pub fn lines(&self) -> u64 {
        self.slot.lines()
    }

    /// The built-in modules and their commands.
    pub fn registry(&self) -> &super::modules::Registry {
        &self.services.registry
    }

    /// For reading; writing goes through [`Context::unit_of_work`].
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Fetches pages that a user named, all at the same time; never within a unit of work.
    ///
    /// # Errors
    /// For each page, in words for the chat.
    pub async fn fetch(&self, urls: &[String]) -> Vec<Result<String, FetchError>> {
        if urls.is_empty() {
            return Vec::new();
        }
        let limit = self.outside_limit();
        let fetch = |url| self.services.urls.fetch(self.community_id(), url, limit);
        self.outside(join_all(urls.iter().map(|url| fetch(url.as_str())))).await
    }

    /// Who streams under that login; `None` when nobody has it. Never within a unit of work.
    ///
    /// # Errors
    /// [`LookUpError`] says what to set, or when to ask again.
    pub async fn streamer(&self, login: &str) -> Result<Option<Arc<Streamer>>, LookUpError> {
        self.outside(self.services.streamers.look_up(login, self.outside_limit())).await
    }

    fn outside_limit(&self) -> Duration {
        FETCH_LIMIT.min(self.services.limits.module_timeout.mul_f64(FETCH_SHARE))
    }

    /// Waits for other people's sites, which is not the module's slowness.
    async fn outside<T>(&self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = work.await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.outside_ms.fetch_add(took_ms, Ordering::Relaxed);
        answer
    }

    /// Why an address that is about to be saved would not be fetched.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn check_url(&self, url: &str) -> Result<(), UrlRefused> {
        self.services.urls.check(url)
    }

    /// An address that is about to be kept, in the form in which it is kept.
    ///
    /// # Errors
    /// [`UrlRefused`] says what is wrong with it.
    pub fn checked_url(&self, url: &str) -> Result<CheckedUrl, UrlRefused> {
        self.services.urls.checked(url)
    }

    /// How long this call waited for the database and for other people's sites.
    pub fn time_outside(&self) -> Duration {
        self.waits.total() + Duration::from_millis(self.outside_ms.load(Ordering::Relaxed))
    }

    /// Whether this call was given up while it waited for the database.
    pub fn waited_in_vain(&self) -> bool {
        self.waits.was_given_up()
    }

    /// Randomness seeded from this call's cause, so that a retried command draws the same.
    pub fn rng(&self) -> SmallRng {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.cause(), self.module, self.slot.id, self.services.started_at).hash(&mut hasher);
        SmallRng::seed_from_u64(hasher.finish())
    }

    /// The scope of what belongs to the community: legal on every node, correct by its statements.
    pub fn community_scope(&self) -> Scope {
        Scope::Community(self.slot.community_id)
    }

    /// The scope of what this channel's owner alone may write.
    pub fn channel_scope(&self) -> Scope {
        Scope::Channel { channel_id: self.slot.id, ownership: self.slot.ownership }
    }

    /// Changes state and answers, each once: a repeat of the same call and step applies nothing.
    ///
    /// `step` is a number fixed in the module's code; two units of one call need two. `say` makes the replies of the
    /// outcome, right after the work or, at a repeat, of the stored one. Where they leave for good they stand in the
    /// outbox from the same commit on. The work runs to its end even when this call is given up, so an effect is never
    /// half done. What it changed is announced before this returns: a command that was added works in the next line.
    ///
    /// # Errors
    /// [`ModuleError::Storage`] when the database does not answer or takes nothing, [`ModuleError::Failed`] with a
    /// sentence for the user when it refused what it was given.
    pub async fn unit_of_work<T, F, S>(
        &self,
        scope: Scope,
        step: u16,
        work: F,
        say: S,
    ) -> Result<Vec<Reply>, ModuleError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
        S: FnOnce(&T) -> Vec<Reply> + Send + 'static,
    {
        let (source, id) = self.cause();
        let op = OpId::new(&scope, source.as_str(), &id, self.module, step)?;
        let services = Arc::clone(&self.services);
        let (event, module, now) = (Arc::clone(&self.event), self.module, self.now());
        let operation = Operation { scope, op, now, event, module };
        let (tell, told) = oneshot::channel();
        let answers = Answers::new(self, say);
        let unit = async move {
            let ended =
                AssertUnwindSafe(answers::run(&services, operation, work, answers)).catch_unwind().await;
            // The call was given up, the effect stands: the replies' tickets leave them to the outbox.
            drop(tell.send(ended));
        };
        self.services.spawner.detach("unit_of_work", Box::pin(unit));
        let wait = self.waits.begin();
        let ended = told.await;
        wait.over();
        match ended {
            Ok(Ok(replies)) => Ok(replies?),
            // The module's own panic: its actor dies of it.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(ModuleError::Retry("the node is stopping".to_owned())),
        }
    }

    /// [`Context::unit_of_work`] whose outcome is the answer's text.
    pub async fn answer<F>(&self, scope: Scope, step: u16, work: F) -> Result<Vec<Reply>, ModuleError>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<String>, StorageError>> + Send + 'static,
    {
        self.unit_of_work(scope, step, work, |text: &String| Reply::only(text)).await
    }
}
