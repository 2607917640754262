//! The one integration-test binary: real processes, real servers, real sockets.
#![cfg(test)]

mod cache;
mod channel_life;
mod cluster;
mod console;
mod doctor;
mod event_log;
mod fake_twitch;
mod faults;
mod helix;
mod house;
mod limits;
mod make_cluster;
mod node;
mod overload;
mod promises;
mod queue;
mod readme;
mod redis;
mod redis_server;
mod refusals;
mod replicas;
mod shared_state;
mod twitch_bot;
mod twitch_faults;
mod twitch_rig;
mod twitch_talking;
mod twitch_tokens;
mod urlfetch;
