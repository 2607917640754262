//! What a refusal says to people.

use crate::{Level, Refusal};

impl Refusal {
    /// The sentence for the caller, whoever asked: it names what to type or how long to wait.
    pub fn text(&self, command: &str) -> String {
        match self {
            Self::Unknown { command } => {
                format!("There is no command !{command}; !commands lists what there is, !help explains it.")
            }
            Self::ModuleDisabled { module } => {
                format!("The module {module} is switched off in this channel.")
            }
            Self::CommandDisabled { command } => format!("!{command} is switched off in this channel."),
            Self::Level { needed } => format!("!{command} is for {} only.", plural(*needed)),
            Self::Cooldown { seconds_left } => format!("!{command} is cooling down: {seconds_left} s left."),
            Self::RateLimited { seconds_left } => {
                format!("That was !{command} too often: try again in {seconds_left} s.")
            }
            Self::Unavailable { retry_at: Some(at), .. } => {
                format!("!{command} is unavailable, try again at {} UTC.", at.format("%H:%M:%S"))
            }
            Self::Unavailable { retry_at: None, .. } => {
                format!("!{command} is unavailable until an operator restarts it.")
            }
            Self::Busy { .. } => format!("!{command} is busy, try again in a moment."),
            Self::Usage { usage } => format!("Type: !{usage}"),
            Self::AliasDepth => {
                format!("!{command} is an alias that goes more than three deep; !alias remove it.")
            }
            Self::NotLoaded => "I can't read my storage right now, try again in a moment.".to_owned(),
        }
    }

    /// The sentence for the chat; `None` for what nobody there can act upon, which stays silent.
    pub fn said_in_chat(&self, command: &str) -> Option<String> {
        match self {
            Self::Unknown { .. } | Self::ModuleDisabled { .. } | Self::CommandDisabled { .. } => None,
            _ => Some(self.text(command)),
        }
    }
}

/// Whom a level's commands are for.
const fn plural(level: Level) -> &'static str {
    match level {
        Level::Everyone => "everyone",
        Level::Subscriber => "subscribers",
        Level::Regular => "regulars",
        Level::Vip => "VIPs",
        Level::Moderator => "moderators",
        Level::Editor => "editors",
        Level::Owner => "the owner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_says_the_seconds_left_and_an_unknown_command_stays_silent_in_chat() {
        let cooldown = Refusal::Cooldown { seconds_left: 4 };
        assert_eq!(cooldown.said_in_chat("hi").as_deref(), Some("!hi is cooling down: 4 s left."));
        assert_eq!(Refusal::Unknown { command: "x".to_owned() }.said_in_chat("x"), None);
    }
}
