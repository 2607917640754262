//! The channel actor: intake, gate, route.

pub mod table;
