//! What a channel writes: cooldowns that outlast it, the long ones while it runs too, and how often its aliases were used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::StorageError;
use storage::cooldowns::Cooldown;

use super::state::State;
use crate::cluster::ChannelSlot;

/// Cooldowns with more than this left are written while the channel runs: a process that dies does not end them.
const KEPT_WHILE_RUNNING: Duration = Duration::from_mins(1);
/// Those with more than this left are written when it ends: it may go on at once on another node.
const KEPT_AT_THE_END: Duration = Duration::from_secs(1);
/// Rows of one write.
const COOLDOWNS_MAX: usize = 1_000;
/// The write is given up after this; a channel that ends must not hang on its storage.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl State {
    /// Writes the long cooldowns that began since the last time. A call that fails gives its cooldowns back, so those of
    /// calls that may still be running wait for the next time.
    pub fn keep_cooldowns(&mut self, now: Instant) {
        let Some(settled) = now.checked_sub(super::CALL_LOST_AFTER) else { return };
        let since = std::mem::replace(&mut self.cooldowns_kept, settled);
        let rows =
            self.running_cooldowns(KEPT_WHILE_RUNNING, |began_at| began_at > since && began_at <= settled);
        if rows.is_empty() {
            return;
        }
        let (services, slot) = (Arc::clone(&self.services), Arc::clone(&self.slot));
        let write = async move { in_time(&slot, storage::cooldowns::save(&services.db, &rows)).await };
        self.services.spawner.detach("keep_cooldowns", Box::pin(write));
    }

    /// Writes what must survive. A failure is logged: it costs a cooldown, not an effect.
    pub async fn flush(&mut self) {
        let cooldowns = self.running_cooldowns(KEPT_AT_THE_END, |_| true);
        let alias_uses: Vec<_> = self.alias_uses.drain().collect();
        let db = &self.services.db;
        let write = async {
            if !cooldowns.is_empty() {
                storage::cooldowns::save(db, &cooldowns).await?;
            }
            if !alias_uses.is_empty() {
                storage::aliases::count_uses(db, self.slot.id, &alias_uses).await?;
            }
            Ok(())
        };
        in_time(&self.slot, write).await;
    }

    /// Rows of at most [`COOLDOWNS_MAX`] running cooldowns, of those that began when they should.
    fn running_cooldowns(&self, min_left: Duration, is_wanted: impl Fn(Instant) -> bool) -> Vec<Cooldown> {
        let (wall, now) = (self.services.clock.now(), Instant::now());
        let running = self.gate.cooldowns.left_over(now, min_left);
        let rows = running.filter(|(began_at, _)| is_wanted(*began_at)).map(|(_, running)| Cooldown {
            channel_id: self.slot.id,
            command: running.command.to_owned(),
            platform_user_id: running.user.map(str::to_owned),
            person_id: None,
            expires_at: wall + running.left,
        });
        rows.take(COOLDOWNS_MAX).collect()
    }
}

async fn in_time(slot: &ChannelSlot, write: impl Future<Output = Result<(), StorageError>>) {
    match tokio::time::timeout(FLUSH_TIMEOUT, write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(channel.key = %slot.key(), %error, "cooldowns were not stored"),
        Err(_) => tracing::warn!(channel.key = %slot.key(), "cooldowns were not stored within 2 s"),
    }
}

#[cfg(test)]
mod tests {
    use domain::cooldown::CooldownSpec;
    use ractor::Actor;

    use super::*;
    use crate::actors::channel::{CALL_LOST_AFTER, ChannelActor};
    use crate::actors::modules::testing::World;

    fn user(secs: u64) -> CooldownSpec {
        CooldownSpec { global: Duration::ZERO, user: Duration::from_secs(secs) }
    }

    #[tokio::test]
    async fn long_cooldowns_are_written_while_the_channel_runs_and_all_at_its_end() {
        for world in World::on_both().await {
            let (services, slot) = (Arc::clone(&world.services), Arc::clone(&world.slot));
            let actor = ChannelActor { services: Arc::clone(&services), slot: Arc::clone(&slot) };
            let (myself, _task) = Actor::spawn(None, actor, ()).await.unwrap();
            let mut state = State::new(Arc::clone(&services), Arc::clone(&slot), myself.clone());
            let began = Instant::now();
            state.gate.cooldowns.reserve("daily", "1", user(3_600), began).unwrap();
            state.gate.cooldowns.reserve("hi", "1", user(30), began).unwrap();
            let stored = async || {
                let now = services.clock.now();
                let rows = storage::cooldowns::load(&services.db, slot.id, now).await.unwrap();
                rows.into_iter().map(|row| row.command).collect::<Vec<_>>()
            };

            state.keep_cooldowns(began + Duration::from_secs(1));
            assert_eq!(stored().await, Vec::<String>::new(), "their calls may fail yet");
            state.keep_cooldowns(began + CALL_LOST_AFTER);
            let deadline = Instant::now() + Duration::from_secs(5);
            while stored().await != ["daily"] {
                assert!(Instant::now() < deadline, "{:?}", stored().await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            state.flush().await;
            assert_eq!(stored().await, ["daily", "hi"]);
            myself.stop(None);
        }
    }
}
