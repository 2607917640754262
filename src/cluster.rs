//! Who owns which channel, and how an event gets there.

pub mod directory;
pub mod gateway;
mod guests;
pub mod links;
pub mod member;
pub mod peer_tls;
pub mod relay;
pub mod roster;
mod send_gate;
pub mod slot;
mod versions;

pub use directory::Directory;
pub use gateway::{Gateway, Peer, PeerCall, PeerError};
pub use member::{Member, MemberOptions, Seen};
pub use roster::Roster;
pub use send_gate::{SendGate, boot_time_us};
pub use slot::{ChannelSlot, SlotSpec};
