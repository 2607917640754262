//! Who owns what in a cluster: the protocol as a state machine that asks the database and is told what came back.
//!
//! Nothing here does I/O, reads a clock or knows an actor. [`ask`] is what the machine asks the database for, one
//! transaction each; `crates/storage` answers it with `PostgreSQL`, the simulation with a model of the same rules.

pub mod ask;
mod ids;
mod machine;
#[cfg(test)]
mod model;
mod placement;
mod ring;
#[cfg(test)]
mod simulation;
mod timings;

pub use ids::{DbTime, Epoch, Incarnation, MonotonicUs, NodeId, OwnedKey};
pub use machine::{Input, Lane, Machine, Output};
pub use placement::{Place, Placement};
pub use ring::{Affinity, Ring, VIRTUAL_NODES};
pub use timings::Timings;
