//! Bookmarks as rows. An address is a bookmark; what a row gives and the bookmark lacks or has differently is changed.

use chrono::{DateTime, Utc};
use serde_json::json;
use storage::bookmarks::{self, Added, BOOKMARKS_MAX, Bookmark, NewBookmark, Rewrite, transfer};
use storage::channels::Channel;
use storage::{StorageError, Target, Tx};

use super::item::{Did, Rows};
use super::row::Row;
use crate::hub::api::memories::bookmarks::{
    DESCRIPTION_CHARS_MAX, SEARCH_CHARS_MAX, TITLE_CHARS_MAX, tags_of,
};
use crate::hub::router::Hub;
use crate::messages::Clock;

pub const COLUMNS: &[&str] = &["url", "title", "description", "tags", "created_by", "created_at"];

#[derive(Clone, Debug)]
pub struct BookmarkItem {
    new: NewBookmark,
    /// `None`: now.
    created_at: Option<DateTime<Utc>>,
}

pub async fn export(on: Target<'_>, channel: &Channel, after: i64, limit: u32) -> Result<Rows, StorageError> {
    let found = transfer::after(on, channel.community_id, after, limit).await?;
    let last = found.last().map(|bookmark| bookmark.number.to_string());
    let row = |bookmark: &Bookmark| {
        json!({ "url": bookmark.url, "title": bookmark.title, "description": bookmark.description,
            "tags": bookmark.tags, "created_by": bookmark.created_by, "created_at": bookmark.created_at })
    };
    Ok(Rows {
        items: found.iter().map(row).collect(),
        n_read: u32::try_from(found.len()).unwrap_or(limit),
        last,
    })
}

pub fn read(hub: &Hub, mut row: Row<'_>, by: &str) -> Result<BookmarkItem, String> {
    let (url, tags) = (row.given("url"), row.list("tags"));
    let checked = hub.deps.urls.checked(&url).map(Some);
    let checked = row.read("url", checked);
    let created_by = row.text("created_by", 0..=SEARCH_CHARS_MAX);
    let mut new = NewBookmark {
        title: row.text("title", 0..=TITLE_CHARS_MAX),
        description: row.text("description", 0..=DESCRIPTION_CHARS_MAX),
        tags: tags_of(&mut row.fields, &tags),
        created_by: if created_by.is_empty() { by.to_owned() } else { created_by },
        ..NewBookmark::default()
    };
    let created_at = row.time("created_at", Clock::System.now());
    row.end()?;
    if let Some(checked) = checked {
        (new.url, new.url_key) = (checked.url, checked.same_as);
    }
    Ok(BookmarkItem { new, created_at })
}

impl BookmarkItem {
    pub async fn apply(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        now: DateTime<Utc>,
    ) -> Result<Did, StorageError> {
        let (new, community_id) = (&self.new, channel.community_id);
        match bookmarks::add(&mut *tx, community_id, new, self.created_at.unwrap_or(now)).await? {
            Added::Kept(number) => {
                if new.title.is_empty() {
                    bookmarks::want_page(tx, community_id, number).await?;
                }
                Ok(Did::Added)
            }
            Added::Full => Ok(Did::Refused(format!("a community has at most {BOOKMARKS_MAX} bookmarks"))),
            Added::There(number) => {
                let Some(old) = bookmarks::get(&mut *tx, community_id, number).await? else {
                    return Ok(Did::Same);
                };
                let other = |new: &String, old: &String| (!new.is_empty() && new != old).then(|| new.clone());
                let rewrite = Rewrite {
                    title: other(&new.title, &old.title),
                    description: other(&new.description, &old.description),
                    tags: (!new.tags.is_empty() && new.tags != old.tags).then(|| new.tags.clone()),
                };
                if rewrite == Rewrite::default() {
                    return Ok(Did::Same);
                }
                bookmarks::rewrite(tx, community_id, number, rewrite, now).await?;
                Ok(Did::Changed)
            }
        }
    }

    pub fn what(&self) -> String {
        self.new.url.clone()
    }
}
