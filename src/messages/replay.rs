//! Recorded lines through today's configuration: the question, and what it came to.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// Which recorded lines, and where the last page ended.
#[derive(Clone, Copy, Debug)]
pub struct ReplayAsk {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// The id of the last line of the page before; `None` for the first page.
    pub after: Option<i64>,
}

/// A part of a replay.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReplayPage {
    pub lines: Vec<Replayed>,
    /// Give it back as `after`; null when the replay is over.
    pub next: Option<String>,
    /// The time of the last line of this page, for a show of progress; null when there was none.
    pub reached: Option<DateTime<Utc>>,
}

/// One recorded command line: what happened then, and what would happen today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replayed {
    pub at: DateTime<Utc>,
    pub user: String,
    pub text: String,
    /// Empty for a line that had no id.
    pub message_id: String,
    pub then: String,
    pub now: String,
    pub differs: bool,
}
