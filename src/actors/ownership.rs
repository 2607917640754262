//! Does what the cluster decided: channels that are ours come into the directory, others leave it. One per node.
//!
//! Receives: the protocol's outputs, its own tick. Sends: drains to channel actors; tells the protocol which channels
//! there are and which hand-overs are done. Owns: nothing that the directory and the protocol do not know.
//! Dies: when an output cannot be done; the node then gives itself up and the others take over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{ChannelId, Partition, PartitionSet};
use membership::ask::{From, Role};
use membership::{Epoch, Incarnation, Input, NodeId, Output, OwnedKey, Place};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::channels::{self, Channel};
use storage::{Ownership as Owned, StorageError, pins};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Services;
use crate::cluster::member::Outputs;
use crate::cluster::roster::{Roster, Stale};
use crate::cluster::{ChannelSlot, Gateway, Member, PeerCall, SlotSpec, gateway};
use crate::messages::ChannelMsg;

/// How often channels that were added or removed are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Channels read at once.
const PAGE: u32 = 500;
/// The next owner's time to hear that a key is free.
const HEIR_LIMIT: Duration = Duration::from_millis(500);
/// Longest wait for one page.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(5);

const LEAVE_POLL: Duration = Duration::from_millis(20);
/// Longest wait for the replies of a channel that is handed over, such as for a permit of the account.
const REPLIES_LIMIT: Duration = Duration::from_secs(2);

const CHANNEL: &str = "channel:";
const QUEUE: &str = "queue:";

/// What the actor works with.
#[derive(Debug)]
pub struct Ownership {
    pub services: Arc<Services>,
    pub roster: Arc<Roster>,
    pub member: Member,
    pub gateway: Gateway,
    pub incarnation: Incarnation,
    /// Taken at the first start: who missed an output must not go on.
    pub outputs: Mutex<Option<Outputs>>,
    /// The queue's partitions that this node reads.
    pub partitions: watch::Sender<PartitionSet>,
    /// Longest drain of a channel that goes to another node.
    pub handoff_timeout: Duration,
    /// Cancelled when this process is dead to the others.
    pub died: CancellationToken,
    /// Cancelled when everything was handed over.
    pub left: CancellationToken,
    /// It owns nothing any more and gives away what it still hears.
    pub has_left: AtomicBool,
}

#[derive(Debug)]
pub enum OwnershipMsg {
    Outputs(Vec<Output>),
    Tick,
    /// The protocol's thread ended.
    Ended,
}

impl Actor for Ownership {
    type Msg = OwnershipMsg;
    /// Keys that are being handed over, and since when.
    type State = BTreeMap<OwnedKey, Instant>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<OwnershipMsg>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut outputs = outputs.ok_or("what the cluster decided meanwhile was not heard")?;
        self.want_partitions().await;
        self.roster.mark_all_stale();
        myself.send_interval(TICK, || OwnershipMsg::Tick);
        let listening = async move {
            while let Some(outputs) = outputs.recv().await {
                // An actor that is gone is not started again.
                drop(myself.cast(OwnershipMsg::Outputs(outputs)));
            }
            drop(myself.cast(OwnershipMsg::Ended));
        };
        self.services.spawner.detach("membership", Box::pin(listening));
        self.relay();
        Ok(BTreeMap::new())
    }

    async fn handle(
        &self,
        _: ActorRef<OwnershipMsg>,
        message: OwnershipMsg,
        leaving: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OwnershipMsg::Outputs(outputs) => self.apply(outputs, leaving),
            OwnershipMsg::Tick => {
                self.services.directory.let_guests_go(Instant::now());
                self.follow_channels().await;
            }
            OwnershipMsg::Ended => {
                if !self.has_left.load(Ordering::Relaxed) {
                    tracing::error!("the thread that keeps the lease ended");
                    self.died.cancel();
                }
            }
        }
        Ok(())
    }
}

impl Ownership {
    fn apply(&self, outputs: Vec<Output>, leaving: &mut BTreeMap<OwnedKey, Instant>) {
        let (mut granted, mut released) = (Vec::new(), Vec::new());
        let mut freed: BTreeMap<NodeId, Vec<OwnedKey>> = BTreeMap::new();
        for output in outputs {
            match output {
                Output::Granted { key, epoch, from } => {
                    count_move(from);
                    granted.extend(self.granted(&key, epoch));
                }
                Output::HandOver { key, epoch, to } => {
                    self.add(&mut granted);
                    leaving.insert(key.clone(), Instant::now());
                    self.hand_over(key, epoch, to.is_some());
                }
                Output::Died => {
                    tracing::error!("the database says that this incarnation is dead");
                    self.died.cancel();
                }
                Output::Left => self.leave(),
                Output::View(view) => {
                    metrics::gauge!("waddlebot_cluster_view").set(view.version as f64);
                    tracing::info!(view = view.version, nodes = view.members.len(), "the ring changed");
                }
                Output::Released { key, to } => {
                    released.extend(channel_of(&key));
                    if let Some(since) = leaving.remove(&key) {
                        metrics::histogram!("waddlebot_handoff_seconds").record(since.elapsed());
                    }
                    if let Some(heir) = to {
                        freed.entry(heir).or_default().push(key);
                    }
                }
                // The others are done by the protocol's thread.
                Output::Members | Output::Ask { .. } | Output::Probe { .. } | Output::Gate { .. } => {}
            }
        }
        self.add(&mut granted);
        self.services.directory.relay().released(&released);
        for (heir, keys) in freed {
            self.tell_heir(&heir, &keys);
        }
    }

    /// Hands on what is heard of channels that were given away, until this node is gone.
    fn relay(&self) {
        let (directory, gateway) = (Arc::clone(&self.services.directory), self.gateway.clone());
        let (left, died) = (self.left.clone(), self.died.clone());
        let relaying = async move {
            tokio::select! {
                () = directory.relay().run(&directory, &gateway) => {}
                () = left.cancelled() => {}
                () = died.cancelled() => {}
            }
        };
        self.services.spawner.detach("relay", Box::pin(relaying));
    }

    /// Nothing is owned here any more; what is still heard goes to its new owners first.
    fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        let directory = Arc::clone(&self.services.directory);
        let (left, died) = (self.left.clone(), self.died.clone());
        let work = async move {
            while !directory.relay().is_idle() && !died.is_cancelled() {
                tokio::time::sleep(LEAVE_POLL).await;
            }
            left.cancel();
        };
        self.services.spawner.detach("leave", Box::pin(work));
    }

    /// Tells the next owner that keys are free; one that does not hear it looks a second later.
    fn tell_heir(&self, heir: &NodeId, keys: &[OwnedKey]) {
        let peer = self.gateway.peers().into_iter().find(|peer| peer.node == *heir);
        let (Some(peer), Ok(body)) = (peer, serde_json::to_vec(keys)) else { return };
        let gateway = self.gateway.clone();
        let call = PeerCall::json(gateway::FREED, body, HEIR_LIMIT);
        let work = async move {
            if let Err(error) = gateway.send(&peer, call).await {
                tracing::debug!(%error, "could not tell that keys are free");
            }
        };
        self.services.spawner.detach("freed", Box::pin(work));
    }

    fn add(&self, granted: &mut Vec<SlotSpec>) {
        if !granted.is_empty() {
            tracing::debug!(channels = granted.len(), "took channels over");
            let slots = self.services.directory.add(std::mem::take(granted));
            let services = Arc::clone(&self.services);
            let work = async move { services.bring_lines(&slots).await };
            self.services.spawner.detach("bring_lines", Box::pin(work));
        }
    }

    /// The channel to add; `None` for another kind of key, which is taken over here.
    fn granted(&self, key: &OwnedKey, epoch: Epoch) -> Option<SlotSpec> {
        if let Some(partition) = partition_of(key) {
            self.partitions.send_modify(|partitions| *partitions = partitions.with(partition));
            return None;
        }
        let channel = self.roster.get(channel_of(key)?)?;
        Some(SlotSpec { ownership: Some(Owned { incarnation: self.incarnation, epoch }), ..channel })
    }

    /// Stops serving the key and says so once nothing is written or sent under it any more.
    fn hand_over(&self, key: OwnedKey, epoch: Epoch, has_heir: bool) {
        if let Some(partition) = partition_of(&key) {
            let only = PartitionSet::NONE.with(partition);
            self.partitions.send_modify(|partitions| *partitions = partitions.except(only));
        }
        let directory = Arc::clone(&self.services.directory);
        let (member, limit) = (self.member.clone(), self.handoff_timeout);
        let work = async move {
            let slot = match channel_of(&key) {
                Some(id) if has_heir => {
                    // Until its next owner hears it, and there is room, the channel is served here as before.
                    if let Some(slot) = directory.get(id) {
                        directory.relay().announce(&slot).await;
                    }
                    directory.give_away(id, directory.relay().room().await)
                }
                Some(id) => directory.remove(id),
                None => None,
            };
            if let Some(slot) = slot {
                drain(&slot, limit).await;
            }
            member.tell(Input::Drained { key, epoch }).await;
        };
        self.services.spawner.detach("hand_over", Box::pin(work));
    }

    async fn want_partitions(&self) {
        let keys = (0..Partition::COUNT).map(|number| OwnedKey(format!("{QUEUE}{number}")));
        let wanted = keys.map(|key| (key.clone(), Place::of(Role::Channels, &key)));
        self.member.tell(Input::Wanted(wanted.collect())).await;
    }

    /// Takes note of channels that were added, renamed or removed.
    async fn follow_channels(&self) {
        let stale = self.roster.take_stale();
        let done = match &stale {
            Stale::Nothing => Ok(()),
            Stale::Some(ids) => self.read_some(ids.iter().copied()).await,
            Stale::All => self.read_all().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "cannot read which channels there are, trying again");
            self.roster.put_back(stale);
        }
    }

    async fn read_some(&self, ids: impl Iterator<Item = ChannelId>) -> Result<(), StorageError> {
        for id in ids {
            match in_time(channels::get(&self.services.db, id)).await? {
                Some(channel) if channel.is_active => {
                    let pin = in_time(pins::get(&self.services.db, id)).await?;
                    self.know(vec![channel], |_| pin.clone()).await;
                }
                _ => self.forget(id).await,
            }
        }
        Ok(())
    }

    async fn read_all(&self) -> Result<(), StorageError> {
        let pins = self.read_pins().await?;
        let mut gone: HashSet<_> = self.roster.ids().into_iter().collect();
        let mut after = None;
        loop {
            let page = in_time(channels::active_all(&self.services.db, after, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for channel in &page {
                gone.remove(&channel.id);
            }
            self.know(page, |id| pins.get(&id).cloned()).await;
        }
        for id in gone {
            self.forget(id).await;
        }
        Ok(())
    }

    async fn read_pins(&self) -> Result<HashMap<ChannelId, String>, StorageError> {
        let mut nodes = HashMap::new();
        let mut after = None;
        loop {
            let page = in_time(pins::list(&self.services.db, after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(nodes) };
            after = Some(last.channel_id);
            nodes.extend(page.into_iter().map(|pin| (pin.channel_id, pin.node)));
        }
    }

    async fn know(&self, channels: Vec<Channel>, pin_of: impl Fn(ChannelId) -> Option<String>) {
        let ids: Vec<_> = channels.iter().map(|channel| channel.id).collect();
        self.roster.add(channels);
        let place = |id: ChannelId| {
            self.roster.pin(id, pin_of(id).map(NodeId));
            Some((key_of(id), self.roster.place(id)?))
        };
        let wanted = ids.into_iter().filter_map(place).collect();
        self.member.tell(Input::Wanted(wanted)).await;
    }

    async fn forget(&self, id: ChannelId) {
        if self.roster.remove(id) {
            self.member.tell(Input::Unwanted(key_of(id))).await;
        }
    }
}

fn count_move(from: From) {
    let reason = match from {
        From::Nobody => "new",
        From::Released(_) => "handed_over",
        From::Dead(_) => "owner_died",
        From::Mine => return,
    };
    metrics::counter!("waddlebot_ownership_moves_total", "reason" => reason).increment(1);
}

/// Lets the channel's actor finish what it has, within `limit`, and its replies leave: the next owner knows nothing of them.
async fn drain(slot: &ChannelSlot, limit: Duration) {
    if let Some(actor) = slot.actor()
        && actor.cast(ChannelMsg::Drain).is_ok()
        && actor.get_cell().wait(Some(limit)).await.is_err()
    {
        tracing::warn!(channel.key = %slot.key(), "did not finish in time to be handed over, stopped");
        actor.kill();
    }
    let deadline = Instant::now() + REPLIES_LIMIT;
    while slot.lane.in_flight() > 0 && Instant::now() < deadline {
        tokio::time::sleep(LEAVE_POLL).await;
    }
}

fn key_of(id: ChannelId) -> OwnedKey {
    OwnedKey(format!("{CHANNEL}{id}"))
}

fn channel_of(key: &OwnedKey) -> Option<ChannelId> {
    ChannelId::parse(key.0.strip_prefix(CHANNEL)?)
}

fn partition_of(key: &OwnedKey) -> Option<Partition> {
    Partition::new(key.0.strip_prefix(QUEUE)?.parse().ok()?)
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    tokio::time::timeout(STORAGE_TIMEOUT, answer).await.unwrap_or(Err(StorageError::Timeout))
}
