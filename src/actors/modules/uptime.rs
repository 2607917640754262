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
