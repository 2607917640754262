//! Reminders: what is said to somebody in a channel at a time, once or again and again.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{ChannelId, CommunityId, PersonId};
use ulid::Ulid;

use crate::db::{Statement, Target, Tx, on, sql};
use crate::rows::{Text, micros, new_id, page};
use crate::{StorageError, db};

mod due;

pub(crate) use due::STATEMENTS as DUE_STATEMENTS;
pub use due::{DUE_MAX, Due, Step, claim, due, prune};

/// Most pending reminders of one account in a community.
pub const PER_CREATOR_MAX: u32 = 25;

/// Most pending reminders of one channel.
pub const PER_CHANNEL_MAX: u32 = 500;

/// What nobody could say for so long after its time is missed.
pub const MISSED_AFTER: TimeDelta = TimeDelta::hours(1);

/// Most rows of one page.
pub const PAGE_MAX: u32 = 100;

/// Most rows before a page.
pub const OFFSET_MAX: u32 = 100_000;

/// What became of a reminder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is still to come, perhaps not for the first time.
    Pending,
    /// It was said for the last time.
    Sent,
    /// Nobody could say it within an hour after it was due, and it does not come again.
    Missed,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Missed => "missed",
        }
    }

    /// The table's own check allows no other words.
    fn of(text: &str) -> Self {
        match text {
            "sent" => Self::Sent,
            "missed" => Self::Missed,
            _ => Self::Pending,
        }
    }
}

/// One reminder; all times of a recurring one are one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    pub id: Ulid,
    /// What people call it in its community; never given again.
    pub number: i64,
    /// Where it is said.
    pub channel_id: ChannelId,
    /// `platform:user_id`, or `service`.
    pub created_by: String,
    /// As it is shown; empty for a service.
    pub creator_name: String,
    /// The platform's id of who is reminded; `None` when only the name is known.
    pub user_id: Option<String>,
    /// Who is reminded, as it is shown.
    pub username: String,
    pub body: String,
    /// Lines of RFC 5545 as `domain::recurrence` writes them; `None`: it comes once.
    pub rule: Option<String>,
    pub status: Status,
    /// Its next time, or its last one when it is over.
    pub due_at: DateTime<Utc>,
    pub n_sent: i64,
    pub n_missed: i64,
    pub last_sent_at: Option<DateTime<Utc>>,
    pub last_missed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// A reminder to keep; the fields are those of [`Reminder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReminder {
    pub community_id: CommunityId,
    pub channel_id: ChannelId,
    pub created_by: String,
    pub creator_name: String,
    /// `None` when whoever made it is not stored.
    pub person_id: Option<PersonId>,
    pub user_id: Option<String>,
    pub username: String,
    pub body: String,
    pub rule: Option<String>,
    pub due_at: DateTime<Utc>,
}

/// What [`add`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Kept {
        id: Ulid,
        number: i64,
    },
    /// Its maker has [`PER_CREATOR_MAX`] pending ones in the community.
    CreatorIsFull,
    /// The channel has [`PER_CHANNEL_MAX`] pending ones.
    ChannelIsFull,
}

type Row = (
    Text<Ulid>,
    i64,
    Text<ChannelId>,
    String,
    String,
    Option<String>,
    String,
    String,
    Option<String>,
    String,
    DateTime<Utc>,
    i64,
    i64,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
    DateTime<Utc>,
);

impl From<Row> for Reminder {
    fn from(row: Row) -> Self {
        let (id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, ..) =
            row;
        let (.., due_at, n_sent, n_missed, last_sent_at, last_missed_at, created_at) = row;
        Self {
            id: id.0,
            number,
            channel_id: channel_id.0,
            created_by,
            creator_name,
            user_id,
            username,
            body,
            rule,
            status: Status::of(&status),
            due_at,
            n_sent,
            n_missed,
            last_sent_at,
            last_missed_at,
            created_at,
        }
    }
}

/// Keeps a reminder. The services' own ones count for the channel only.
pub async fn add(tx: &mut Tx, new: &NewReminder, now: DateTime<Utc>) -> Result<Added, StorageError> {
    let (community, channel) = (new.community_id.to_string(), new.channel_id.to_string());
    // The row is the lock of all that adds to the community, so that the counts below hold until the commit.
    on!(&mut *tx, &OPEN, execute, &community)?;
    let counted = on!(&mut *tx, &COUNT, fetch_one as (i64, i64), &community, &new.created_by, &channel)?;
    let (of_creator, of_channel) = counted;
    if of_creator >= i64::from(PER_CREATOR_MAX) && new.created_by.contains(':') {
        return Ok(Added::CreatorIsFull);
    }
    if of_channel >= i64::from(PER_CHANNEL_MAX) {
        return Ok(Added::ChannelIsFull);
    }
    let (number,) = on!(&mut *tx, &NUMBER, fetch_one as (i64,), &community)?;
    let id = new_id(now)?;
    on!(
        tx,
        &INSERT,
        execute,
        id.to_string(),
        community,
        channel,
        number,
        &new.created_by,
        &new.creator_name,
        new.person_id.map(|id| id.to_string()),
        new.user_id.as_deref(),
        &new.username,
        &new.body,
        new.rule.as_deref(),
        micros(new.due_at),
        micros(now),
    )?;
    Ok(Added::Kept { id, number })
}

/// Whose reminder it is. `None`: there is none of that id.
pub async fn community_of<'a>(
    on: impl Into<Target<'a>> + Send,
    id: Ulid,
) -> Result<Option<CommunityId>, StorageError> {
    let row = on!(on.into(), &COMMUNITY, fetch_optional as (Text<CommunityId>,), id.to_string())?;
    Ok(row.map(|(id,)| id.0))
}

/// The community's reminder of that id.
pub async fn get<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    id: Ulid,
) -> Result<Option<Reminder>, StorageError> {
    let row = on!(on.into(), &GET, fetch_optional as Row, community_id.to_string(), id.to_string())?;
    Ok(row.map(Reminder::from))
}

/// The community's reminder of that number.
pub async fn by_number<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    number: i64,
) -> Result<Option<Reminder>, StorageError> {
    let row = on!(on.into(), &BY_NUMBER, fetch_optional as Row, community_id.to_string(), number)?;
    Ok(row.map(Reminder::from))
}

/// What an account has made and is still to come, the next first.
pub async fn pending_of<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    created_by: &str,
) -> Result<Vec<Reminder>, StorageError> {
    let (community, limit) = (community_id.to_string(), i64::from(PER_CREATOR_MAX));
    let rows = on!(on.into(), &PENDING_OF, fetch_all as Row, community, created_by, limit)?;
    Ok(rows.into_iter().map(Reminder::from).collect())
}

/// What is still to come in a community, the next first.
pub async fn pending<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    limit: u32,
    offset: u32,
) -> Result<Vec<Reminder>, StorageError> {
    let (limit, offset) = (page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let rows = on!(on.into(), &PENDING, fetch_all as Row, community_id.to_string(), limit, offset)?;
    Ok(rows.into_iter().map(Reminder::from).collect())
}

/// What is still to come anywhere, the next first.
pub async fn pending_all<'a>(
    on: impl Into<Target<'a>> + Send,
    limit: u32,
    offset: u32,
) -> Result<Vec<Reminder>, StorageError> {
    let (limit, offset) = (page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let rows = on!(on.into(), &PENDING_ALL, fetch_all as Row, limit, offset)?;
    Ok(rows.into_iter().map(Reminder::from).collect())
}

/// The reminders of who has that id on its platform, the newest first; with or without those that are over.
pub async fn for_user<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
    user_id: &str,
    with_over: bool,
    (limit, offset): (u32, u32),
) -> Result<Vec<Reminder>, StorageError> {
    let (limit, offset) = (page(limit, PAGE_MAX), i64::from(offset.min(OFFSET_MAX)));
    let community = community_id.to_string();
    let rows = on!(on.into(), &FOR_USER, fetch_all as Row, community, user_id, with_over, limit, offset)?;
    Ok(rows.into_iter().map(Reminder::from).collect())
}

/// Figures of a community's reminders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Still to come, recurring ones once.
    pub n_pending: i64,
    /// Of those, how many come again.
    pub n_recurring: i64,
    /// Times that one was said, of those that are kept.
    pub n_sent: i64,
    /// Times that one was missed, of those that are kept.
    pub n_missed: i64,
    pub next_due_at: Option<DateTime<Utc>>,
}

/// Counts a community's reminders.
pub async fn stats<'a>(
    on: impl Into<Target<'a>> + Send,
    community_id: CommunityId,
) -> Result<Stats, StorageError> {
    type Figures = (i64, i64, i64, i64, Option<DateTime<Utc>>);
    let row = on!(on.into(), &STATS, fetch_one as Figures, community_id.to_string())?;
    let (n_pending, n_recurring, n_sent, n_missed, next_due_at) = row;
    Ok(Stats { n_pending, n_recurring, n_sent, n_missed, next_due_at })
}

/// Deletes a reminder, over or not. False when there is none.
pub async fn remove(tx: &mut Tx, id: Ulid) -> Result<bool, StorageError> {
    Ok(on!(tx, &DELETE, execute, id.to_string())? > 0)
}

const OPEN: Statement = sql!(
    "insert",
    "reminder_books",
    "INSERT INTO reminder_books (community_id, last_number) VALUES ($1, 0) \
     ON CONFLICT (community_id) DO UPDATE SET last_number = reminder_books.last_number"
);

const COUNT: Statement = sql!(
    "select",
    "reminders",
    "SELECT (SELECT COUNT(*) FROM reminders WHERE community_id = $1 AND created_by = $2 AND status = 'pending'), \
     (SELECT COUNT(*) FROM reminders WHERE channel_id = $3 AND status = 'pending')"
);

const NUMBER: Statement = sql!(
    "update",
    "reminder_books",
    "UPDATE reminder_books SET last_number = last_number + 1 WHERE community_id = $1 RETURNING last_number"
);

const INSERT: Statement = sql!(
    "insert",
    "reminders",
    "INSERT INTO reminders (id, community_id, channel_id, number, created_by, creator_name, person_id, user_id, \
     username, body, rule, status, due_at, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', $12, $13, $13)"
);

const COMMUNITY: Statement = sql!("select", "reminders", "SELECT community_id FROM reminders WHERE id = $1");

const GET: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders WHERE community_id = $1 AND id = $2"
);

const BY_NUMBER: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders \
     WHERE community_id = $1 AND number = $2"
);

const PENDING_OF: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders \
     WHERE community_id = $1 AND created_by = $2 AND status = 'pending' ORDER BY due_at, id LIMIT 0 + $3"
);

const PENDING: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders \
     WHERE community_id = $1 AND status = 'pending' ORDER BY due_at, id LIMIT 0 + $2 OFFSET 0 + $3"
)
.on_replicas();

const PENDING_ALL: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders \
     WHERE status = 'pending' ORDER BY due_at, id LIMIT 0 + $1 OFFSET 0 + $2"
)
.on_replicas();

const FOR_USER: Statement = sql!(
    "select",
    "reminders",
    "SELECT id, number, channel_id, created_by, creator_name, user_id, username, body, rule, status, due_at, \
     n_sent, n_missed, last_sent_at, last_missed_at, created_at FROM reminders \
     WHERE community_id = $1 AND user_id = $2 AND ($3 OR status = 'pending') \
     ORDER BY number DESC LIMIT 0 + $4 OFFSET 0 + $5"
)
.on_replicas();

const STATS: Statement = sql!(
    "select",
    "reminders",
    "SELECT COUNT(CASE WHEN status = 'pending' THEN 1 END), \
     COUNT(CASE WHEN status = 'pending' AND rule IS NOT NULL THEN 1 END), \
     CAST(COALESCE(SUM(n_sent), 0) AS BIGINT), CAST(COALESCE(SUM(n_missed), 0) AS BIGINT), \
     MIN(CASE WHEN status = 'pending' THEN due_at END) FROM reminders WHERE community_id = $1"
);

const DELETE: Statement = sql!("delete", "reminders", "DELETE FROM reminders WHERE id = $1");

pub(crate) const STATEMENTS: &[&db::Statement] = &[
    &OPEN,
    &COUNT,
    &NUMBER,
    &INSERT,
    &COMMUNITY,
    &GET,
    &BY_NUMBER,
    &PENDING_OF,
    &PENDING,
    &PENDING_ALL,
    &FOR_USER,
    &STATS,
    &DELETE,
];
