//! waddlebot: a chat-bot runtime in which every channel is a supervised actor.
//!
//! Layers; imports go down only, siblings never import each other:
//!
//! ```text
//! L5  main                                   args → config → supervision::start → wait → exit code
//! L4  supervision                            knows everyone, nobody knows it; the only one that spawns
//! L3  platforms | actors | hub               meet only in L1 and L0 and in handles given at spawn
//! L2  cluster, queue, http, limits, cache, telemetry
//! L1  messages, config, redis
//! L0  crates/storage → crates/domain, crates/membership   all SQL; pure values
//! ```

pub mod actors;
pub mod cache;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod http;
pub mod hub;
pub mod limits;
pub mod messages;
pub mod platforms;
pub mod queue;
pub mod redis;
pub mod run;
pub mod supervision;
pub mod telemetry;
