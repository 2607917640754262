//! Twitch chat over IRC.
//!
//! ```text
//! socket      bytes of TCP, TLS or WebSocket
//! lines       bytes → lines
//! translate   line → what it is                     pure
//! intake      event → the channel's lane            one table a connection, nothing shared per line
//! sender      reply → the channel's queue, at once into the connection's outlet where the budget permits
//! pump        the replies that had to wait
//! actor       connections, JOINs, the account       fleet, joins, credentials
//! helix       who streams what, asked over HTTP
//! ```

use ractor::Actor;

use super::PlatformSpec;

mod account;
mod actor;
mod budget;
mod connection;
mod credentials;
mod fleet;
pub mod helix;
mod intake;
mod joins;
mod lines;
mod notices;
mod outlet;
mod pump;
mod sender;
mod settings;
mod socket;
mod tags;
mod text;
mod token_api;
mod translate;

use actor::{TwitchActor, TwitchMsg};

/// Twitch, as the node starts it.
pub const SPEC: PlatformSpec = PlatformSpec {
    name: "twitch",
    wanted: |deps| deps.config.platforms.twitch.enabled,
    spawn: |deps, supervisor| {
        Box::pin(async move {
            let (actor, _) = TwitchActor::spawn_linked(None, TwitchActor, deps, supervisor).await?;
            Ok(actor.get_cell())
        })
    },
};
