//! What can be transferred, and one row of it, read and ready to be kept.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use storage::channels::Channel;
use storage::{StorageError, Tx};

use super::row::Row;
use super::{bookmarks, commands, quotes, timers};
use crate::hub::router::Hub;

/// What can be transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Quotes,
    Commands,
    Bookmarks,
    Timers,
}

/// One row that can be kept.
#[derive(Clone, Debug)]
pub enum Item {
    Quote(quotes::QuoteItem),
    Command(commands::CommandItem),
    Bookmark(bookmarks::BookmarkItem),
    Timer(timers::TimerItem),
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    Added,
    Changed,
    /// It was there, as it is in the row.
    Same,
    /// The sentence says what stands in the way.
    Refused(String),
}

/// One page of an export.
pub struct Rows {
    pub items: Vec<Value>,
    /// How many were looked at; some may be none of ours.
    pub n_read: u32,
    /// What the next page begins after. `None`: there was nothing.
    pub last: Option<String>,
}

impl Kind {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Quotes, Self::Commands, Self::Bookmarks, Self::Timers]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Commands => "commands",
            Self::Bookmarks => "bookmarks",
            Self::Timers => "timers",
        }
    }

    /// The name of an import in its operation ids.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Quotes => "transfer.quotes",
            Self::Commands => "transfer.commands",
            Self::Bookmarks => "transfer.bookmarks",
            Self::Timers => "transfer.timers",
        }
    }

    /// The fields of a row.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Quotes => quotes::COLUMNS,
            Self::Commands => commands::COLUMNS,
            Self::Bookmarks => bookmarks::COLUMNS,
            Self::Timers => timers::COLUMNS,
        }
    }

    /// Reads one row; `by` is who imports.
    ///
    /// # Errors
    /// A sentence that names every wrong field.
    pub fn read(self, hub: &Hub, cells: &Map<String, Value>, by: &str) -> Result<Item, String> {
        let row = Row::new(cells, self.columns());
        match self {
            Self::Quotes => quotes::read(row, by).map(Item::Quote),
            Self::Commands => commands::read(hub, row).map(Item::Command),
            Self::Bookmarks => bookmarks::read(hub, row, by).map(Item::Bookmark),
            Self::Timers => timers::read(hub, row).map(Item::Timer),
        }
    }
}

impl Item {
    /// Keeps it, unless it is there already.
    pub async fn apply(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        now: DateTime<Utc>,
    ) -> Result<Did, StorageError> {
        match self {
            Self::Quote(item) => item.apply(tx, channel, now).await,
            Self::Command(item) => item.apply(tx, channel, now).await,
            Self::Bookmark(item) => item.apply(tx, channel, now).await,
            Self::Timer(item) => item.apply(tx, channel, now).await,
        }
    }

    /// What people know it by.
    pub fn what(&self) -> String {
        match self {
            Self::Quote(item) => item.what(),
            Self::Command(item) => item.what(),
            Self::Bookmark(item) => item.what(),
            Self::Timer(item) => item.what(),
        }
    }
}
