//! Logs, metrics, and what the watchdog looks at.

pub mod breakers;
pub mod command_meters;
pub mod logs;
pub mod metric_names;
pub mod poll_slots;
