//! A Twitch that enforces its limits: IRC over TCP, TLS and WebSocket, and the HTTP calls around it, on loopback.
//!
//! What a real Twitch would refuse is refused here, dropped and counted, so that a test can assert that a bot
//! never goes over a limit, and a bot without a limiter is seen to fail.

mod config;
mod connection;
mod counters;
mod events;
mod faults;
mod feed;
mod http;
mod limits;
mod lines;
mod parse;
mod received;
mod server;
mod session;
mod tls;
mod transport;
mod world;

pub use config::{Account, Chatter, FakeConfig, LIMIT_OFF, Show};
pub use counters::Counters;
pub use events::{Line, ReplyParent, Said, UserNotice};
pub use feed::{Feed, LineStamps, PreparedLine, Taken};
pub use http::HttpMode;
pub use received::{Pong, Received};
pub use server::FakeTwitch;
pub use world::{ConnectionLog, room_id};
