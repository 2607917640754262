//! One connection to Twitch, from the first byte to the last: login, JOINs, lines in, lines out, liveness.
//!
//! Reading and writing are two futures of one task, so that neither waits for the other. When either ends the
//! connection ends, and the platform's actor is told why by a guard that even a panic drops.

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Histogram;
use ractor::ActorRef;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::TwitchMsg;
use super::intake::{Handle, Intake};
use super::lines::LineCutter;
use super::outlet::{Batch, Outlet, Receipt};
use super::sender::count_dropped;
use super::settings::Settings;
use super::socket::{self, READ_BYTES_MAX, Reader, Trust, Writer};
use crate::cluster::{Directory, SendGate};
use crate::messages::{Clock, Recorder, What};

/// A connection that says nothing for this long is asked.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// And given up when it does not answer for this long.
const PONG_WAIT_MAX: Duration = Duration::from_secs(5);
/// From the open socket to the welcome.
const LOGIN_WAIT_MAX: Duration = Duration::from_secs(10);
/// A write that is stuck for this long means that nobody reads on the other side.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest line of names in one JOIN, in bytes.
const JOIN_BYTES_MAX: usize = 450;
/// Orders that may wait for a connection.
pub const ORDERS_MAX: usize = 64;

/// Why a reply was dropped whose connection was lost.
pub const CONNECTION_LOST: &str = "connection_lost";

/// Number of a connection; never used again.
pub type ConnectionId = u64;

/// As whom to log in.
#[derive(Clone)]
pub struct Login {
    pub nick: String,
    /// `None`: anonymous.
    pub token: Option<SecretString>,
}

/// What the actor asks of a connection.
#[derive(Debug)]
pub enum Order {
    Join(Vec<Handle>),
    /// The channels have other slots from now on.
    Replace(Vec<Handle>),
    /// The channels are nobody's any more.
    Part(Vec<String>),
    /// The channels move to another connection: what still comes of them before Twitch lets go of them counts.
    Leave(Vec<String>),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Closed,
    /// It could not be opened; the reason is for people.
    Unreachable(String),
    LoginFailed,
    /// No welcome came.
    LoginTimedOut,
    /// The other side closed, or the socket failed.
    Lost(String),
    /// No byte and no PONG.
    Silent,
    /// The other side does not read what is written.
    Stuck,
    /// The task ended without saying why: it panicked.
    Crashed,
}

/// What a connection is given.
pub struct Start {
    pub id: ConnectionId,
    pub settings: Arc<Settings>,
    /// `None` for an address without encryption.
    pub trust: Option<Trust>,
    pub login: Login,
    pub outlet: Arc<Outlet>,
    /// The actor holds the other end.
    pub orders: mpsc::Receiver<Order>,
    pub actor: ActorRef<TwitchMsg>,
    pub directory: Arc<Directory>,
    pub clock: Clock,
    pub stop_reading: CancellationToken,
    /// Cancelled when the platform ends: whatever still waits, the connection closes.
    pub killed: CancellationToken,
}

/// Tells the actor how the connection ended, whatever happened.
struct EndGuard {
    id: ConnectionId,
    actor: ActorRef<TwitchMsg>,
    outlet: Arc<Outlet>,
    recorder: Arc<Recorder>,
    end: End,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        note_lost(self.outlet.close(), &self.recorder);
        // An actor that is gone has no connections to look after.
        drop(self.actor.cast(TwitchMsg::Ended { connection: self.id, end: self.end.clone() }));
    }
}

/// Runs a connection to its end.
pub async fn run(start: Start) {
    let (id, actor, outlet) = (start.id, start.actor.clone(), Arc::clone(&start.outlet));
    let recorder = Arc::clone(start.directory.recorder());
    let mut guard = EndGuard { id, actor, outlet, recorder, end: End::Crashed };
    let killed = start.killed.clone();
    guard.end = tokio::select! {
        end = connect_and_serve(start) => end,
        () = killed.cancelled() => End::Closed,
    };
}

async fn connect_and_serve(start: Start) -> End {
    let (reader, mut writer) = match socket::connect(&start.settings.irc_url, start.trust.as_ref()).await {
        Ok(socket) => socket,
        Err(error) => return End::Unreachable(error.to_string()),
    };
    // PASS before NICK: with NICK Twitch decides.
    let (outlet, recorder) = (Arc::clone(&start.outlet), Arc::clone(start.directory.recorder()));
    let gate = Arc::clone(start.directory.gate());
    outlet.push_line("CAP REQ :twitch.tv/tags twitch.tv/commands");
    if let Some(token) = &start.login.token {
        outlet.push_line(&format!("PASS oauth:{}", token.expose_secret()));
    }
    outlet.push_line(&format!("NICK {}", start.login.nick));
    let reading = Reading::new(start);
    let end = tokio::select! {
        // Replies that wait leave before the next lines are worked off.
        biased;
        end = write_all(&outlet, &gate, &mut writer, &recorder) => end,
        end = reading.run(reader) => end,
    };
    // Closing politely is worth a moment only.
    drop(timeout(Duration::from_secs(1), writer.close()).await);
    end
}

/// Writes whatever comes into the outlet, as much as there is at a time.
async fn write_all(outlet: &Outlet, gate: &SendGate, writer: &mut Writer, recorder: &Recorder) -> End {
    let latency = metrics::histogram!("waddlebot_reply_latency_seconds");
    let mut hand = InHand { batch: Batch::default(), recorder };
    while outlet.take(&mut hand.batch, gate).await.is_some() {
        let Batch { protocol, chat, .. } = &hand.batch;
        match timeout(WRITE_WAIT_MAX, writer.write_lines([protocol, chat])).await {
            Ok(Ok(())) => note_written(&mut hand.batch, &latency, recorder),
            Ok(Err(error)) => return End::Lost(error.to_string()),
            Err(_) => return End::Stuck,
        }
    }
    End::Closed
}

/// Lines that the socket is taking. Dropped with them – it broke, or the connection ended meanwhile – nobody knows which
/// arrived.
struct InHand<'a> {
    batch: Batch,
    recorder: &'a Recorder,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let receipts = std::mem::take(&mut self.batch.receipts);
        for ticket in receipts.iter().filter_map(|receipt| receipt.ticket.as_ref()) {
            ticket.begun();
        }
        note_lost(receipts, self.recorder);
    }
}

/// Settles what is owed for the written lines and keeps their memory, within limits.
fn note_written(batch: &mut Batch, latency: &Histogram, recorder: &Recorder) {
    for receipt in batch.receipts.drain(..) {
        latency.record(receipt.received.elapsed());
        if let Some(ticket) = &receipt.ticket {
            ticket.written();
        }
        recorder.note(receipt.reply.record(What::written()));
    }
    for bytes in [&mut batch.protocol, &mut batch.chat] {
        bytes.clear();
        bytes.shrink_to(READ_BYTES_MAX);
    }
}

/// Replies that went with their connection.
fn note_lost(receipts: Vec<Receipt>, recorder: &Recorder) {
    count_dropped(CONNECTION_LOST, receipts.len());
    for receipt in receipts {
        recorder.note(receipt.reply.record(What::dropped(CONNECTION_LOST)));
    }
}

/// The reading side and its state.
struct Reading {
    id: ConnectionId,
    outlet: Arc<Outlet>,
    orders: mpsc::Receiver<Order>,
    actor: ActorRef<TwitchMsg>,
    /// Cancelled when the node drains.
    drains: CancellationToken,
    cutter: LineCutter,
    intake: Intake,
    is_logged_in: bool,
    /// A PING of ours is on its way.
    is_asked: bool,
    /// When the other side must have said something.
    patience: Instant,
}

impl Reading {
    fn new(start: Start) -> Self {
        Self {
            id: start.id,
            cutter: LineCutter::new(start.settings.line_bytes_max),
            intake: Intake::new(start.directory, start.clock, Arc::clone(&start.outlet)),
            outlet: start.outlet,
            orders: start.orders,
            actor: start.actor,
            drains: start.stop_reading,
            is_logged_in: false,
            is_asked: false,
            patience: Instant::now() + LOGIN_WAIT_MAX,
        }
    }

    async fn run(mut self, mut reader: Reader) -> End {
        let mut may_read = true;
        // One timer that is looked at when it fires, instead of one that is set anew with every read.
        let mut patience = pin!(sleep_until(self.patience.into()));
        loop {
            let read = reader.read(|bytes| {
                self.intake.begin();
                self.cutter.cut(bytes, |found| self.intake.take(found));
            });
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    // The actor let go of the connection: the writer ends it once all is written.
                    None => return std::future::pending().await,
                },
                () = self.drains.cancelled(), if may_read => may_read = false,
                read = read, if may_read => match read {
                    Ok(0) => return End::Lost("Twitch closed the connection".to_owned()),
                    Ok(n) => {
                        if let Some(end) = self.took_lines().await {
                            return end;
                        }
                        if n >= READ_BYTES_MAX {
                            // More is likely there: the writer and other connections get their turn first.
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) => return End::Lost(error.to_string()),
                },
                () = patience.as_mut(), if may_read => {
                    if let Some(end) = self.heard_nothing() {
                        return end;
                    }
                    patience.as_mut().reset(self.patience.into());
                }
            }
        }
    }

    /// The timer fired. `Some`: the connection is over; else something came meanwhile, or the other side is asked.
    fn heard_nothing(&mut self) -> Option<End> {
        if Instant::now() < self.patience {
            return None;
        }
        if !self.is_logged_in {
            return Some(End::LoginTimedOut);
        }
        if self.is_asked {
            return Some(End::Silent);
        }
        self.ask();
        None
    }

    fn ask(&mut self) {
        self.is_asked = true;
        self.patience = Instant::now() + PONG_WAIT_MAX;
        self.outlet.push_line("PING :waddlebot");
    }

    /// Settles what the lines of one read caused. `Some`: the connection is over.
    async fn took_lines(&mut self) -> Option<End> {
        self.is_asked = false;
        let news = self.intake.end();
        let login_failed = news.login_failed;
        self.is_logged_in |= news.logged_in_as.is_some();
        if self.is_logged_in {
            self.patience = Instant::now() + SILENCE_MAX;
        }
        if !news.is_empty() {
            // A platform whose actor is gone is about to end; so is this connection.
            drop(self.actor.cast(TwitchMsg::News { connection: self.id, news }));
        }
        self.intake.settle().await;
        login_failed.then_some(End::LoginFailed)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Join(handles) => {
                for line in join_lines(handles.iter().map(|handle| handle.slot.login.as_str())) {
                    self.outlet.push_line(&line);
                }
                for handle in handles {
                    self.intake.add(handle);
                }
            }
            Order::Replace(handles) => {
                for handle in handles {
                    self.intake.replace(handle);
                }
            }
            Order::Part(logins) => {
                for login in logins {
                    self.intake.remove(&login);
                    self.outlet.push_line(&format!("PART #{login}"));
                }
            }
            Order::Leave(logins) => {
                for login in logins {
                    self.outlet.push_line(&format!("PART #{login}"));
                }
            }
        }
    }
}

/// `JOIN #a,#b,…`, as few lines as their length permits.
fn join_lines<'a>(logins: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for login in logins {
        match lines.last_mut().filter(|line| line.len() + login.len() + 2 <= JOIN_BYTES_MAX) {
            // Writing to a String cannot fail.
            Some(line) => drop(write!(line, ",#{login}")),
            None => lines.push(format!("JOIN #{login}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_share_lines_up_to_their_length() {
        assert_eq!(join_lines(["a", "b"].into_iter()), ["JOIN #a,#b"]);
        let names: Vec<String> = (0..90).map(|n| format!("a_streamer_with_name_{n:04}")).collect();
        let lines = join_lines(names.iter().map(String::as_str));
        assert!(lines.iter().all(|line| line.len() <= JOIN_BYTES_MAX), "{lines:?}");
        assert_eq!(lines.iter().map(|line| line.matches('#').count()).sum::<usize>(), 90);
    }
}
