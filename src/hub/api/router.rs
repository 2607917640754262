//! `/api/v1/router`: what platform adapters and outside modules call.

pub(in crate::hub) mod commands;
pub(in crate::hub) mod events;
pub(in crate::hub) mod responses;
