//! Waddlebot, a chat-bot runtime: every channel is a supervised actor.

pub mod config;
