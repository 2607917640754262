//! The event as the router contract has it, and what it becomes.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use domain::{ChannelKey, CorrelationId, Level, Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::cluster::{ChannelSlot, PeerCall};
use crate::hub::answer::ApiError;
use crate::messages::{ChatEvent, Chatter, EventKind, Source};

/// Longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 5_000;

/// Longest id or name, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Largest metadata, in bytes of JSON.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// What happened in a channel of a platform.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct RouterEvent {
    #[schema(example = "twitch")]
    platform: String,
    /// Login or platform id of the channel.
    channel_id: String,
    /// The platform's id of who wrote.
    user_id: String,
    username: String,
    /// At most 5,000 characters; may be empty for what is no chat.
    message: String,
    /// `chatMessage`, `slashCommand`, `interaction`, `modal_submit`, `button_click`, `select_menu`, `stream_online`,
    /// `stream_offline`, `subscription`, `gift_subscription`, `follow`, `raid` or `cheer`.
    #[schema(value_type = String, example = "chatMessage")]
    message_type: EventKind,
    #[serde(default)]
    entity_id: Option<String>,
    #[serde(default)]
    server_id: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    /// The command, when the platform told it apart; `message` then holds its arguments.
    #[serde(default)]
    command: Option<String>,
    /// The platform's id of the message: a repeat within 10 minutes is not handled again.
    #[serde(default)]
    message_id: Option<String>,
    /// `level` is who the user is in that channel; the rest is kept with the event.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// The owner's time for an event; more than its own limit.
const OWNER_LIMIT: Duration = Duration::from_secs(8);

/// When and under which ids an event came.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub received_at: DateTime<Utc>,
    pub session_id: CorrelationId,
    pub traceparent: Option<String>,
    /// The caller's `Idempotency-Key`, for an event without `message_id`.
    pub idempotency_key: Option<String>,
}

impl RouterEvent {
    /// The same event as a call to its channel's owner.
    pub(super) fn call(&self, path: &str, headers: HeaderMap) -> PeerCall {
        let body = serde_json::to_vec(self).expect("an event is made of plain values");
        let call = PeerCall::json(path, body, OWNER_LIMIT);
        PeerCall {
            headers: headers
                .into_iter()
                .chain(call.headers.clone())
                .filter_map(|(name, value)| Some((name?, value)))
                .collect(),
            ..call
        }
    }

    /// The channel it names.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn channel(&self) -> Result<ChannelKey, ApiError> {
        let platform: Platform =
            self.platform.parse().map_err(|error: domain::platform::UnknownPlatform| {
                ApiError::invalid(format!("platform: {error}"))
            })?;
        ChannelKey::new(platform, &self.channel_id)
            .map_err(|error| ApiError::invalid(format!("channel_id: {error}")))
    }

    /// The event for that channel.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn into_chat(self, slot: &ChannelSlot, receipt: Receipt) -> Result<ChatEvent, ApiError> {
        if self.message_type.is_own() {
            let kind = self.message_type.as_str();
            return Err(ApiError::invalid(format!("message_type: {kind} is for the bot's own events")));
        }
        check_chars("message", &self.message, 0..=MESSAGE_CHARS_MAX)?;
        for (field, text) in [
            ("user_id", Some(&self.user_id)),
            ("username", Some(&self.username)),
            ("display_name", self.display_name.as_ref()),
            ("entity_id", self.entity_id.as_ref()),
            ("server_id", self.server_id.as_ref()),
            ("message_id", self.message_id.as_ref()),
        ] {
            text.map_or(Ok(()), |text| check_name(field, text))?;
        }
        let metadata = metadata_of(self.metadata, self.entity_id, self.server_id)?;
        let level = level_of(&metadata)?;
        let text = text_of(self.message, self.command.as_deref(), self.message_type)?;
        Ok(ChatEvent {
            channel_id: slot.id,
            platform: slot.platform,
            kind: self.message_type,
            source: Source::Router,
            message_id: self.message_id.or(receipt.idempotency_key),
            user: Chatter {
                platform_user_id: self.user_id,
                display_name: self.display_name.unwrap_or_else(|| self.username.clone()),
                login: self.username.to_lowercase(),
                level,
            },
            text,
            sent_at: None,
            received_at: receipt.received_at,
            correlation_id: receipt.session_id,
            traceparent: receipt.traceparent,
            metadata,
        })
    }
}

fn check_chars(field: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> Result<(), ApiError> {
    if range.contains(&text.chars().count()) {
        return Ok(());
    }
    Err(ApiError::invalid(format!("{field}: must have {} to {} characters", range.start(), range.end())))
}

/// Ids and names end up in logs, replies and platforms' lines.
fn check_name(field: &str, text: &str) -> Result<(), ApiError> {
    check_chars(field, text, 1..=NAME_CHARS_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!("{field}: must not hold control characters")));
    }
    Ok(())
}

fn metadata_of(
    metadata: Option<Map<String, Value>>,
    entity_id: Option<String>,
    server_id: Option<String>,
) -> Result<Map<String, Value>, ApiError> {
    let mut metadata = metadata.unwrap_or_default();
    for (name, id) in [("entity_id", entity_id), ("server_id", server_id)] {
        if let Some(id) = id {
            metadata.entry(name).or_insert(Value::String(id));
        }
    }
    let bytes = serde_json::to_vec(&metadata).map_or(usize::MAX, |json| json.len());
    if bytes > METADATA_BYTES_MAX {
        return Err(ApiError::invalid(format!("metadata: must be at most {} KiB", METADATA_BYTES_MAX >> 10)));
    }
    Ok(metadata)
}

/// The service vouches for the level it gives; stored roles are added by the channel.
fn level_of(metadata: &Map<String, Value>) -> Result<Level, ApiError> {
    match metadata.get("level") {
        None | Some(Value::Null) => Ok(Level::Everyone),
        Some(Value::String(level)) => {
            level.parse().map_err(|error| ApiError::invalid(format!("metadata.level: {error}")))
        }
        Some(_) => Err(ApiError::invalid("metadata.level: must be the name of a level")),
    }
}

/// The text with the command in front, unless it stands there already.
fn text_of(message: String, command: Option<&str>, kind: EventKind) -> Result<String, ApiError> {
    let Some(command) = command.filter(|_| kind.may_command()) else { return Ok(message) };
    let bare = command.strip_prefix('/').unwrap_or(command);
    let name = domain::names::valid_command_name(bare)
        .map_err(|error| ApiError::invalid(format!("command: {error}")))?;
    let stands_there =
        domain::CommandLine::parse(&message).is_some_and(|line| line.name.to_lowercase() == name);
    Ok(if stands_there { message } else { format!("!{name} {message}").trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_told_apart_stands_in_front_of_its_arguments() {
        let text = |message: &str, command, kind| text_of(message.to_owned(), command, kind).unwrap();
        assert_eq!(text("ann", Some("/Hug"), EventKind::SlashCommand), "!hug ann");
        assert_eq!(text("", Some("ping"), EventKind::SlashCommand), "!ping");
        assert_eq!(text("!ping now", Some("ping"), EventKind::ChatMessage), "!ping now");
        assert_eq!(text("hello", None, EventKind::ChatMessage), "hello");
        assert_eq!(text("5 bits", Some("ping"), EventKind::Cheer), "5 bits");
        assert!(text_of(String::new(), Some("a b"), EventKind::SlashCommand).is_err());
    }

    #[test]
    fn a_level_that_is_none_is_refused_not_ignored() {
        let level = |json: Value| level_of(json.as_object().unwrap());
        assert_eq!(level(serde_json::json!({"level": "mod"})).unwrap(), Level::Moderator);
        assert_eq!(level(serde_json::json!({})).unwrap(), Level::Everyone);
        assert!(level(serde_json::json!({"level": "root"})).is_err());
        assert!(level(serde_json::json!({"level": 7})).is_err());
    }
}
