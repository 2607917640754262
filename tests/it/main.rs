//! The one integration-test binary: real processes, real servers, real sockets.
#![cfg(test)]

mod channel_life;
mod console;
mod doctor;
mod fake_twitch;
mod faults;
mod house;
mod node;
mod overload;
mod promises;
mod readme;
mod refusals;
mod replicas;
mod twitch_bot;
mod twitch_faults;
mod twitch_rig;
mod twitch_talking;
mod twitch_tokens;
