//! Channels, modules and the scheduler.

pub mod audit;
pub mod bookmark_pages;
pub mod changes;
pub mod channel;
pub mod command_name;
pub mod context;
pub mod listing;
pub mod module;
pub mod module_actor;
pub mod modules;
pub mod outbox;
pub mod ownership;
pub mod queued_events;
pub mod quote_text;
pub mod replay;
pub mod scheduler;
pub mod services;

pub use context::Context;
pub use module::{CommandSpec, Module, ModuleError, ModuleSpec, Permission};
pub use services::Services;
