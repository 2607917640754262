//! What one connection's lines cause: events into the lanes, counts, and news for the platform's actor.
//!
//! It owns the connection's own table of channels, so that a line touches nothing that connections share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::CorrelationId;
use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use metrics::Counter;
use rand::RngExt;
use rand::rngs::SmallRng;
use ulid::Ulid;

use super::lines::Found;
use super::outlet::Outlet;
use super::sender::ChannelSender;
use super::translate::{self, ChatLine, FromElsewhere, Occasion, Seen, Worth};
use crate::cluster::{ChannelSlot, Directory};
use crate::messages::{ChatEvent, Clock, Delivery, EventClass, EventKind, Offer};

mod control;

/// How long a connection waits with an event for which its channel has no room.
const FULL_WAIT_MAX: Duration = Duration::from_secs(10);
const FULL_POLL: Duration = Duration::from_millis(50);

/// More than a login of Twitch has.
const LOGIN_BYTES_MAX: usize = 32;

/// A channel as its connection knows it.
#[derive(Clone, Debug)]
pub struct Handle {
    pub slot: Arc<ChannelSlot>,
    pub sender: Arc<ChannelSender>,
}

/// A login as the key of a table: it stands in the table itself, so that finding a channel follows no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LoginKey([u8; LOGIN_BYTES_MAX]);

impl LoginKey {
    /// Logins of Twitch have at most 25 characters of ASCII. A longer text is no login and is cut: it finds nothing, since
    /// no login is as long.
    fn of(login: &str) -> Self {
        let mut key = [0; LOGIN_BYTES_MAX];
        let n_bytes = login.len().min(LOGIN_BYTES_MAX);
        key[..n_bytes].copy_from_slice(&login.as_bytes()[..n_bytes]);
        Self(key)
    }
}

#[derive(Debug)]
struct Entry {
    handle: Handle,
    /// Plain lines of this batch.
    n_plain: u64,
    is_joined: bool,
}

/// What the actor must know of what a batch of lines brought.
#[derive(Debug, Default)]
pub struct News {
    /// The login that Twitch knows the bot by; `None`: not logged in by this batch.
    pub logged_in_as: Option<String>,
    pub login_failed: bool,
    pub wants_reconnect: bool,
    /// Channels that are joined now.
    pub joined: Vec<Arc<ChannelSlot>>,
    /// Channels that cannot be joined, why, and for how long.
    pub refused: Vec<(Arc<ChannelSlot>, &'static str, Duration)>,
    /// Platform ids that were not known before.
    pub learned: Vec<(Arc<ChannelSlot>, String)>,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.logged_in_as.is_none()
            && !self.login_failed
            && !self.wants_reconnect
            && self.joined.is_empty()
            && self.refused.is_empty()
            && self.learned.is_empty()
    }
}

/// Counters that are looked up once a connection.
struct Meters {
    lines_in: Counter,
    handled: Counter,
    chat_messages: Counter,
    from_elsewhere: Counter,
    malformed: Counter,
}

impl Meters {
    fn new() -> Self {
        let dropped =
            |reason: &'static str| metrics::counter!("waddlebot_messages_dropped_total", "reason" => reason);
        Self {
            lines_in: metrics::counter!("waddlebot_lines_in_total", "platform" => "twitch"),
            handled: metrics::counter!("waddlebot_lines_handled_total", "platform" => "twitch"),
            chat_messages: messages_total(EventKind::ChatMessage),
            from_elsewhere: dropped("shared_chat"),
            malformed: dropped("malformed"),
        }
    }
}

fn messages_total(kind: EventKind) -> Counter {
    metrics::counter!(
        "waddlebot_messages_total",
        "service" => "waddlebot", "platform" => "twitch", "message_type" => kind.as_str()
    )
}

/// What of the current batch is told at its end.
#[derive(Default)]
struct Tally {
    lines: u64,
    handled: u64,
    chat: u64,
}

/// The reading side of one connection after its lines were cut.
pub struct Intake {
    directory: Arc<Directory>,
    clock: Clock,
    outlet: Arc<Outlet>,
    entries: Vec<Entry>,
    by_login: HashMap<LoginKey, usize, RandomState>,
    /// Entries with plain lines in this batch.
    touched: Vec<usize>,
    tally: Tally,
    meters: Meters,
    /// When this batch was read.
    received: Instant,
    received_at: DateTime<Utc>,
    bits: Finder<'static>,
    rng: SmallRng,
    /// Events for which there was no room; nothing is read before they are in.
    held: Vec<(Arc<ChannelSlot>, Box<Delivery>, EventClass)>,
    /// The bot's own login; its lines are never acted upon.
    own_login: String,
    news: News,
}

impl Intake {
    pub fn new(directory: Arc<Directory>, clock: Clock, outlet: Arc<Outlet>) -> Self {
        Self {
            directory,
            received_at: clock.now(),
            clock,
            outlet,
            entries: Vec::new(),
            by_login: HashMap::default(),
            touched: Vec::new(),
            tally: Tally::default(),
            meters: Meters::new(),
            received: Instant::now(),
            bits: Finder::new(translate::BITS_TAG),
            rng: rand::make_rng(),
            held: Vec::new(),
            own_login: String::new(),
            news: News::default(),
        }
    }

    /// Knows a channel from now on: its lines are taken.
    pub fn add(&mut self, handle: Handle) {
        let login = LoginKey::of(&handle.slot.login);
        let entry = Entry { handle, n_plain: 0, is_joined: false };
        if let Some(index) = self.by_login.get(&login) {
            self.entries[*index] = entry;
        } else {
            self.by_login.insert(login, self.entries.len());
            self.entries.push(entry);
        }
    }

    /// Its lines go to another slot from now on.
    pub fn replace(&mut self, handle: Handle) {
        if let Some(index) = self.index(&handle.slot.login) {
            self.count_plain();
            self.entries[index].handle = handle;
        }
    }

    /// Forgets a channel; what still comes of it is handled as nobody's.
    pub fn remove(&mut self, login: &str) {
        // The plain lines so far are noted by index.
        self.count_plain();
        let Some(index) = self.by_login.remove(&LoginKey::of(login)) else { return };
        self.entries.swap_remove(index);
        if let Some(moved) = self.entries.get(index) {
            self.by_login.insert(LoginKey::of(&moved.handle.slot.login), index);
        }
    }

    /// Begins the lines of one read.
    pub fn begin(&mut self) {
        self.received = Instant::now();
        self.received_at = self.clock.now();
    }

    /// Takes one line, or the note that one was dropped.
    pub fn take(&mut self, found: Found<'_>) {
        self.tally.lines += 1;
        match found {
            Found::Line(line) => match translate::see(line) {
                Seen::Chat(chat) => self.chat(&chat),
                Seen::Ping { payload } => {
                    self.tally.handled += 1;
                    self.outlet.push_line(&format!("PONG :{payload}"));
                }
                Seen::Other(command) => self.control(command, line),
                Seen::Malformed => self.meters.malformed.increment(1),
            },
            Found::Dropped(reason) => {
                metrics::counter!("waddlebot_messages_dropped_total", "reason" => reason).increment(1);
            }
        }
    }

    /// Ends the lines of one read: counts are published, and the news is given to be told.
    pub fn end(&mut self) -> News {
        self.count_plain();
        let tally = std::mem::take(&mut self.tally);
        self.meters.lines_in.increment(tally.lines);
        self.meters.handled.increment(tally.handled);
        self.meters.chat_messages.increment(tally.chat);
        std::mem::take(&mut self.news)
    }

    fn count_plain(&mut self) {
        for index in self.touched.drain(..) {
            let entry = &mut self.entries[index];
            entry.handle.slot.count_lines(std::mem::take(&mut entry.n_plain));
        }
    }

    /// Brings in what found no room, before anything more is read; gives it up after a time.
    pub async fn settle(&mut self) {
        let deadline = Instant::now() + FULL_WAIT_MAX;
        for (slot, delivery, class) in std::mem::take(&mut self.held) {
            let mut waiting = delivery;
            while let Offer::Full(back) = self.directory.route(&slot, *waiting, class) {
                if Instant::now() >= deadline {
                    metrics::counter!("waddlebot_messages_dropped_total", "reason" => "channel_full")
                        .increment(1);
                    break;
                }
                waiting = back;
                tokio::time::sleep(FULL_POLL).await;
            }
        }
    }

    fn chat(&mut self, line: &ChatLine<'_>) {
        self.tally.chat += 1;
        let Some(index) = self.index(line.channel_login) else {
            self.tally.handled += 1;
            return;
        };
        let wants_lines = self.entries[index].handle.slot.wants_lines();
        let (text, kind, class) = match line.worth(&self.bits) {
            Worth::Command(text) => (text, EventKind::ChatMessage, EventClass::Command),
            Worth::Cheer => (line.text, EventKind::Cheer, EventClass::Command),
            Worth::Nothing if wants_lines => (line.text, EventKind::ChatMessage, EventClass::Chat),
            Worth::Nothing => return self.plain(index),
        };
        if line.login == self.own_login {
            self.tally.handled += 1;
            return;
        }
        if self.directory.sheds_unmade(&self.entries[index].handle.slot, class) {
            return;
        }
        let occasion = self.occasion(index);
        match translate::chat_event(line, text, kind, occasion) {
            Ok(event) => self.route(index, event, class),
            Err(FromElsewhere) => self.meters.from_elsewhere.increment(1),
        }
    }

    fn index(&self, login: &str) -> Option<usize> {
        self.by_login.get(&LoginKey::of(login)).copied()
    }

    fn plain(&mut self, index: usize) {
        self.tally.handled += 1;
        let entry = &mut self.entries[index];
        if entry.n_plain == 0 {
            self.touched.push(index);
        }
        entry.n_plain += 1;
    }

    fn occasion(&mut self, index: usize) -> Occasion {
        let at_ms = u64::try_from(self.received_at.timestamp_millis()).unwrap_or(0);
        let id = Ulid::from_parts(at_ms, self.rng.random());
        Occasion {
            channel_id: self.entries[index].handle.slot.id,
            correlation_id: CorrelationId(id),
            received_at: self.received_at,
        }
    }

    fn route(&mut self, index: usize, event: ChatEvent, class: EventClass) {
        let Handle { slot, sender } = &self.entries[index].handle;
        let sink = Arc::clone(sender) as Arc<dyn crate::messages::ReplySink>;
        let delivery = Delivery { event: Arc::new(event), received: self.received, sink, permit: None };
        if let Offer::Full(delivery) = self.directory.route(slot, delivery, class) {
            self.held.push((Arc::clone(slot), delivery, class));
        }
    }
}
