//! Quotes as rows. The same text of the same author is the same quote; votes stay with those who gave them.

use chrono::{DateTime, Utc};
use serde_json::json;
use storage::channels::Channel;
use storage::quotes::{self, NewQuote, QUOTES_MAX, transfer};
use storage::{StorageError, Target, Tx};

use super::item::{Did, Rows};
use super::row::Row;
use crate::hub::api::memories::quotes::{NAME_CHARS_MAX, TEXT_CHARS_MAX};
use crate::messages::Clock;

pub const COLUMNS: &[&str] =
    &["quote_text", "author_username", "author_user_id", "category", "game", "created_by", "created_at"];

/// Characters of a quote that name it in a report.
const SHOWN_CHARS_MAX: usize = 60;

#[derive(Clone, Debug)]
pub struct QuoteItem {
    new: NewQuote,
    /// `None`: now.
    created_at: Option<DateTime<Utc>>,
}

pub async fn export(on: Target<'_>, channel: &Channel, after: i64, limit: u32) -> Result<Rows, StorageError> {
    let found = transfer::after(on, channel.community_id, after, limit).await?;
    let last = found.last().map(|quote| quote.number.to_string());
    let row = |quote: &quotes::Quote| {
        json!({ "quote_text": quote.body, "author_username": quote.author, "author_user_id": quote.author_user_id,
            "category": quote.category, "game": quote.game, "created_by": quote.created_by,
            "created_at": quote.created_at })
    };
    Ok(Rows {
        items: found.iter().map(row).collect(),
        n_read: u32::try_from(found.len()).unwrap_or(limit),
        last,
    })
}

pub fn read(mut row: Row<'_>, by: &str) -> Result<QuoteItem, String> {
    let optional = |text: String| (!text.is_empty()).then_some(text);
    let created_by = row.text("created_by", 0..=NAME_CHARS_MAX);
    let new = NewQuote {
        body: row.text("quote_text", 1..=TEXT_CHARS_MAX),
        author: row.text("author_username", 0..=NAME_CHARS_MAX),
        author_user_id: optional(row.text("author_user_id", 0..=NAME_CHARS_MAX)),
        category: row.text("category", 0..=NAME_CHARS_MAX).to_lowercase(),
        game: optional(row.text("game", 0..=NAME_CHARS_MAX)),
        created_by: if created_by.is_empty() { by.to_owned() } else { created_by },
        person_id: None,
    };
    let created_at = row.time("created_at", Clock::System.now());
    row.end()?;
    Ok(QuoteItem { new, created_at })
}

impl QuoteItem {
    pub async fn apply(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        now: DateTime<Utc>,
    ) -> Result<Did, StorageError> {
        let (new, community_id) = (&self.new, channel.community_id);
        if transfer::is_there(&mut *tx, community_id, &new.body, &new.author).await? {
            return Ok(Did::Same);
        }
        let added = quotes::add(tx, community_id, new, self.created_at.unwrap_or(now)).await?;
        Ok(added.map_or_else(
            || Did::Refused(format!("a community has at most {QUOTES_MAX} quotes")),
            |_| Did::Added,
        ))
    }

    pub fn what(&self) -> String {
        self.new.body.chars().take(SHOWN_CHARS_MAX).collect()
    }
}
