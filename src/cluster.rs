//! Who owns which channel, and how an event gets there. One node for now: everything is ours.

pub mod directory;
mod versions;

pub use directory::{ChannelSlot, Directory};
