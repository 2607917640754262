//! `!uptime`: how long the stream has been live.

use async_trait::async_trait;
use domain::duration::human_duration;

use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{CommandCall, Reply};

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "uptime",
    description: "Says how long the stream has been live.",
    commands: &[CommandSpec {
        name: "uptime",
        usage: "uptime",
        description: "Says how long the stream has been live.",
        ..CommandSpec::DEFAULT
    }],
    new: || Box::new(Uptime),
    ..ModuleSpec::DEFAULT
};

struct Uptime;

#[async_trait]
impl Module for Uptime {
    async fn on_command(&mut self, ctx: &Context, _call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let channel = ctx.channel_login();
        let stream = ctx.stream();
        let text = match (stream.live, stream.started_at) {
            (None, _) => format!("I do not know whether {channel} is live."),
            (Some(false), _) => format!("{channel} is offline."),
            (Some(true), None) => format!("{channel} is live, but I do not know since when."),
            (Some(true), Some(since)) => {
                let up = (ctx.now() - since).to_std().unwrap_or_default();
                format!("{channel} has been live for {}.", human_duration(up))
            }
        };
        Ok(vec![Reply::text(text)])
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::StreamInfo;

    use crate::actors::modules::testing::World;

    #[tokio::test]
    async fn what_is_unknown_is_said_as_unknown() {
        let mut world = World::new().await;
        assert_eq!(world.viewer("!uptime").await, "I do not know whether waddle is live.");
        world.slot.set_stream(StreamInfo { live: Some(true), ..StreamInfo::default() });
        assert_eq!(world.viewer("!uptime").await, "waddle is live, but I do not know since when.");
        world.slot.set_stream(StreamInfo { live: Some(false), ..StreamInfo::default() });
        assert_eq!(world.viewer("!uptime").await, "waddle is offline.");
    }

    #[tokio::test]
    async fn a_live_stream_has_an_uptime() {
        let mut world = World::new().await;
        world.slot.set_stream(StreamInfo::always_live(world.clock.now()));
        world.clock.advance(TimeDelta::minutes(185));
        assert_eq!(world.viewer("!uptime").await, "waddle has been live for 3 h 5 min.");
    }
}
