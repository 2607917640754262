//! The root of the Twitch platform.
//!
//! Receives: news and ends of its connections, news of the token, changes of the directory, a tick.
//! Sends: orders to connections; nothing to channels, which get their events from the connections.
//! Owns: the plan of JOINs, the connections and their back-off, the senders of all channels.
//! Dies: with its supervisor. It first sends what waits, at most 3 s, then closes its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::{ChannelId, Platform};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::budget::Budgets;
use super::connection::{ConnectionId, End, Login, Order};
use super::credentials::{Keeper, KeeperDeps, TokenNews};
use super::fleet::Fleet;
use super::intake::{Handle, News};
use super::joins::Joins;
use super::pump::Pump;
use super::sender::{CHANNEL_REMOVED, ChannelSender, STOPPING};
use super::settings::Settings;
use super::socket::{self, Trust};
use crate::cluster::ChannelSlot;
use crate::limits::account_budgets::AccountBudgets;
use crate::messages::{PlatformReport, ReplySink};
use crate::platforms::PlatformDeps;

mod work;

/// How often the actor looks at what is due.
const TICK: Duration = Duration::from_millis(100);
/// What waits to be sent may take this long at the end; what is left then is sent from the outbox by another process.
const FLUSH_MAX: Duration = Duration::from_secs(3);
/// And the connections this long to write what they have and close. Together less than the node gives its platforms.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// The account of all who log in without one.
const ANONYMOUS: &str = "twitch:anonymous";
const POLL: Duration = Duration::from_millis(20);

/// What the actor is told.
#[derive(Debug)]
pub enum TwitchMsg {
    /// Channels were added or removed.
    DirectoryChanged,
    Tick,
    News {
        connection: ConnectionId,
        news: News,
    },
    Ended {
        connection: ConnectionId,
        end: End,
    },
    Token(TokenNews),
}

/// Starts as [`super::SPEC`] says.
#[derive(Debug)]
pub struct TwitchActor;

/// Whether, and as whom, to log in.
#[derive(Clone)]
enum Identity {
    /// The token's owner is not known yet.
    Unknown,
    Known(Login),
    /// Chat refused the token; it is being looked at.
    Doubted(Login),
    /// Nothing more is tried.
    Refused,
}

/// What the board shows, by where it came from; the first that is there is shown.
#[derive(Debug, Default)]
struct Troubles {
    token: Option<String>,
    connection: Option<String>,
    channel: Option<String>,
}

/// The actor's state.
pub struct State {
    myself: ActorRef<TwitchMsg>,
    deps: PlatformDeps,
    settings: Arc<Settings>,
    account: Arc<Account>,
    /// `None` for an address without encryption.
    trust: Option<Trust>,
    identity: Identity,
    /// Notified when the keeper should look at the token now.
    doubt: Arc<Notify>,
    handles: HashMap<ChannelId, Handle>,
    /// `None`: the node is alone with the account.
    booked: Option<Arc<AccountBudgets>>,
    joins: Joins,
    fleet: Fleet,
    /// Platform ids that the directory and the storage do not know yet.
    learned: Vec<(Arc<ChannelSlot>, String)>,
    /// Channels that lost their connection and are not joined again: since when, and why.
    gaps: HashMap<ChannelId, (DateTime<Utc>, &'static str)>,
    logged_in_as: Option<String>,
    troubles: Troubles,
    report: PlatformReport,
    /// Cancelled with the actor: all its tasks end.
    closed: CancellationToken,
}

impl Drop for State {
    fn drop(&mut self) {
        self.closed.cancel();
        // Senders and account hold each other; what waits gives its permits back.
        self.let_go();
    }
}

impl Actor for TwitchActor {
    type Msg = TwitchMsg;
    type State = State;
    type Arguments = PlatformDeps;

    async fn pre_start(
        &self,
        myself: ActorRef<TwitchMsg>,
        deps: PlatformDeps,
    ) -> Result<State, ActorProcessingErr> {
        let settings = Arc::new(Settings::from(&*deps.config));
        let trust = if socket::is_encrypted(&settings.irc_url) {
            let ca_file = settings.ca_file.clone();
            Some(tokio::task::spawn_blocking(move || Trust::load(ca_file.as_deref())).await??)
        } else {
            None
        };
        let mut state = State::new(myself, deps, settings, trust);
        state.start_tasks();
        state.reconcile();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<TwitchMsg>,
        message: TwitchMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TwitchMsg::DirectoryChanged => {
                state.reconcile();
                // A channel that comes from another node is between two until its JOIN.
                state.tick();
            }
            TwitchMsg::Tick => state.tick(),
            TwitchMsg::News { connection, news } => state.news(connection, news),
            TwitchMsg::Ended { connection, end } => state.ended(connection, &end),
            TwitchMsg::Token(news) => state.token(news),
        }
        state.report();
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<TwitchMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let deadline = Instant::now() + FLUSH_MAX;
        while state.account.n_waiting() > 0 && state.fleet.n_ready() > 0 && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        state.let_go();
        state.fleet.finish_all();
        let deadline = Instant::now() + CLOSE_MAX;
        while state.fleet.any_open() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        state.closed.cancel();
        state.deps.board.set(Platform::Twitch, PlatformReport::default());
        Ok(())
    }
}

impl State {
    fn new(
        myself: ActorRef<TwitchMsg>,
        deps: PlatformDeps,
        settings: Arc<Settings>,
        trust: Option<Trust>,
    ) -> Self {
        let mut rng: SmallRng = rand::make_rng();
        let identity = if settings.bot_token.is_none() {
            let nick = format!("justinfan{}", rng.random_range(10_000..1_000_000));
            Identity::Known(Login { nick, token: None })
        } else {
            Identity::Unknown
        };
        let Budgets { joins, logins, sends, booked } = Budgets::new(&settings);
        if let (Some(booked), Identity::Known(_)) = (&booked, &identity) {
            booked.serve(ANONYMOUS.to_owned());
        }
        Self {
            myself,
            account: Arc::new(Account::new(
                &settings,
                sends,
                Arc::clone(&deps.send_budget),
                Arc::clone(deps.directory.recorder()),
                Arc::clone(deps.directory.gate()),
            )),
            trust,
            identity,
            doubt: Arc::default(),
            handles: HashMap::new(),
            joins: Joins::new(joins),
            fleet: Fleet::new(settings.connections_per_second, logins, rng),
            booked,
            learned: Vec::new(),
            gaps: HashMap::new(),
            logged_in_as: None,
            troubles: Troubles::default(),
            report: PlatformReport::default(),
            closed: CancellationToken::new(),
            settings,
            deps,
        }
    }

    /// Starts what runs beside the actor and ends with it.
    fn start_tasks(&self) {
        let tasks = &self.deps.tasks;
        tasks.spawn(Pump::new(Arc::clone(&self.account)).run(self.closed.clone()));
        if let Some(booked) = &self.booked {
            tasks.spawn(Arc::clone(booked).run(self.deps.db.clone(), self.closed.clone()));
        }
        let keeper = Keeper::new(KeeperDeps {
            settings: Arc::clone(&self.settings),
            http: self.deps.http.clone(),
            db: self.deps.db.clone(),
            vault: self.deps.vault.clone(),
            clock: self.deps.clock.clone(),
            actor: self.myself.clone(),
            doubt: Arc::clone(&self.doubt),
        });
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(self.closed.clone()));
        }
        tasks.spawn(watch(self.deps.directory.watch(), self.myself.clone(), self.closed.clone()));
        // Ends with the actor.
        drop(self.myself.send_interval(TICK, || TwitchMsg::Tick));
    }

    /// Lets go of every reply that no connection has yet.
    fn let_go(&self) {
        for handle in self.handles.values() {
            handle.slot.set_outlet(None);
            self.account.remove_sender(handle.slot.id);
            handle.sender.abandon(STOPPING);
        }
    }

    /// Takes over which channels the directory holds.
    fn reconcile(&mut self) {
        let slots = self.deps.directory.heard().into_iter().filter(|slot| slot.platform == Platform::Twitch);
        let mut wanted = Vec::new();
        let mut replaced: HashMap<ConnectionId, Vec<Handle>> = HashMap::new();
        for slot in slots {
            wanted.push((slot.id, slot.login.clone()));
            match self.handles.get(&slot.id) {
                Some(handle) if Arc::ptr_eq(&handle.slot, &slot) => {}
                Some(handle) => {
                    let handle = Handle { slot, sender: Arc::clone(&handle.sender) };
                    if let Some(connection) = self.replace(&handle) {
                        replaced.entry(connection).or_default().push(handle);
                    }
                }
                None => {
                    let sender = ChannelSender::new(slot.id, slot.login.clone(), Arc::clone(&self.account));
                    slot.set_outlet(Some(Arc::clone(&sender) as Arc<dyn ReplySink>));
                    self.account.add_sender(Arc::clone(&sender));
                    self.handles.insert(slot.id, Handle { slot, sender });
                }
            }
        }
        for (connection, handles) in replaced {
            self.order(connection, Order::Replace(handles));
        }
        let mut parted: HashMap<ConnectionId, Vec<String>> = HashMap::new();
        for (id, login, connection) in self.joins.reconcile(wanted) {
            if let Some(connection) = connection {
                parted.entry(connection).or_default().push(login);
            }
            self.account.remove_sender(id);
            self.gaps.remove(&id);
            if let Some(handle) = self.handles.remove(&id) {
                handle.sender.abandon(CHANNEL_REMOVED);
            }
        }
        for (connection, logins) in parted {
            self.order(connection, Order::Part(logins));
        }
    }
}

impl State {
    /// The channel was given away and came back before it was parted: its lines go to its new slot. Gives the connection
    /// that has to know.
    fn replace(&mut self, handle: &Handle) -> Option<ConnectionId> {
        handle.slot.set_outlet(Some(Arc::clone(&handle.sender) as Arc<dyn ReplySink>));
        self.handles.insert(handle.slot.id, handle.clone());
        let connection = self.joins.connection(handle.slot.id)?;
        handle.slot.set_heard(self.joins.is_joined(handle.slot.id));
        Some(connection)
    }
}

/// Tells the actor of changes of the directory.
async fn watch(
    mut version: tokio::sync::watch::Receiver<u64>,
    actor: ActorRef<TwitchMsg>,
    closed: CancellationToken,
) {
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            changed = version.changed() => if changed.is_err() || actor.cast(TwitchMsg::DirectoryChanged).is_err() {
                return;
            },
        }
    }
}
