//! `/api/v1`: the REST interface.

pub(super) mod aliases;
pub(super) mod audit;
pub(super) mod channels;
pub(super) mod cluster;
pub(super) mod commands;
pub(super) mod communities;
pub(super) mod memories;
pub(super) mod modules;
pub(super) mod queue;
pub(super) mod router;
pub(super) mod shoutout;
pub(super) mod status;
pub(super) mod transfer;
