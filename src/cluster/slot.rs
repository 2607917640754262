//! What every part of the node may know of a channel without asking its actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use domain::stream_info::StreamInfo;
use domain::{ChannelId, CommunityId, Platform};
use ractor::ActorRef;
use storage::Ownership;
use storage::channels::Channel;

use crate::messages::{ChannelMsg, Lane, ReplySink};

/// Who wants every line of a channel: modules, or the event log while the channel is recorded.
const FOR_MODULES: u8 = 1;
const FOR_THE_LOG: u8 = 2;

/// What every part of the node may know of a channel without asking its actor.
#[derive(Debug)]
pub struct ChannelSlot {
    pub id: ChannelId,
    pub community_id: CommunityId,
    pub platform: Platform,
    /// Current login, lower case. A rename makes a new slot.
    pub login: String,
    /// As what this process owns it; each takeover makes a new slot. `None` where one node owns everything.
    pub ownership: Option<Ownership>,
    /// The platform's id; `None` until the platform told us.
    platform_id: ArcSwapOption<String>,
    pub lane: Lane,
    /// Plain lines seen since the start; timers compare two readings.
    lines: AtomicU64,
    /// Whether somebody asked for every line of this channel, and who.
    wants_lines: AtomicU8,
    /// `None` = unknown, which is said as unknown.
    stream: ArcSwapOption<StreamInfo>,
    /// Where the platform sends what nobody asked for (timers); `None` while no platform serves the channel.
    outlet: ArcSwapOption<Arc<dyn ReplySink>>,
    /// Its platform brings its lines here.
    is_heard: AtomicBool,
    /// It goes to another node: what comes for it is kept for that one.
    is_leaving: AtomicBool,
    /// `None` while the channel is passive: nothing runs for it.
    actor: ArcSwapOption<ActorRef<ChannelMsg>>,
}

/// What a new slot needs.
#[derive(Clone, Debug)]
pub struct SlotSpec {
    pub id: ChannelId,
    pub community_id: CommunityId,
    pub platform: Platform,
    pub login: String,
    pub platform_id: Option<String>,
    pub ownership: Option<Ownership>,
}

impl From<Channel> for SlotSpec {
    /// A channel that nobody owns yet.
    fn from(channel: Channel) -> Self {
        Self {
            id: channel.id,
            community_id: channel.community_id,
            platform: channel.platform,
            login: channel.login,
            platform_id: channel.platform_id,
            ownership: None,
        }
    }
}

impl ChannelSlot {
    /// A passive channel whose events wait in `lane`.
    pub(super) fn new(spec: SlotSpec, lane: Lane) -> Self {
        Self {
            id: spec.id,
            community_id: spec.community_id,
            platform: spec.platform,
            login: spec.login,
            ownership: spec.ownership,
            platform_id: ArcSwapOption::from_pointee(spec.platform_id),
            lane,
            lines: AtomicU64::new(0),
            wants_lines: AtomicU8::new(0),
            stream: ArcSwapOption::empty(),
            outlet: ArcSwapOption::empty(),
            is_heard: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            actor: ArcSwapOption::empty(),
        }
    }

    /// `platform:login`.
    pub fn key(&self) -> String {
        format!("{}:{}", self.platform, self.login)
    }

    pub fn platform_id(&self) -> Option<Arc<String>> {
        self.platform_id.load_full()
    }

    /// Notes what the platform calls the channel; who finds it by that name sees to the maps.
    pub(super) fn set_platform_id(&self, platform_id: String) {
        self.platform_id.store(Some(Arc::new(platform_id)));
    }

    /// Counts plain lines that nobody acted upon.
    pub fn count_lines(&self, n: u64) {
        self.lines.fetch_add(n, Ordering::Relaxed);
    }

    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub fn wants_lines(&self) -> bool {
        self.wants_lines.load(Ordering::Relaxed) != 0
    }

    pub fn set_wants_lines(&self, wants: bool) {
        self.want(FOR_MODULES, wants);
    }

    /// Whether the channel's lines are kept with their texts.
    pub fn is_recorded(&self) -> bool {
        self.wants_lines.load(Ordering::Relaxed) & FOR_THE_LOG != 0
    }

    pub(super) fn set_recorded(&self, recorded: bool) {
        self.want(FOR_THE_LOG, recorded);
    }

    fn want(&self, who: u8, wants: bool) {
        if wants {
            self.wants_lines.fetch_or(who, Ordering::Relaxed);
        } else {
            self.wants_lines.fetch_and(!who, Ordering::Relaxed);
        }
    }

    pub fn stream(&self) -> Option<Arc<StreamInfo>> {
        self.stream.load_full()
    }

    pub fn set_stream(&self, info: StreamInfo) {
        self.stream.store(Some(Arc::new(info)));
    }

    /// Where replies to no line go; set by the platform that serves the channel.
    pub fn outlet(&self) -> Option<Arc<dyn ReplySink>> {
        self.outlet.load_full().map(|outlet| Arc::clone(&*outlet))
    }

    pub fn set_outlet(&self, outlet: Option<Arc<dyn ReplySink>>) {
        self.outlet.store(outlet.map(Arc::new));
    }

    /// Whether its platform brings its lines here, as far as that confirms it.
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// Set by the platform that serves the channel.
    pub fn set_heard(&self, is_heard: bool) {
        self.is_heard.store(is_heard, Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// For ever: if the channel comes back it gets a new slot.
    pub(super) fn set_leaving(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// The running actor; `None` while the channel is passive.
    pub fn actor(&self) -> Option<Arc<ActorRef<ChannelMsg>>> {
        self.actor.load_full()
    }

    /// Set by supervision when the actor starts, cleared when it ends.
    pub fn set_actor(&self, actor: Option<ActorRef<ChannelMsg>>) {
        self.actor.store(actor.map(Arc::new));
    }
}
