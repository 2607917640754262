//! The supervision tree as a list: what the node starts, in this order.

use crate::actors::modules::MODULES;
use crate::platforms::PLATFORMS;

/// A part of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Events,
    Modules,
    Channels,
    Upkeep,
    Replicas,
    Changes,
    Ownership,
    Outbox,
    Scheduler,
    Queue,
    Platforms,
    Hub,
}

impl Part {
    /// The name in logs, metrics and `waddlebot tree`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::Events => "events",
            Self::Channels => "channels",
            Self::Upkeep => "upkeep",
            Self::Replicas => "replicas",
            Self::Changes => "changes",
            Self::Ownership => "ownership",
            Self::Outbox => "outbox",
            Self::Scheduler => "scheduler",
            Self::Queue => "queue",
            Self::Platforms => "platforms",
            Self::Hub => "hub",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Modules => {
                "one actor per channel and module in use; its channel's breaker decides on restarts"
            }
            Self::Events => "writes what happened into the event log; nobody waits for it",
            Self::Channels => "one actor per channel in use; 5 crashes in 60 s park it for 5 minutes",
            Self::Changes => "follows what other processes changed",
            Self::Ownership => "in a cluster only: takes channels over and hands them over",
            Self::Outbox => "notes which replies left, sends what nobody holds",
            Self::Upkeep => "lets idle actors go, samples queues, prunes old op ids",
            Self::Replicas => "looks at the storage's read replicas each second",
            Self::Scheduler => "fires what is due",
            Self::Queue => "reads 64 partitions, hands stored messages to their handlers",
            Self::Platforms => "one actor per platform; restarted for ever, 250 ms doubling to 60 s",
            Self::Hub => "HTTP: health, metrics, API",
        }
    }
}

/// The parts in start order: who takes events is there before who brings them.
pub const fn parts() -> &'static [Part] {
    use Part::{
        Changes, Channels, Events, Hub, Modules, Outbox, Ownership, Platforms, Queue, Replicas, Scheduler,
        Upkeep,
    };
    &[
        Events, Modules, Channels, Upkeep, Replicas, Changes, Ownership, Outbox, Scheduler, Queue, Platforms,
        Hub,
    ]
}

/// The tree as `waddlebot tree` prints it.
pub fn picture() -> String {
    use std::fmt::Write;
    let mut text = String::from("node  3 crashes of a part in 60 s: exit 70\n");
    for part in parts() {
        // Writing into a String cannot fail.
        _ = writeln!(text, "├─ {:<10} {}", part.name(), part.what());
        match part {
            Part::Modules => {
                for module in MODULES {
                    _ = writeln!(text, "│  ├─ {:<14} {}", module.name, module.description);
                }
            }
            Part::Platforms => {
                for platform in PLATFORMS {
                    _ = writeln!(text, "│  ├─ {}", platform.name);
                }
            }
            _ => {}
        }
    }
    text
}
