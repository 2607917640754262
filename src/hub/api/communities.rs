//! `/api/v1/communities`: one streamer or group with its channels on several platforms.

use domain::CommunityId;

use crate::hub::answer::ApiError;
use crate::hub::router::Hub;

pub(in crate::hub) mod live;

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
