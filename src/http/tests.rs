//! Calls to servers that fail, stall, lie and redirect.

mod calls;
mod fetches;
mod hostile;
pub mod server;
