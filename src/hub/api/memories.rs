//! `/api/v1/memories`: what a community remembers.

use domain::reply_text::clean;
use domain::{CommunityId, PersonId};
use serde::Serialize;
use serde_json::{Map, Value};
use storage::{StorageError, Tx};
use utoipa::ToSchema;

use crate::hub::acting::Acting;
use crate::hub::answer::ApiError;
use crate::hub::router::Hub;

pub(in crate::hub) mod bookmarks;
pub(in crate::hub) mod quotes;
pub(in crate::hub) mod reminders;

/// One page of a list that is paged by offset.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct OffsetPage<T> {
    items: Vec<T>,
    limit: u32,
    offset: u32,
}

/// The community of that id, or of the channel of that key.
///
/// # Errors
/// 400 for what is neither, 404 when there is none.
pub(super) async fn community_of(hub: &Hub, text: &str) -> Result<CommunityId, ApiError> {
    let none = || {
        ApiError::not_found(format!(
            "there is no community {text}; GET /api/v1/channels names those there are"
        ))
    };
    if let Some(id) = CommunityId::parse(text) {
        let community = storage::communities::get(&hub.deps.db, id).await?;
        return community.map(|community| community.id).ok_or_else(none);
    }
    let key = text.parse().map_err(|_| {
        ApiError::invalid(
            "community_id must be a community's id, or the key of one of its channels such as twitch:ann",
        )
    })?;
    let channel = storage::channels::by_key(&hub.deps.db, &key).await?;
    channel.map(|channel| channel.community_id).ok_or_else(none)
}

/// The person behind the account. `None`: the service itself, or never seen in a chat.
async fn person_of(tx: &mut Tx, acting: &Acting) -> Result<Option<PersonId>, StorageError> {
    match acting.account() {
        None => Ok(None),
        Some(account) => storage::persons::by_identity(tx, account.platform, &account.user_id).await,
    }
}

/// Reads fields and keeps what is wrong with each, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// A text on one line, of so many characters.
    pub fn text(&mut self, name: &str, text: &str, chars: std::ops::RangeInclusive<usize>) -> String {
        let text = clean(text);
        if !chars.contains(&text.chars().count()) {
            self.wrong(name, format!("must have {} to {} characters", chars.start(), chars.end()));
        }
        text
    }

    /// A number within its range, or what stands for none.
    pub fn number(
        &mut self,
        name: &str,
        given: Option<u32>,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        let number = given.unwrap_or(default);
        if !range.contains(&number) {
            self.wrong(name, format!("must be {} to {}", range.start(), range.end()));
        }
        number
    }

    pub fn wrong(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::String(text.into()));
    }

    /// # Errors
    /// 400 with every wrong field in its details.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = self
            .0
            .iter()
            .map(|(name, text)| format!("{name} {}", text.as_str().unwrap_or_default()))
            .collect();
        Err(ApiError::invalid(told.join("; ")).details(Value::Object(self.0)))
    }
}
