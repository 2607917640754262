//! `!ping` and `!botuptime`: is the bot there, and since when.

use async_trait::async_trait;
use domain::Level;
use domain::duration::human_duration;

use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec};
use crate::messages::{CommandCall, Reply};

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "ping",
    description: "Says that the bot is there.",
    commands: &[
        CommandSpec {
            name: "ping",
            usage: "ping",
            description: "Asks whether the bot is there.",
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "botuptime",
            usage: "botuptime",
            description: "Says how long the bot has been running.",
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Ping),
    ..ModuleSpec::DEFAULT
};

struct Ping;

#[async_trait]
impl Module for Ping {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let text = match &*call.name {
            "ping" if call.level >= Level::Moderator => {
                format!("Pong! (node {}, {} µs)", ctx.node_id(), call.received.elapsed().as_micros())
            }
            "ping" => "Pong!".to_owned(),
            _ => {
                let up = (ctx.now() - ctx.node_started_at()).to_std().unwrap_or_default();
                format!("I have been running for {}.", human_duration(up))
            }
        };
        Ok(vec![Reply::text(text)])
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::actors::modules::testing::World;

    #[tokio::test]
    async fn ping_tells_node_and_latency_to_moderators_only() {
        let mut world = World::new().await;
        assert_eq!(world.viewer("!ping").await, "Pong!");
        let told = world.moderator("!ping").await;
        assert!(told.starts_with("Pong! (node test, ") && told.ends_with(" µs)"), "{told}");
    }

    #[tokio::test]
    async fn the_bots_uptime_counts_from_the_start_of_the_node() {
        let mut world = World::new().await;
        world.clock.advance(TimeDelta::seconds(61));
        assert_eq!(world.viewer("!botuptime").await, "I have been running for 1 min 1 s.");
    }
}
