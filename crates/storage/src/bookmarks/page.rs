//! The wish that the page behind a bookmark is read: a message of the queue, from the same commit on.

use domain::CommunityId;
use serde::{Deserialize, Serialize};

use crate::StorageError;
use crate::db::Tx;
use crate::queue::{self, NewMessage};

/// The topic of such messages.
pub const PAGE_TOPIC: &str = "bookmark_page";

/// Whose page is wanted: the body of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageWanted {
    pub community_id: CommunityId,
    pub number: i64,
}

/// Asks for the page of a bookmark, once.
pub async fn want_page(tx: &mut Tx, community_id: CommunityId, number: i64) -> Result<(), StorageError> {
    let key = format!("community:{community_id}");
    // A number is never given again, so the id is the bookmark's own.
    let id = format!("{community_id}:{number}");
    let message = NewMessage::new(PAGE_TOPIC, key, id, &PageWanted { community_id, number })?;
    queue::enqueue(tx, &[message]).await.map(drop)
}
