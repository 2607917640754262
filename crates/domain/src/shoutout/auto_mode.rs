//! Who gets a shoutout without being asked for.

use serde::{Deserialize, Serialize};

use crate::Level;

/// What a channel chose; the names are `WaddleBot`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", content = "level", rename_all = "snake_case")]
pub enum AutoMode {
    #[default]
    Disabled,
    /// Whoever raids, and who has a channel that this bot serves.
    AllCreators,
    /// Who stands on the community's list.
    ListOnly,
    /// Who has this level or a higher one.
    RoleBased(Level),
}

impl AutoMode {
    /// Reads what people type: `off`, `creators`, `listed`, or a level above everyone such as `vip`. `None`: it is
    /// none of these.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "off" | "disable" | "disabled" => Some(Self::Disabled),
            "creators" | "all_creators" => Some(Self::AllCreators),
            "listed" | "list_only" => Some(Self::ListOnly),
            text => text.parse().ok().filter(|level| *level > Level::Everyone).map(Self::RoleBased),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_people_type_it_and_kept_by_its_name() {
        for (text, mode, kept) in [
            ("off", AutoMode::Disabled, r#"{"mode":"disabled"}"#),
            ("Creators", AutoMode::AllCreators, r#"{"mode":"all_creators"}"#),
            ("list_only", AutoMode::ListOnly, r#"{"mode":"list_only"}"#),
            ("vips", AutoMode::RoleBased(Level::Vip), r#"{"mode":"role_based","level":"vip"}"#),
        ] {
            assert_eq!(AutoMode::parse(text), Some(mode), "{text}");
            assert_eq!(serde_json::to_string(&mode).unwrap(), kept);
            assert_eq!(serde_json::from_str::<AutoMode>(kept).unwrap(), mode);
        }
        for text in ["", "on", "everyone", "friends"] {
            assert_eq!(AutoMode::parse(text), None, "{text}");
        }
    }
}
