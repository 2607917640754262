//! Of what a channel has rows at all: one question instead of several, since most channels have none of most.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CommunityId};

use crate::StorageError;
use crate::db::{self, Statement, Target, on, sql};
use crate::rows::micros;

/// Whether there are rows worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one answer for each of five tables, not four states")]
pub struct Presence {
    pub aliases: bool,
    /// Regulars or editors of the community.
    pub roles: bool,
    /// Modules that somebody switched.
    pub module_states: bool,
    /// Cooldowns that still run.
    pub cooldowns: bool,
    /// Modules that are suspected of having felled a process, or were.
    pub suspects: bool,
}

type Row = (bool, bool, bool, bool, bool);

/// Tells of what a channel has rows. Commands are not asked for: the global ones belong to every channel.
pub async fn of_channel<'a>(
    on: impl Into<Target<'a>> + Send,
    channel_id: ChannelId,
    community_id: CommunityId,
    now: DateTime<Utc>,
) -> Result<Presence, StorageError> {
    let (channel, community) = (channel_id.to_string(), community_id.to_string());
    let (aliases, roles, module_states, cooldowns, suspects) =
        on!(on.into(), &PRESENT, fetch_one as Row, channel, community, micros(now))?;
    Ok(Presence { aliases, roles, module_states, cooldowns, suspects })
}

const PRESENT: Statement = sql!(
    "select",
    "aliases",
    "SELECT EXISTS (SELECT 1 FROM aliases WHERE channel_id = $1), \
     EXISTS (SELECT 1 FROM roles WHERE community_id = $2), \
     EXISTS (SELECT 1 FROM module_states WHERE channel_id = $1), \
     EXISTS (SELECT 1 FROM cooldowns WHERE channel_id = $1 AND expires_at > $3), \
     EXISTS (SELECT 1 FROM suspects WHERE channel_id = $1)"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&PRESENT];
