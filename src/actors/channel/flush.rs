//! What a channel writes before it goes: cooldowns that outlast it and how often its aliases were used.

use std::time::{Duration, Instant};

use storage::cooldowns::Cooldown;

use super::state::State;

/// Cooldowns with less than this left are not worth a write.
const COOLDOWN_KEPT_FROM: Duration = Duration::from_mins(1);
/// Rows of one write.
const COOLDOWNS_MAX: usize = 1_000;
/// The write is given up after this; a channel that ends must not hang on its storage.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl State {
    /// Writes what must survive. A failure is logged: it costs a cooldown, not an effect.
    pub async fn flush(&mut self) {
        let (wall, now) = (self.services.clock.now(), Instant::now());
        let mut cooldowns: Vec<_> = self
            .gate
            .cooldowns
            .left_over(now, COOLDOWN_KEPT_FROM)
            .map(|running| Cooldown {
                channel_id: self.slot.id,
                command: running.command.to_owned(),
                platform_user_id: running.user.map(str::to_owned),
                person_id: None,
                expires_at: wall + running.left,
            })
            .collect();
        cooldowns.truncate(COOLDOWNS_MAX);
        let alias_uses: Vec<_> = self.alias_uses.drain().collect();
        if cooldowns.is_empty() && alias_uses.is_empty() {
            return;
        }
        let db = &self.services.db;
        let write = async {
            storage::cooldowns::save(db, &cooldowns).await?;
            storage::aliases::count_uses(db, self.slot.id, &alias_uses).await
        };
        match tokio::time::timeout(FLUSH_TIMEOUT, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(channel.key = %self.slot.key(), %error, "cooldowns were not stored");
            }
            Err(_) => tracing::warn!(channel.key = %self.slot.key(), "cooldowns were not stored within 2 s"),
        }
    }
}
