//! What all channels of the bot's account share when they send: the budget, the bytes, and the way to the pump.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::ChannelId;
use metrics::Counter;
use tokio::sync::Notify;

use super::budget::SendBudget;
use super::sender::ChannelSender;
use super::settings::Settings;
use crate::cluster::SendGate;
use crate::messages::{ByteBudget, Recorder};

/// What a channel's own pace is stretched by: what leaves us evenly may arrive closer together.
const INTERVAL_SLACK_PERCENT: u32 = 5;

/// A channel on its way to the pump; a later ticket of the same channel makes this one void.
#[derive(Debug)]
pub struct Handed {
    pub sender: Arc<ChannelSender>,
    pub ticket: u64,
}

/// The sending side of the bot's account.
#[derive(Debug)]
pub struct Account {
    budget: Mutex<SendBudget>,
    /// Channels that wait for a permit, without and with moderator state; newcomers stand behind them.
    pub(super) queued_for_permit: [AtomicUsize; 2],
    /// Replies that wait or are being cut, in all channels.
    pub(super) n_waiting: AtomicUsize,
    /// What replies that wait may take, in all channels and on all platforms.
    pub(super) bytes: Arc<ByteBudget>,
    handed: Mutex<Vec<Handed>>,
    pub(super) pump_wanted: Notify,
    senders: RwLock<HashMap<ChannelId, Arc<ChannelSender>>>,
    pub interval: Duration,
    pub reply_age_max: Duration,
    pub send_queue: usize,
    /// Nothing can be said: no token is set.
    pub is_anonymous: bool,
    /// `lines_handled_total` of this platform.
    pub handled: Counter,
    pub(super) recorder: Arc<Recorder>,
    /// Nothing leaves while it is shut.
    pub(super) gate: Arc<SendGate>,
}

impl Account {
    pub fn new(
        settings: &Settings,
        bytes: Arc<ByteBudget>,
        recorder: Arc<Recorder>,
        gate: Arc<SendGate>,
    ) -> Self {
        let interval = settings.channel_interval;
        Self {
            budget: Mutex::new(SendBudget::new(
                settings.messages_per_30s,
                settings.messages_per_30s_moderator,
            )),
            queued_for_permit: Default::default(),
            n_waiting: AtomicUsize::new(0),
            bytes,
            handed: Mutex::default(),
            pump_wanted: Notify::new(),
            senders: RwLock::default(),
            interval: interval + interval * INTERVAL_SLACK_PERCENT / 100,
            reply_age_max: settings.reply_age_max,
            send_queue: settings.send_queue,
            is_anonymous: settings.bot_token.is_none(),
            handled: metrics::counter!("waddlebot_lines_handled_total", "platform" => "twitch"),
            recorder,
            gate,
        }
    }

    /// Takes the permit of one message, or says when to ask again. Who is not first in line waits behind those who
    /// stand there already.
    pub fn try_take(&self, moderator: bool, is_first_in_line: bool, now: Instant) -> Result<(), Instant> {
        if !is_first_in_line && self.queued_for_permit[usize::from(moderator)].load(Ordering::Relaxed) > 0 {
            return Err(now);
        }
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).try_take(moderator, now)
    }

    /// Gives a channel to the pump, which sends what waits there as soon as it may.
    pub fn hand_over(&self, handed: Handed) {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).push(handed);
        self.pump_wanted.notify_one();
    }

    pub(super) fn take_handed(&self) -> Vec<Handed> {
        std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replies of all channels that wait to be written.
    pub fn n_waiting(&self) -> usize {
        self.n_waiting.load(Ordering::Relaxed)
    }

    /// The sender of another channel, for a reply that goes there.
    pub fn sender(&self, channel_id: ChannelId) -> Option<Arc<ChannelSender>> {
        self.senders.read().unwrap_or_else(PoisonError::into_inner).get(&channel_id).map(Arc::clone)
    }

    pub fn add_sender(&self, sender: Arc<ChannelSender>) {
        self.senders.write().unwrap_or_else(PoisonError::into_inner).insert(sender.channel_id, sender);
    }

    pub fn remove_sender(&self, channel_id: ChannelId) {
        self.senders.write().unwrap_or_else(PoisonError::into_inner).remove(&channel_id);
    }
}
