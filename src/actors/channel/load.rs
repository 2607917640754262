//! Reading what the gate needs. The actor never waits for the storage: it asks, and goes on when the answer comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{CooldownLeft, Refusal};
use storage::suspects::Suspected;
use storage::{Db, StorageError};

use super::state::{State, Table};
use crate::actors::Services;
use crate::cluster::ChannelSlot;
use crate::messages::channel::LoadedChannel;
use crate::messages::{ChannelMsg, CommandTable, CustomCommand, Delivery, EventRecord, TableEntry, What};

/// The storage's time for one channel's table.
const LOAD_TIMEOUT: Duration = Duration::from_secs(2);
/// After a table could not be read anew, it is tried again.
const RELOAD_AFTER: Duration = Duration::from_secs(5);
/// How long a channel waits for its turn when very many wake at once (a start, a raid).
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

impl State {
    /// Starts reading the table unless it is there or on its way.
    pub fn load_if_absent(&mut self) {
        if matches!(self.table, Table::Absent) {
            self.table = Table::Loading { former: None, again: false };
            self.ask_storage();
        }
    }

    /// Something changed: the next command waits for the new table.
    pub fn reload(&mut self) {
        self.table = match std::mem::replace(&mut self.table, Table::Absent) {
            Table::Absent => return,
            Table::Loading { former, .. } => Table::Loading { former, again: true },
            Table::Ready(former) => {
                self.ask_storage();
                Table::Loading { former: Some(former), again: false }
            }
        };
    }

    fn ask_storage(&self) {
        let (services, slot, myself) =
            (Arc::clone(&self.services), Arc::clone(&self.slot), self.myself.clone());
        let work = async move {
            let Ok(Ok(_turn)) = tokio::time::timeout(TURN_TIMEOUT, services.loads.acquire()).await else {
                tracing::error!(channel.key = %slot.key(), "too many channels wait for the storage");
                drop(myself.cast(ChannelMsg::Loaded(None)));
                return;
            };
            let now = services.clock.now();
            let read = read_channel(&services.db, slot.id, slot.community_id, now);
            let loaded = match tokio::time::timeout(LOAD_TIMEOUT, read).await {
                Ok(Ok(loaded)) => Some(Box::new(loaded)),
                Ok(Err(error)) => {
                    tracing::error!(channel.key = %slot.key(), %error, "cannot read the channel's commands");
                    None
                }
                Err(_) => {
                    tracing::error!(channel.key = %slot.key(), "reading the channel's commands took over 2 s");
                    None
                }
            };
            // A channel that ended meanwhile reads anew when it starts again.
            drop(myself.cast(ChannelMsg::Loaded(loaded)));
        };
        self.services.spawner.detach("load_channel", Box::pin(work));
    }

    /// The storage answered, or did not.
    pub fn loaded(&mut self, loaded: Option<Box<LoadedChannel>>) {
        let (former, again) = match std::mem::replace(&mut self.table, Table::Absent) {
            Table::Loading { former, again } => (former, again),
            other => {
                self.table = other;
                return;
            }
        };
        if again {
            self.table = Table::Loading { former, again: false };
            self.ask_storage();
            return;
        }
        self.table = match (loaded, former) {
            (Some(loaded), _) => {
                self.restore_cooldowns(&loaded);
                self.suspect(&loaded.suspects);
                Table::Ready(Arc::new(table_of(*loaded)))
            }
            // Without the storage nobody can tell who still is an editor: stored roles count as expired.
            (None, Some(former)) => {
                self.myself.send_after(RELOAD_AFTER, || ChannelMsg::Reload);
                Table::Ready(Arc::new(without_roles(&former)))
            }
            (None, None) => Table::Absent,
        };
        for delivery in std::mem::take(&mut self.waiting) {
            if matches!(self.table, Table::Ready(_)) {
                // Dedup has seen it already.
                self.dispatch(delivery);
            } else {
                self.forget_id(&delivery);
                self.refuse(&delivery, None, Refusal::NotLoaded);
            }
        }
        if let Table::Ready(table) = &self.table {
            self.note_listeners(table);
            self.send_lines();
        }
    }

    /// What was not handled may come again under the same id.
    pub fn forget_id(&mut self, delivery: &Delivery) {
        if let Some(id) = &delivery.event.message_id {
            self.seen.remove(id);
        }
    }

    /// Modules that ran here when a process fell are not trusted; one that this program has no more is no matter.
    fn suspect(&mut self, suspects: &[Suspected]) {
        for seat in self.seats.values_mut() {
            if suspects.iter().all(|suspected| suspected.module != seat.spec.name) {
                seat.n_falls = 0;
            }
        }
        for suspected in suspects {
            let Some(spec) = self.services.registry.module(&suspected.module).copied() else { continue };
            let jitter = self.jitter();
            if !self.seat(&spec).suspect(suspected, jitter) {
                continue;
            }
            let (module, is_disabled) = (spec.name, suspected.is_disabled);
            tracing::error!(channel.key = %self.slot.key(), module.name = module, n_falls = suspected.n_falls, is_disabled,
                "a process fell while this module ran here; its breaker does not let it run");
            let what = What::Suspected { module: module.into(), is_disabled };
            self.services.directory.recorder().note(EventRecord::about(Some(self.slot.id), what));
        }
    }

    fn restore_cooldowns(&mut self, loaded: &LoadedChannel) {
        let (wall, now) = (self.services.clock.now(), Instant::now());
        for stored in &loaded.cooldowns {
            if let Ok(left) = (stored.expires_at - wall).to_std() {
                let (command, user) = (stored.command.as_str(), stored.platform_user_id.as_deref());
                self.gate.cooldowns.restore(CooldownLeft { command, user, left }, now);
            }
        }
    }
}

/// The channel's commands as they are stored now, for who looks at them beside the actor.
pub async fn today(services: &Services, slot: &ChannelSlot) -> Result<CommandTable, StorageError> {
    let read = read_channel(&services.db, slot.id, slot.community_id, services.clock.now());
    let loaded = tokio::time::timeout(LOAD_TIMEOUT, read).await.unwrap_or(Err(StorageError::Timeout))?;
    Ok(table_of(loaded))
}

async fn read_channel(
    db: &Db,
    channel_id: domain::ChannelId,
    community_id: domain::CommunityId,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<LoadedChannel, StorageError> {
    let commands = storage::commands::for_channel(db, channel_id, community_id).await?;
    let mut loaded = LoadedChannel { commands, ..LoadedChannel::default() };
    let has = storage::presence::of_channel(db, channel_id, community_id, now).await?;
    if has.aliases {
        loaded.aliases = storage::aliases::list(db, channel_id).await?;
    }
    if has.roles {
        loaded.roles = storage::roles::of_community(db, community_id).await?;
    }
    if has.module_states {
        loaded.module_states = storage::module_states::of_channel(db, channel_id).await?;
    }
    if has.cooldowns {
        loaded.cooldowns = storage::cooldowns::load(db, channel_id, now).await?;
    }
    if has.suspects {
        loaded.suspects = storage::suspects::of_channel(db, channel_id).await?;
    }
    Ok(loaded)
}

fn table_of(loaded: LoadedChannel) -> CommandTable {
    let commands = loaded
        .commands
        .into_iter()
        .map(|row| {
            let spec = row.spec;
            let custom = (!spec.response.is_empty())
                .then(|| Arc::new(CustomCommand { id: row.id.to_string(), response: spec.response }));
            let entry = TableEntry {
                module: spec.module_name,
                level: spec.level,
                cooldown_secs: u32::try_from(spec.cooldown_secs).unwrap_or_default(),
                user_cooldown_secs: u32::try_from(spec.user_cooldown_secs).unwrap_or_default(),
                enabled: spec.is_enabled,
                custom,
            };
            (spec.command, entry)
        })
        .collect();
    CommandTable {
        commands,
        aliases: loaded.aliases.into_iter().map(|row| (row.name, row.body)).collect(),
        roles: loaded.roles.into_iter().map(role_entry).collect(),
        modules: loaded.module_states.into_iter().map(|state| (state.module, state.is_enabled)).collect(),
    }
}

/// A role is found by the platform's id, or by login while nobody of that login was seen.
fn role_entry(role: storage::roles::Role) -> (String, domain::Level) {
    (role.platform_user_id.unwrap_or_else(|| format!("login:{}", role.login)), role.level)
}

fn without_roles(former: &CommandTable) -> CommandTable {
    CommandTable {
        commands: former.commands.clone(),
        aliases: former.aliases.clone(),
        roles: HashMap::default(),
        modules: former.modules.clone(),
    }
}
