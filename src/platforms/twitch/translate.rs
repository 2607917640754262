//! A line → what it is. Pure, and cheap for the plain chat that is nearly all of it: no tag is looked at and nothing
//! allocated before it is known that somebody acts upon the line.

use chrono::{DateTime, Utc};
use domain::{ChannelId, CorrelationId, Level, Platform};
use memchr::memmem::Finder;
use serde_json::{Map, Value};

use super::tags::{self, Tags};
use crate::messages::{ChatEvent, Chatter, EventKind, Source};

/// What makes the first character of a command.
const PREFIXES: [char; 2] = ['!', '#'];

/// Stands in the tags of a cheer, never first.
pub const BITS_TAG: &str = ";bits=";

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Somebody wrote something.
    Chat(ChatLine<'a>),
    Ping {
        payload: &'a str,
    },
    /// Any other command of IRC, by its name.
    Other(&'a str),
    Malformed,
}

/// A PRIVMSG, cut into its parts and no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatLine<'a> {
    pub tags: Tags<'a>,
    pub login: &'a str,
    /// Without `#`.
    pub channel_login: &'a str,
    /// Without the framing of `/me`.
    pub text: &'a str,
    /// Said with `/me`.
    pub is_action: bool,
}

/// Cuts a line, given without its line end.
pub fn see(line: &str) -> Seen<'_> {
    let Some((tags, rest)) = skip_section(line, '@') else { return Seen::Malformed };
    let Some((prefix, rest)) = skip_section(rest, ':') else { return Seen::Malformed };
    let (command, params) = cut(rest, b' ').unwrap_or((rest, ""));
    match command {
        "PRIVMSG" => chat(tags, prefix, params).map_or(Seen::Malformed, Seen::Chat),
        "PING" => Seen::Ping { payload: params.strip_prefix(':').unwrap_or(params) },
        "" => Seen::Malformed,
        other => Seen::Other(other),
    }
}

/// A leading section that begins with `mark` and ends with a space, and the rest; empty when there is none.
fn skip_section(line: &str, mark: char) -> Option<(&str, &str)> {
    let Some(section) = line.strip_prefix(mark) else { return Some(("", line)) };
    let (section, rest) = cut(section, b' ')?;
    Some((section, rest.trim_start_matches(' ')))
}

/// What stands before and behind the first `at`, an ASCII character. `str::split_once` takes several times as long.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = memchr::memchr(at, text.as_bytes())?;
    Some((&text[..place], &text[place + 1..]))
}

fn chat<'a>(tags: &'a str, prefix: &'a str, params: &'a str) -> Option<ChatLine<'a>> {
    let (target, text) = cut(params, b' ')?;
    let channel_login = target.strip_prefix('#').filter(|login| !login.is_empty())?;
    let text = text.strip_prefix(':').unwrap_or(text);
    let login = cut(prefix, b'!').map_or(prefix, |(login, _)| login);
    if login.is_empty() {
        return None;
    }
    let action = text.strip_prefix("\u{1}ACTION ");
    let text = action.map_or(text, |text| text.strip_suffix('\u{1}').unwrap_or(text));
    Some(ChatLine { tags: Tags(tags), login, channel_login, text, is_action: action.is_some() })
}

/// Why a line is worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth<'a> {
    /// It may be a command; this is its text, without the mention that an answer begins with.
    Command(&'a str),
    Cheer,
    /// Plain chat.
    Nothing,
}

impl<'a> ChatLine<'a> {
    /// Whether somebody acts upon the line. `bits` finds [`BITS_TAG`]; it is made once a connection.
    pub fn worth(&self, bits: &Finder<'_>) -> Worth<'a> {
        if self.text.starts_with(PREFIXES) {
            return Worth::Command(self.text);
        }
        if let Some(mention) = self.text.strip_prefix('@')
            && let Some((_, text)) = mention.split_once(' ')
            && text.starts_with(PREFIXES)
            && self.tags.get("reply-parent-msg-id").is_some()
        {
            return Worth::Command(text);
        }
        if bits.find(self.tags.0.as_bytes()).is_some() {
            return Worth::Cheer;
        }
        Worth::Nothing
    }
}

/// What an event is given beside its line.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    pub channel_id: ChannelId,
    pub correlation_id: CorrelationId,
    pub received_at: DateTime<Utc>,
}

/// A message of another channel that shares its chat with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromElsewhere;

/// What the tags of a chat line or notice tell, in one scan.
#[derive(Clone, Copy, Debug, Default)]
struct Told<'a> {
    id: Option<&'a str>,
    user_id: &'a str,
    display_name: &'a str,
    badges: &'a str,
    is_moderator: bool,
    sent_ms: Option<i64>,
    room_id: &'a str,
    source_room_id: &'a str,
    bits: Option<u64>,
    reply_to: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(tags: Tags<'a>) -> Self {
        let mut told = Self::default();
        for (key, value) in tags.iter() {
            match key {
                "id" => told.id = Some(value).filter(|id| !id.is_empty()),
                "user-id" => told.user_id = value,
                "display-name" => told.display_name = value,
                "badges" => told.badges = value,
                "mod" => told.is_moderator = value == "1",
                "tmi-sent-ts" => told.sent_ms = value.parse().ok(),
                "room-id" => told.room_id = value,
                "source-room-id" => told.source_room_id = value,
                "bits" => told.bits = value.parse().ok(),
                "reply-parent-msg-id" => told.reply_to = Some(value).filter(|id| !id.is_empty()),
                _ => {}
            }
        }
        told
    }

    /// Whether it was said in another channel whose chat is shared.
    fn is_from_elsewhere(&self) -> bool {
        !self.source_room_id.is_empty() && self.source_room_id != self.room_id
    }

    fn chatter(&self, login: &str) -> Chatter {
        let display_name = tags::unescape(self.display_name);
        let badge_level = tags::level(self.badges);
        Chatter {
            platform_user_id: self.user_id.to_owned(),
            login: login.to_owned(),
            display_name: if display_name.trim().is_empty() { login.to_owned() } else { display_name },
            level: if self.is_moderator { badge_level.max(Level::Moderator) } else { badge_level },
        }
    }
}

/// Makes the event of a chat line. `text` is what counts as said, as [`ChatLine::worth`] gave it.
///
/// # Errors
/// [`FromElsewhere`] when the line was said in another channel: nobody here acts upon it.
pub fn chat_event(
    line: &ChatLine<'_>,
    text: &str,
    kind: EventKind,
    occasion: Occasion,
) -> Result<ChatEvent, FromElsewhere> {
    let told = Told::of(line.tags);
    if told.is_from_elsewhere() {
        return Err(FromElsewhere);
    }
    let mut metadata = Map::new();
    if let Some(bits) = told.bits {
        metadata.insert("bits".to_owned(), bits.into());
    }
    if let Some(parent) = told.reply_to {
        metadata.insert("reply_to".to_owned(), parent.into());
    }
    if line.is_action {
        metadata.insert("is_action".to_owned(), true.into());
    }
    Ok(event(&told, line.login, text, (kind, metadata), occasion))
}

fn event(
    told: &Told<'_>,
    login: &str,
    text: &str,
    (kind, metadata): (EventKind, Map<String, Value>),
    occasion: Occasion,
) -> ChatEvent {
    ChatEvent {
        channel_id: occasion.channel_id,
        platform: Platform::Twitch,
        kind,
        source: Source::TwitchIrc,
        message_id: told.id.map(str::to_owned),
        user: told.chatter(login),
        text: text.to_owned(),
        sent_at: told.sent_ms.and_then(DateTime::from_timestamp_millis),
        received_at: occasion.received_at,
        correlation_id: occasion.correlation_id,
        traceparent: None,
        metadata,
    }
}

/// What a USERNOTICE tells of: a subscription, gifts, a raid; `None` for what nobody acts upon (an announcement).
pub fn notice_kind(msg_id: &str) -> Option<EventKind> {
    match msg_id {
        "sub" | "resub" | "giftpaidupgrade" | "anongiftpaidupgrade" | "primepaidupgrade" => {
            Some(EventKind::Subscription)
        }
        "subgift" | "submysterygift" | "anonsubgift" | "anonsubmysterygift" => {
            Some(EventKind::GiftSubscription)
        }
        "raid" => Some(EventKind::Raid),
        _ => None,
    }
}

/// Makes the event of a USERNOTICE of `kind`; its parameters (`msg-param-viewerCount`) stand in the metadata by the
/// names Twitch gives them, without `msg-param-`.
///
/// # Errors
/// [`FromElsewhere`] when it happened in another channel whose chat is shared.
pub fn notice_event(
    tags: Tags<'_>,
    text: &str,
    kind: EventKind,
    occasion: Occasion,
) -> Result<ChatEvent, FromElsewhere> {
    let told = Told::of(tags);
    if told.is_from_elsewhere() {
        return Err(FromElsewhere);
    }
    let mut metadata = Map::new();
    for (key, value) in tags.iter() {
        let name = match key {
            "msg-id" | "system-msg" => key,
            _ => match key.strip_prefix("msg-param-") {
                Some(name) => name,
                None => continue,
            },
        };
        metadata.insert(name.to_owned(), tags::unescape(value).into());
    }
    let login = tags::unescape(tags.get("login").unwrap_or_default());
    Ok(event(&told, &login, text, (kind, metadata), occasion))
}

#[cfg(test)]
mod tests;
