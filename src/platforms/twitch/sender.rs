//! The replies of one channel on their way out: a bounded queue in order, sent at once where that is allowed.
//!
//! Who delivers a reply tries to send it in the same breath: queue empty, permits free, connection up. Otherwise it
//! waits and the pump sends it later, so that no channel needs a timer or a task of its own.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::{ChannelId, Outcome};

use super::account::{Account, Handed};
use super::connection::CONNECTION_LOST;
use super::outlet::{Outlet, Receipt, ReplyId};
use super::text;
use crate::messages::{ByteBudget, Completion, Once, OutboundReply, ReplySink, ReplyTarget, SendState, What};

/// Distance of the parts of one reply where the channel's own pace is not slower.
const PART_INTERVAL: Duration = Duration::from_millis(500);
/// Twitch refuses the same text within this time.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(30);
/// How soon a connection that took nothing more is asked again.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);
/// A refusal that lasts is logged again after this time.
const SAY_AGAIN_AFTER: Duration = Duration::from_mins(10);
/// Why nobody sends for a channel any more.
pub const CHANNEL_REMOVED: &str = "channel_removed";
pub const STOPPING: &str = "stopping";
/// What a waiting reply costs the byte budget beside its text.
const REPLY_BYTES: u64 = 320;

/// A reply that is not wholly written yet.
struct Waiting {
    parts: Vec<String>,
    n_sent: usize,
    /// The message that is answered. `None`: a plain line.
    parent: Option<String>,
    receipt: Receipt,
    bytes: u64,
    budget: Arc<ByteBudget>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    /// The connection on which the channel is joined. `None`: on none at the moment.
    route: Option<Arc<Outlet>>,
    is_moderator: bool,
    /// Why nobody sends for this channel any more, though a module may still hold this sender. `None`: we do.
    abandoned: Option<&'static str>,
    /// The channel's own slow mode; zero when it is off.
    slow: Duration,
    /// Nothing leaves before; `None`: at once.
    not_before: Option<Instant>,
    /// Hash of the last text and when it left.
    last: Option<(u64, Instant)>,
    /// Why Twitch last refused a line here, and when that was logged.
    held: Option<(&'static str, Instant)>,
    /// Number of the newest hand-over to the pump.
    ticket: u64,
    /// The pump has the channel and comes back to it.
    is_handed: bool,
}

/// What to do next for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits.
    Idle,
    /// A line went to the connection; more waits.
    Sent,
    /// Nothing can be sent before.
    At(Instant),
    /// The account has no permit before.
    NoPermit { moderator: bool, at: Instant },
}

/// The way out of one channel; outlives its connections. Modules and HTTP hold it as a [`ReplySink`].
pub struct ChannelSender {
    pub channel_id: ChannelId,
    login: String,
    account: Arc<Account>,
    state: Mutex<State>,
    me: Weak<Self>,
}

impl fmt::Debug for ChannelSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSender").field("login", &self.login).finish_non_exhaustive()
    }
}

impl ChannelSender {
    pub fn new(channel_id: ChannelId, login: String, account: Arc<Account>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            channel_id,
            login,
            account,
            state: Mutex::default(),
            me: Weak::clone(me),
        })
    }

    /// Says on which connection the channel is joined from now on, and sends what waits.
    pub fn set_route(&self, route: Option<Arc<Outlet>>) {
        let mut state = self.lock();
        state.route = route;
        if state.route.is_some() && !state.queue.is_empty() {
            self.hand_over(&mut state);
        }
    }

    /// Notes what the bot is in this channel.
    pub fn set_moderator(&self, is_moderator: bool) {
        self.lock().is_moderator = is_moderator;
    }

    pub fn set_slow(&self, slow: Duration) {
        self.lock().slow = slow;
    }

    /// Twitch refused a line: nothing leaves within `pause`. Says whether that is worth a line in the log.
    pub fn hold(&self, pause: Duration, reason: &'static str, now: Instant) -> bool {
        let mut state = self.lock();
        let until = now + pause;
        state.not_before = Some(state.not_before.map_or(until, |at| at.max(until)));
        let is_news = state.held.is_none_or(|(known, at)| known != reason || now - at >= SAY_AGAIN_AFTER);
        if is_news {
            state.held = Some((reason, now));
        }
        is_news
    }

    /// Nobody sends for this channel here any more: lets go of what waits.
    pub fn abandon(&self, reason: &'static str) {
        let mut state = self.lock();
        state.route = None;
        state.abandoned.get_or_insert(reason);
        for waiting in state.queue.drain(..) {
            self.account.n_waiting.fetch_sub(1, Ordering::Relaxed);
            self.let_go(&waiting.receipt, reason);
        }
    }

    /// One turn of the pump with the hand-over `ticket`; who is not first in line takes no permit that others wait for.
    /// `None`: a later hand-over took its place.
    pub fn turn(&self, ticket: u64, is_first_in_line: bool, now: Instant) -> Option<Step> {
        let mut state = self.lock();
        if state.ticket != ticket {
            return None;
        }
        let step = self.advance(&mut state, is_first_in_line, now);
        state.is_handed = step != Step::Idle;
        Some(step)
    }

    fn enqueue(&self, reply: OutboundReply) {
        let parts = text::parts(&reply.reply.text);
        if parts.is_empty() {
            return;
        }
        let id = ReplyId { channel_id: self.channel_id, ..id_of(&reply) };
        if self.account.is_anonymous {
            return self.give_up(&id, "anonymous");
        }
        let ticket = match reply.reply.once {
            Once::Stateless => None,
            Once::Held(ticket) => Some(ticket),
            Once::Repeated => return self.give_up(&id, "repeated"),
        };
        let bytes = REPLY_BYTES + parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if !self.account.bytes.try_take(bytes) {
            return self.give_up(&id, "node_budget");
        }
        let answers = matches!(reply.reply.target, ReplyTarget::Message);
        let parent = id.message_id.clone().filter(|id| answers && is_message_id(id));
        let receipt = Receipt { received: reply.received, permit: reply.permit, ticket, reply: id };
        let budget = Arc::clone(&self.account.bytes);
        let mut state = self.lock();
        let waiting = Waiting { parts, n_sent: 0, parent, receipt, bytes, budget };
        if let Some(reason) = state.abandoned {
            return self.let_go(&waiting.receipt, reason);
        }
        state.queue.push_back(waiting);
        self.account.n_waiting.fetch_add(1, Ordering::Relaxed);
        if state.queue.len() > self.account.send_queue {
            self.drop_oldest(&mut state);
        }
        if state.is_handed {
            return self.note_queued(&state, "others wait before it");
        }
        let now = Instant::now();
        loop {
            match self.advance(&mut state, false, now) {
                Step::Idle => return,
                Step::Sent => {}
                Step::At(_) => {
                    let is_joined = state.route.is_some();
                    let why = if is_joined { "the channel's own pace" } else { "the channel is not joined" };
                    self.note_queued(&state, why);
                    return self.hand_over(&mut state);
                }
                Step::NoPermit { .. } => {
                    self.note_queued(&state, "the account's send limit");
                    return self.hand_over(&mut state);
                }
            }
        }
    }

    /// The newest reply could not leave at once.
    fn note_queued(&self, state: &State, why: &'static str) {
        if let Some(waiting) = state.queue.back() {
            let what = What::Send { state: SendState::Queued, why: Some(why.into()) };
            self.account.recorder.note(waiting.receipt.reply.record(what));
        }
    }

    /// A reply that was not sent and that nobody sends from here: from the outbox another does, or the next start.
    /// One that began there is unknown, which its ticket counts; one without a row is dropped.
    fn let_go(&self, receipt: &Receipt, reason: &'static str) {
        let Some(ticket) = &receipt.ticket else { return self.give_up(&receipt.reply, reason) };
        ticket.release();
        let what = What::Send { state: SendState::Queued, why: Some("whoever has the channel next".into()) };
        self.account.recorder.note(receipt.reply.record(what));
    }

    /// A reply is dropped: counted, and told to the event log.
    fn give_up(&self, reply: &ReplyId, reason: &'static str) {
        count_dropped(reason, 1);
        self.account.recorder.note(reply.record(What::dropped(reason)));
    }

    fn hand_over(&self, state: &mut State) {
        state.ticket += 1;
        state.is_handed = true;
        if let Some(sender) = self.me.upgrade() {
            self.account.hand_over(Handed { sender, ticket: state.ticket });
        }
    }

    /// The oldest reply of which no part is written yet makes room.
    fn drop_oldest(&self, state: &mut State) {
        let at = state.queue.iter().position(|waiting| waiting.n_sent == 0);
        if let Some(oldest) = at.and_then(|at| state.queue.remove(at)) {
            self.account.n_waiting.fetch_sub(1, Ordering::Relaxed);
            self.give_up(&oldest.receipt.reply, "send_queue");
        }
    }

    /// Sends the next part if it may leave now.
    fn advance(&self, state: &mut State, is_first_in_line: bool, now: Instant) -> Step {
        self.drop_stale(state, now);
        let Some(head) = state.queue.front() else { return Step::Idle };
        let stale_at = head.receipt.received + self.account.reply_age_max;
        let Some(route) = state.route.as_ref().map(Arc::clone) else { return Step::At(stale_at) };
        if let Some(at) = state.not_before.filter(|at| *at > now) {
            return Step::At(at.min(stale_at));
        }
        if !route.has_room() || !self.account.gate.is_open() {
            return Step::At(now + ROOM_INTERVAL);
        }
        let moderator = state.is_moderator;
        if let Err(at) = self.account.try_take(moderator, is_first_in_line, now) {
            return Step::NoPermit { moderator, at: at.min(stale_at) };
        }
        self.write_head(state, &route, now);
        if state.queue.is_empty() { Step::Idle } else { Step::Sent }
    }

    fn write_head(&self, state: &mut State, route: &Outlet, now: Instant) {
        let Some(head) = state.queue.front_mut() else { return };
        let text = head.parts.get(head.n_sent).map_or("", String::as_str);
        let is_repeat =
            |hash| state.last.is_some_and(|(last, at)| last == hash && now - at < DUPLICATE_WINDOW);
        let hash = hash(text);
        let suffixed = !state.is_moderator && is_repeat(hash);
        state.last = Some((if suffixed { !hash } else { hash }, now));
        let suffix = if suffixed { text::DUPLICATE_SUFFIX } else { "" };
        head.n_sent += 1;
        let is_last = head.n_sent == head.parts.len();
        if let (false, Some(ticket)) = (is_last, &head.receipt.ticket) {
            ticket.begun();
        }
        let receipt = is_last.then(|| head.receipt.take());
        let (parent, login) = (head.parent.as_deref(), self.login.as_str());
        let is_taken = route.push(receipt, |bytes| write_line(bytes, parent, login, (text, suffix)));
        if !is_taken {
            // The connection closed between the two calls: as lost as what was in its buffer.
            self.give_up(&head.receipt.reply, CONNECTION_LOST);
        }
        if is_last {
            state.queue.pop_front();
            self.account.n_waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let pace = if state.is_moderator { Duration::ZERO } else { self.account.interval.max(state.slow) };
        let pause = if is_last { pace } else { pace.max(PART_INTERVAL) };
        state.not_before = (!pause.is_zero()).then(|| now + pause);
    }

    /// Gives up what is too old to be understood.
    fn drop_stale(&self, state: &mut State, now: Instant) {
        let is_stale = |waiting: &Waiting| {
            now.saturating_duration_since(waiting.receipt.received) >= self.account.reply_age_max
        };
        while state.queue.front().is_some_and(is_stale) {
            if let Some(stale) = state.queue.pop_front() {
                self.account.recorder.note(stale.receipt.reply.record(What::dropped("stale")));
            }
            self.account.n_waiting.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("waddlebot_stale_replies_suppressed_total").increment(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplySink for ChannelSender {
    fn deliver(&self, reply: OutboundReply) {
        if let Once::Held(ticket) = &reply.reply.once {
            ticket.taken();
        }
        match &reply.reply.target {
            ReplyTarget::Channel(id) if *id != self.channel_id => match self.account.sender(*id) {
                Some(other) => other.enqueue(reply),
                None => self.give_up(&id_of(&reply), "unknown_target"),
            },
            // Twitch took its whispers off IRC; said in the open it would tell everybody.
            ReplyTarget::User(_) => self.give_up(&id_of(&reply), "no_whispers"),
            _ => self.enqueue(reply),
        }
    }

    fn is_outlet(&self) -> bool {
        true
    }

    fn done(&self, completion: &Completion) {
        // What was shed is counted where it was shed.
        if completion.outcome != Outcome::Shed {
            self.account.handled.increment(1);
        }
    }
}

fn id_of(reply: &OutboundReply) -> ReplyId {
    let OutboundReply { channel_id, correlation_id, ref in_reply_to, .. } = *reply;
    ReplyId { channel_id, correlation_id, message_id: in_reply_to.clone() }
}

fn write_line(bytes: &mut Vec<u8>, parent: Option<&str>, login: &str, (text, suffix): (&str, &str)) {
    if let Some(parent) = parent {
        bytes.extend_from_slice(b"@reply-parent-msg-id=");
        bytes.extend_from_slice(parent.as_bytes());
        bytes.push(b' ');
    }
    for piece in ["PRIVMSG #", login, " :", text, suffix, "\r\n"] {
        bytes.extend_from_slice(piece.as_bytes());
    }
}

/// Ids come from outside (the router's callers too) and stand in a line: nothing else may.
fn is_message_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Replies that were given up, by reason. Not lines: `messages_dropped_total` counts those.
pub fn count_dropped(reason: &'static str, n: usize) {
    if n > 0 {
        metrics::counter!("waddlebot_replies_dropped_total", "platform" => "twitch", "reason" => reason)
            .increment(n as u64);
    }
}

#[cfg(test)]
mod tests;
