//! Reads the pages behind new bookmarks, when nobody waits any more: the queue brings them, also after a crash.

use std::sync::Arc;
use std::time::Duration;

use domain::CommunityId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use storage::bookmarks::{self, PAGE_TOPIC, PageWanted, Rewrite};
use storage::queue::Claimed;
use storage::{Effect, OpId, Scope, StorageError};

use super::Services;
use crate::http::{FetchError, PageText};
use crate::queue::{HandleError, Handler};

/// One fetch with its redirects.
const FETCH_LIMIT: Duration = Duration::from_secs(5);

/// A page that does not answer is asked so often; then the bookmark stays without a title.
const ATTEMPTS_MAX: i64 = 3;

/// The handler of [`PAGE_TOPIC`].
#[derive(Debug)]
pub struct BookmarkPages {
    pub services: Arc<Services>,
}

impl Handler for BookmarkPages {
    fn topic(&self) -> &'static str {
        PAGE_TOPIC
    }

    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>> {
        self.read(message).boxed()
    }
}

impl BookmarkPages {
    async fn read(&self, message: &Claimed) -> Result<(), HandleError> {
        let PageWanted { community_id, number } = serde_json::from_str(&message.body)
            .map_err(|error| HandleError::GiveUp(format!("names no bookmark: {error}")))?;
        let again = |error: StorageError| HandleError::Retry(error.to_string());
        let found = bookmarks::get(&self.services.db, community_id, number).await.map_err(again)?;
        let Some(bookmark) = found else { return Ok(()) };
        let html = match self.services.urls.fetch(community_id, &bookmark.url, FETCH_LIMIT).await {
            Ok(html) => html,
            Err(error) if passes(error) && message.attempt < ATTEMPTS_MAX => {
                return Err(HandleError::Retry(error.to_string()));
            }
            Err(error) => {
                tracing::debug!(%error, number, "a bookmark stays without a title");
                return Ok(());
            }
        };
        let page = tokio::task::spawn_blocking(move || PageText::of(&html)).await;
        let page = page.map_err(|error| HandleError::Retry(format!("the page's reader ended: {error}")))?;
        self.keep(community_id, number, message, page).await.map_err(again)
    }

    /// Fills in what nobody has written meanwhile.
    async fn keep(
        &self,
        community_id: CommunityId,
        number: i64,
        message: &Claimed,
        page: PageText,
    ) -> Result<(), StorageError> {
        let (scope, now) = (Scope::Community(community_id), self.services.clock.now());
        let op = OpId::new(&scope, PAGE_TOPIC, &message.message_id, PAGE_TOPIC, 0)?;
        let done = storage::unit_of_work(&self.services.db, scope, &op, now, move |tx| {
            async move {
                let Some(old) = bookmarks::get(&mut *tx, community_id, number).await? else {
                    return Ok(Effect::new(()));
                };
                let fill = |old: &str, text: String| (old.is_empty() && !text.is_empty()).then_some(text);
                let rewrite = Rewrite {
                    title: fill(&old.title, page.title),
                    description: fill(&old.description, page.description),
                    tags: None,
                };
                if rewrite != Rewrite::default() {
                    bookmarks::rewrite(tx, community_id, number, rewrite, now).await?;
                }
                Ok(Effect::new(()))
            }
            .boxed()
        });
        done.await.map(drop)
    }
}

/// Whether the page may answer a little later.
const fn passes(error: FetchError) -> bool {
    match error {
        FetchError::Busy | FetchError::Open | FetchError::TimedOut | FetchError::Unreachable => true,
        FetchError::Status(status) => status == 429 || status >= 500,
        FetchError::Refused(_) | FetchError::Redirect | FetchError::TooLong | FetchError::NotText => false,
    }
}
