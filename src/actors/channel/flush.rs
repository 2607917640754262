//! What a channel writes before it goes: cooldowns that outlast it and how often its aliases were used.

use std::time::{Duration, Instant};

use super::state::State;

/// Cooldowns with less than this left are not worth a write.
const COOLDOWN_KEPT_FROM: Duration = Duration::from_secs(60);
/// The write is given up after this; a channel that ends must not hang on its storage.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

impl State {
    /// Writes in one transaction what must survive. A failure is logged: it costs a cooldown, not an effect.
    pub async fn flush(&mut self) {
        let (wall, now) = (self.services.clock.now(), Instant::now());
        let cooldowns: Vec<_> = self
            .gate
            .cooldowns
            .left_over(now, COOLDOWN_KEPT_FROM)
            .map(|(command, user, left)| (command.to_owned(), user.to_owned(), wall + left))
            .collect();
        let alias_uses: Vec<_> = self.alias_uses.drain().collect();
        if cooldowns.is_empty() && alias_uses.is_empty() {
            return;
        }
        let db = &self.services.db;
        let write = async {
            let mut tx = db.begin().await?;
            storage::cooldowns::save(&mut tx, self.slot.id, &cooldowns, wall).await?;
            for (name, uses) in &alias_uses {
                storage::aliases::count_uses(&mut tx, self.slot.id, name, *uses).await?;
            }
            tx.commit().await
        };
        match tokio::time::timeout(FLUSH_TIMEOUT, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(channel.key = %self.slot.key(), %error, "cooldowns were not stored"),
            Err(_) => tracing::warn!(channel.key = %self.slot.key(), "cooldowns were not stored within 2 s"),
        }
    }
}
