//! x

mod fake_twitch;
