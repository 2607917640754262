//! Shoutout templates: checked when they are saved, filled with what a platform says of a streamer.

mod auto_mode;

pub use auto_mode::AutoMode;

use crate::Platform;
use crate::reply_text::{clean, defuse};

/// Most characters of a template.
pub const TEMPLATE_CHARS_MAX: usize = 500;

/// Most characters of one value; the longest text of a profile, its description, has 300.
const VALUE_CHARS_MAX: usize = 300;

/// Most characters of a finished shoutout.
const RENDERED_CHARS_MAX: usize = 1_500;

/// The text for platforms that have none of their own.
pub const MINIMAL: &str = "Have a look at {display_name}: https://twitch.tv/{login}";

const TWITCH_LIVE: &str =
    "{display_name} is live with {game_name} right now: {title} – https://twitch.tv/{login}";
const TWITCH_OFFLINE: &str =
    "Have a look at {display_name}, last seen with {game_name}: https://twitch.tv/{login}";
const DISCORD: &str = "Have a look at **{display_name}** ({game_name}): <https://twitch.tv/{login}>";
const SLACK: &str = "Have a look at *{display_name}* ({game_name}): <https://twitch.tv/{login}|{login}>";

/// The template cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShoutoutTemplateError {
    #[error("a shoutout template has at most {TEMPLATE_CHARS_MAX} characters")]
    TooLong,
    #[error("a `{{` has no `}}`; write for example {{display_name}}")]
    Unclosed,
    #[error("unknown variable `{{{0}}}`; known are {known}", known = known_variables())]
    Unknown(String),
    #[error("a shoutout template must hold {{display_name}} and {{login}}; add {{{0}}}")]
    Missing(&'static str),
}

/// What is known of the streamer a shoutout is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShoutoutProfile {
    pub display_name: String,
    pub login: String,
    /// `None`: never told.
    pub game_name: Option<String>,
    pub title: String,
    /// `None`: offline.
    pub viewer_count: Option<u64>,
    pub description: String,
    /// Empty for an ordinary account.
    pub broadcaster_type: String,
    pub profile_image_url: String,
    pub offline_image_url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    DisplayName,
    Login,
    GameName,
    Title,
    ViewerCount,
    Description,
    BroadcasterType,
    ProfileImageUrl,
    OfflineImageUrl,
}

impl Variable {
    const ALL: [Self; 9] = [
        Self::DisplayName,
        Self::Login,
        Self::GameName,
        Self::Title,
        Self::ViewerCount,
        Self::Description,
        Self::BroadcasterType,
        Self::ProfileImageUrl,
        Self::OfflineImageUrl,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::DisplayName => "display_name",
            Self::Login => "login",
            Self::GameName => "game_name",
            Self::Title => "title",
            Self::ViewerCount => "viewer_count",
            Self::Description => "description",
            Self::BroadcasterType => "broadcaster_type",
            Self::ProfileImageUrl => "profile_image_url",
            Self::OfflineImageUrl => "offline_image_url",
        }
    }

    fn value(self, profile: &ShoutoutProfile, platform: Platform) -> String {
        match self {
            Self::DisplayName => plain(&profile.display_name, platform),
            Self::Login => bare_login(&profile.login),
            Self::GameName => plain(profile.game_name.as_deref().unwrap_or("Unknown"), platform),
            Self::Title => plain(&profile.title, platform),
            Self::ViewerCount => profile.viewer_count.unwrap_or(0).to_string(),
            Self::Description => plain(&profile.description, platform),
            Self::BroadcasterType => plain(&profile.broadcaster_type, platform),
            Self::ProfileImageUrl => bare_url(&profile.profile_image_url),
            Self::OfflineImageUrl => bare_url(&profile.offline_image_url),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Variable),
}

/// A template that can be filled without a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShoutoutTemplate(Vec<Piece>);

impl ShoutoutTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`ShoutoutTemplateError`] says what to change.
    pub fn parse(text: &str) -> Result<Self, ShoutoutTemplateError> {
        if text.chars().count() > TEMPLATE_CHARS_MAX {
            return Err(ShoutoutTemplateError::TooLong);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(ShoutoutTemplateError::Unclosed)?;
            let variable = Variable::ALL.into_iter().find(|variable| variable.as_str() == name);
            let variable = variable.ok_or_else(|| ShoutoutTemplateError::Unknown(name.to_owned()))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Value(variable));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        for needed in [Variable::DisplayName, Variable::Login] {
            if !pieces.contains(&Piece::Value(needed)) {
                return Err(ShoutoutTemplateError::Missing(needed.as_str()));
            }
        }
        Ok(Self(pieces))
    }

    /// The template of a community that has none of its own.
    ///
    /// # Panics
    /// Never: a test reads every default.
    pub fn default_for(platform: Platform, is_live: bool) -> Self {
        Self::parse(default_text(platform, is_live)).expect("a test reads every default")
    }

    /// The shoutout as it is said on `platform`: one line, no command, no markup but the template's own.
    pub fn render(&self, profile: &ShoutoutProfile, platform: Platform) -> String {
        let filled: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Value(variable) => variable.value(profile, platform),
            })
            .collect();
        // An empty value must not bring a later prefix to the front.
        defuse(&clean(&filled)).chars().take(RENDERED_CHARS_MAX).collect()
    }
}

/// The text of a community that has none of its own.
pub const fn default_text(platform: Platform, is_live: bool) -> &'static str {
    match platform {
        Platform::Twitch if is_live => TWITCH_LIVE,
        Platform::Twitch => TWITCH_OFFLINE,
        Platform::Discord => DISCORD,
        Platform::Slack => SLACK,
        Platform::YouTube | Platform::Kick | Platform::Console => MINIMAL,
    }
}

fn known_variables() -> String {
    Variable::ALL.map(Variable::as_str).join(", ")
}

/// What a streamer wrote, so that the platform shows it letter by letter.
fn plain(text: &str, platform: Platform) -> String {
    let line: String = clean(text).chars().take(VALUE_CHARS_MAX).collect();
    let mut shown = String::with_capacity(line.len());
    for char in defuse(&line).chars() {
        match (platform, char) {
            (Platform::Slack, '&') => shown.push_str("&amp;"),
            (Platform::Slack, '<') => shown.push_str("&lt;"),
            (Platform::Slack, '>') => shown.push_str("&gt;"),
            // Something unseen behind it, else it would call everyone.
            (Platform::Discord, '@') => shown.push_str("@\u{200b}"),
            (Platform::Discord, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']') => {
                shown.extend(['\\', char]);
            }
            (_, char) => shown.push(char),
        }
    }
    shown
}

/// A login stands in addresses too, so nothing is escaped and only what logins are made of is kept.
fn bare_login(login: &str) -> String {
    let legal = login.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-'));
    legal.take(VALUE_CHARS_MAX).collect()
}

/// An address as it is; empty when it is none, or holds what would end it in a text.
fn bare_url(url: &str) -> String {
    let is_web = url.starts_with("https://") && url.len() <= VALUE_CHARS_MAX;
    let is_whole = url.chars().all(|char| char.is_ascii_graphic() && !matches!(char, '<' | '>' | '|' | '"'));
    if is_web && is_whole { url.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests;
