//! Who owns which channel, and how an event gets there. One node for now: everything is ours.

pub mod directory;
mod gate;
mod roster;
pub mod slot;
mod versions;

pub use directory::Directory;
pub use gate::{Gate, boot_time_us};
pub use roster::Roster;
pub use slot::{ChannelSlot, SlotSpec};
