//! The hub as its callers see it: a real listener, a real SQLite file, and channels that answer through their sink.

mod api;
mod bookmarks;
mod envelope;
mod memories;
pub(crate) mod node;
mod openapi;
mod reminders;
mod router;
mod shoutouts;
mod throttle;
mod transfer;
mod wire;
