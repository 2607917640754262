//! `/api/v1/communities`: one streamer or group with its channels on several platforms.

pub(in crate::hub) mod live;
