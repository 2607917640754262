//! The state that all connections share, behind one short lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::config::{Account, FakeConfig, Show};
use crate::connection::Connection;
use crate::counters::Counters;
use crate::http::HttpMode;
use crate::limits::AccountLimits;
use crate::received::{Pong, ReceivedRing};

/// Ended connections that are remembered.
const CONNECTION_LOG_MAX: usize = 100_000;
/// Under this login the limits of all anonymous readers are counted together.
pub(crate) const ANONYMOUS: &str = "justinfan";

/// The room id of a channel: the same for the same name in every run.
pub fn room_id(login: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in login.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (10_000_000 + hash % 900_000_000).to_string()
}

/// One connection's life.
#[derive(Clone, Debug)]
pub struct ConnectionLog {
    pub id: u64,
    pub peer: SocketAddr,
    pub opened_at: Instant,
    /// `None`: not logged in.
    pub login: Option<(String, Instant)>,
    /// `None`: still open.
    pub closed_at: Option<Instant>,
}

/// A room, from the first time somebody joins it or speaks in it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) room_id: Arc<str>,
    pub(crate) joined: Vec<Arc<Connection>>,
    /// The last accepted line of each account.
    pub(crate) last_sent: HashMap<String, LastSent>,
}

#[derive(Debug)]
pub(crate) struct LastSent {
    pub(crate) at: Instant,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connections: HashMap<u64, Arc<Connection>>,
    pub(crate) log: VecDeque<ConnectionLog>,
    pub(crate) channels: HashMap<String, Channel>,
    pub(crate) limits: HashMap<String, AccountLimits>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) moderator_in: HashSet<String>,
    pub(crate) moderator_everywhere: bool,
    pub(crate) counters: Counters,
    pub(crate) received: ReceivedRing,
    pub(crate) pongs: VecDeque<Pong>,
    /// Lines that were queued for connections that have ended.
    pub(crate) n_lines_ended: u64,
    pub(crate) http_mode: HttpMode,
    /// Tokens that `/token` gave to the application.
    pub(crate) app_tokens: HashSet<String>,
    /// What is streamed or was last, by login.
    pub(crate) shows: HashMap<String, Show>,
    /// New connections begin in these states.
    pub(crate) silent: bool,
    pub(crate) stalled: bool,
    /// Where lines are rendered, kept for the next one.
    pub(crate) scratch: Vec<u8>,
    next_message: u64,
    next_connection: u64,
    next_token: u64,
}

/// Everything the listeners and the face share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: FakeConfig,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// Makes message ids differ from those of an earlier fake.
    run: u32,
}

impl World {
    pub(crate) fn new(config: FakeConfig) -> Self {
        let state = State {
            connections: HashMap::new(),
            log: VecDeque::new(),
            channels: HashMap::new(),
            limits: HashMap::new(),
            accounts: config.accounts.clone(),
            moderator_in: config.moderator_in.iter().cloned().collect(),
            moderator_everywhere: config.moderator_everywhere,
            counters: Counters::default(),
            received: ReceivedRing::new(config.received_max),
            pongs: VecDeque::new(),
            n_lines_ended: 0,
            http_mode: HttpMode::Normal,
            app_tokens: HashSet::new(),
            shows: HashMap::new(),
            silent: false,
            stalled: false,
            scratch: Vec::new(),
            next_message: 0,
            next_connection: 0,
            next_token: 0,
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { config, state: Mutex::new(state), changed: watch::Sender::new(()), run: since.subsec_nanos() }
    }

    /// A panic elsewhere does not make the numbers wrong, so a poisoned lock is taken all the same.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Wakes everybody in `wait_until`.
    pub(crate) fn touch(&self) {
        self.changed.send_replace(());
    }

    pub(crate) fn next_message_id(&self, state: &mut State) -> String {
        state.next_message += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.run, state.next_message)
    }

    pub(crate) fn open(&self, peer: SocketAddr) -> Arc<Connection> {
        let mut state = self.state();
        let id = state.next_connection;
        state.next_connection += 1;
        state.counters.connections += 1;
        let connection =
            Arc::new(Connection::new(id, self.config.outbox_bytes_max, state.silent, state.stalled));
        state.connections.insert(id, Arc::clone(&connection));
        if state.log.len() == CONNECTION_LOG_MAX {
            state.log.pop_front();
        }
        let opened_at = Instant::now();
        state.log.push_back(ConnectionLog { id, peer, opened_at, login: None, closed_at: None });
        drop(state);
        self.touch();
        connection
    }

    pub(crate) fn close(&self, id: u64) {
        let mut state = self.state();
        if let Some(connection) = state.connections.remove(&id) {
            state.n_lines_ended += connection.n_lines();
            connection.end();
        }
        state.counters.disconnects += 1;
        for channel in state.channels.values_mut() {
            channel.joined.retain(|connection| connection.id != id);
        }
        if let Some(entry) = state.log_entry(id) {
            entry.closed_at = Some(Instant::now());
        }
        drop(state);
        self.touch();
    }
}

impl State {
    pub(crate) fn log_entry(&mut self, id: u64) -> Option<&mut ConnectionLog> {
        let first = self.log.front()?.id;
        self.log.get_mut(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    pub(crate) fn channel(&mut self, channel_login: &str) -> &mut Channel {
        if !self.channels.contains_key(channel_login) {
            let owner = self.accounts.iter().find(|account| account.login == channel_login);
            let room_id = owner.map_or_else(|| room_id(channel_login), |account| account.user_id.clone());
            let channel = Channel { room_id: room_id.into(), joined: Vec::new(), last_sent: HashMap::new() };
            self.channels.insert(channel_login.to_owned(), channel);
        }
        self.channels.get_mut(channel_login).expect("it was inserted above when it was missing")
    }

    pub(crate) fn limits_of(&mut self, login: &str, config: &FakeConfig) -> &mut AccountLimits {
        self.limits.entry(login.to_owned()).or_insert_with(|| AccountLimits::new(config))
    }

    /// Takes that many message numbers at once and returns the first.
    pub(crate) fn reserve_messages(&mut self, n: u64) -> u64 {
        let first = self.next_message + 1;
        self.next_message += n;
        first
    }

    /// Whether the account is moderator or broadcaster there.
    pub(crate) fn is_moderator(&self, login: &str, channel_login: &str) -> bool {
        self.moderator_everywhere || login == channel_login || self.moderator_in.contains(channel_login)
    }

    pub(crate) fn next_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
}
