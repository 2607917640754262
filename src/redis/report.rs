//! How Redis is, for the log and for whoever asks.

use std::sync::{Mutex, PoisonError};

use super::{Purpose, RedisError};

/// How Redis is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RedisState {
    /// Nothing was tried yet.
    #[default]
    Connecting,
    /// All connections are open.
    Up,
    /// At least one is not, and why.
    Away(RedisError),
}

/// Collects what the connections say; logs one line when the whole changes.
#[derive(Debug, Default)]
pub(super) struct Report(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    is_up: [bool; 3],
    state: RedisState,
}

impl Report {
    pub fn state(&self) -> RedisState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    pub fn up(&self, purpose: Purpose) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_up[purpose as usize] = true;
        if seen.is_up == [true; 3] && seen.state != RedisState::Up {
            seen.state = RedisState::Up;
            tracing::info!("Redis is up");
        }
    }

    pub fn away(&self, purpose: Purpose, error: &RedisError) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_up[purpose as usize] = false;
        let was_login = match &seen.state {
            RedisState::Away(before) => Some(*before == RedisError::Login),
            RedisState::Connecting | RedisState::Up => None,
        };
        let is_login = *error == RedisError::Login;
        seen.state = RedisState::Away(error.clone());
        match was_login {
            Some(was_login) if was_login == is_login => {}
            _ if is_login => tracing::error!("{error}; the node goes on without it"),
            _ => tracing::warn!(%error, "Redis is away; the node goes on without it and keeps trying"),
        }
    }
}
