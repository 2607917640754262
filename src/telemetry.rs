//! Logs, metrics, the event log, and what the watchdog looks at.

pub mod breakers;
pub mod command_meters;
pub mod event_log;
pub mod event_writer;
pub mod logs;
pub mod metric_names;
pub mod poll_slots;
