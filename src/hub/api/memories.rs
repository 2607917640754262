//! `/api/v1/memories`: what a community remembers.

use domain::PersonId;
use serde::Serialize;
use storage::{StorageError, Tx};
use utoipa::ToSchema;

use crate::hub::acting::Acting;

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

/// The person behind the account. `None`: the service itself, or never seen in a chat.
async fn person_of(tx: &mut Tx, acting: &Acting) -> Result<Option<PersonId>, StorageError> {
    match acting.account() {
        None => Ok(None),
        Some(account) => storage::persons::by_identity(tx, account.platform, &account.user_id).await,
    }
}
