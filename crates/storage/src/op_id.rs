//! The name of one operation, the same on every attempt.

use std::fmt;
use std::fmt::Write as _;

use domain::{ChannelId, CommunityId};
use membership::{Epoch, Incarnation};
use serde::{Deserialize, Serialize};

use crate::StorageError;

/// As what a process owns a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The owning process.
    pub incarnation: Incarnation,
    /// Raised at each change of owner.
    pub epoch: Epoch,
}

/// Whose state a unit of work changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// State that the channel's actor holds in memory or times; only the channel's owner may write it.
    Channel {
        channel_id: ChannelId,
        /// Compared with the channel's row in `owners`. `None` where one node owns everything.
        ownership: Option<Ownership>,
    },
    /// State of a community, legal on every node; the statements themselves keep it right.
    Community(CommunityId),
    /// State of the whole bot.
    Global,
}

impl fmt::Display for Scope {
    /// Leaves out who owns it: a repeat after a change of owner is still the same operation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel { channel_id, .. } => write!(f, "channel:{channel_id}"),
            Self::Community(community_id) => write!(f, "community:{community_id}"),
            Self::Global => f.write_str("global"),
        }
    }
}

/// Names one operation: scope, source, source id, module and step, parted by `|`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(String);

impl OpId {
    /// Longest text, in bytes.
    pub const BYTES_MAX: usize = 400;

    /// Builds the name. `source` is where it came from (`twitch`, `http`, `timer`), `source_id` the message id,
    /// the idempotency key or the due time, `step` a number fixed in the module's code.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] when a part is empty or all together are longer than 400 bytes.
    pub fn new(
        scope: &Scope,
        source: &str,
        source_id: &str,
        module: &str,
        step: u16,
    ) -> Result<Self, StorageError> {
        let mut text = scope.to_string();
        for part in [source, source_id, module] {
            if part.is_empty() {
                return Err(StorageError::invalid("an operation needs a source, an id there and a module"));
            }
            text.push('|');
            push_escaped(&mut text, part);
        }
        write!(text, "|{step}")
            .map_err(|_| StorageError::invalid("an operation's name cannot be written"))?;
        if text.len() > Self::BYTES_MAX {
            return Err(StorageError::invalid("the id of the message or request is too long"));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps two different lists of parts from giving one text, and NUL out of `PostgreSQL`.
fn push_escaped(text: &mut String, part: &str) {
    for char in part.chars() {
        match char {
            '%' => text.push_str("%25"),
            '|' => text.push_str("%7C"),
            '\0' => text.push_str("%00"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_after_a_change_of_owner_has_the_same_name() {
        let channel_id = ChannelId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let owned = |incarnation, epoch| {
            let (incarnation, epoch) = (Incarnation(incarnation), Epoch(epoch));
            Scope::Channel { channel_id, ownership: Some(Ownership { incarnation, epoch }) }
        };
        let (old, new) = (owned(1, 1), owned(2, 9));
        let name = |scope| OpId::new(scope, "twitch", "m1", "commands", 0).unwrap();
        assert_eq!(name(&old), name(&new));
        assert_eq!(name(&old).as_str(), "channel:01ARZ3NDEKTSV4RRFFQ69G5FAV|twitch|m1|commands|0");
    }

    #[test]
    fn different_parts_never_give_the_same_name() {
        let name = |source, id| OpId::new(&Scope::Global, source, id, "m", 0).unwrap();
        assert_ne!(name("a|b", "c"), name("a", "b|c"));
        assert_ne!(name("a%7Cb", "c"), name("a|b", "c"));
    }

    #[test]
    fn an_empty_or_endless_id_is_refused() {
        assert!(OpId::new(&Scope::Global, "http", "", "m", 0).is_err());
        assert!(OpId::new(&Scope::Global, "http", &"x".repeat(400), "m", 0).is_err());
    }
}
