//! x

mod fake_twitch;
mod twitch_faults;
mod twitch_rig;
mod twitch_talking;
mod twitch_tokens;
