//! Cooldowns of the commands of one channel, and which refusals were said already.

mod expiring;

use std::time::{Duration, Instant};

use expiring::Expiring;

/// Most cooldowns a channel remembers.
pub const COOLDOWNS_MAX: usize = 4_096;

/// Most refusals [`SaidOnce`] remembers.
pub const SAID_MAX: usize = 1_024;

/// Stands between command and user in a key; neither holds a control character.
const SEPARATOR: char = '\0';

/// How long a command rests after it ran. Zero = not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CooldownSpec {
    /// For everybody in the channel.
    pub global: Duration,
    /// For the person who used it.
    pub user: Duration,
}

/// One running cooldown, as it is stored over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CooldownLeft<'a> {
    pub command: &'a str,
    /// `None`: it holds for everybody.
    pub user: Option<&'a str>,
    pub left: Duration,
}

/// Running cooldowns of one channel; nothing is allocated while there is none.
///
/// Commands come in as their lower-case name, users as their id.
#[derive(Clone, Debug, Default)]
pub struct Cooldowns {
    running: Expiring<COOLDOWNS_MAX>,
}

impl Cooldowns {
    /// Starts the cooldowns of a command that is about to run.
    ///
    /// # Errors
    /// The time left when one is still running; nothing was started.
    pub fn reserve(
        &mut self,
        command: &str,
        user: &str,
        spec: CooldownSpec,
        now: Instant,
    ) -> Result<(), Duration> {
        let of_user = user_key(command, user);
        let left = self.running.left(command, now).max(self.running.left(&of_user, now));
        if let Some(left) = left {
            return Err(left);
        }
        if !spec.global.is_zero() {
            self.running.insert(command, spec.global, now);
        }
        if !spec.user.is_zero() {
            self.running.insert(&of_user, spec.user, now);
        }
        Ok(())
    }

    /// Gives back what was reserved at `reserved_at`: the command failed. Later reservations stay.
    pub fn release(&mut self, command: &str, user: &str, reserved_at: Instant) {
        self.running.remove(command, reserved_at);
        self.running.remove(&user_key(command, user), reserved_at);
    }

    /// Forgets what has run out.
    pub fn prune(&mut self, now: Instant) {
        self.running.prune(now);
    }

    /// Cooldowns with more than `min_left` to go, each with when it began.
    pub fn left_over(
        &self,
        now: Instant,
        min_left: Duration,
    ) -> impl Iterator<Item = (Instant, CooldownLeft<'_>)> {
        self.running.iter(now).filter(move |running| running.left > min_left).map(|running| {
            let (command, user) = match running.key.split_once(SEPARATOR) {
                Some((command, user)) => (command, Some(user)),
                None => (running.key, None),
            };
            (running.began_at, CooldownLeft { command, user, left: running.left })
        })
    }

    /// Continues a stored cooldown; one that already runs longer stays.
    pub fn restore(&mut self, stored: CooldownLeft<'_>, now: Instant) {
        let key = match stored.user {
            Some(user) => user_key(stored.command, user),
            None => stored.command.to_owned(),
        };
        if self.running.left(&key, now).is_none_or(|left| left < stored.left) {
            self.running.insert(&key, stored.left, now);
        }
    }

    /// How many are remembered, run out or not.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Seconds to show for a time left: rounded up, so that nobody is told 0.
pub fn seconds_left(left: Duration) -> u32 {
    let whole = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// Remembers which refusals were said, so that each is said once per user, thing and window.
#[derive(Clone, Debug, Default)]
pub struct SaidOnce {
    said: Expiring<SAID_MAX>,
}

impl SaidOnce {
    /// Whether to say it now. `what` names the command and, where they differ, the refusal.
    pub fn should_say(&mut self, user: &str, what: &str, now: Instant, window: Duration) -> bool {
        let key = user_key(what, user);
        if self.said.left(&key, now).is_some() {
            return false;
        }
        self.said.insert(&key, window, now);
        true
    }
}

fn user_key(command: &str, user: &str) -> String {
    let mut key = String::with_capacity(command.len() + user.len() + 1);
    key.push_str(command);
    key.push(SEPARATOR);
    key.push_str(user);
    key
}

#[cfg(test)]
mod tests;
