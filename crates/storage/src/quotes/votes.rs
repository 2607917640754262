//! One vote a voter and quote; the sums stand in the quote and are changed under its lock.

use chrono::{DateTime, Utc};
use domain::{CommunityId, PersonId};
use serde::{Deserialize, Serialize};

use crate::db::{Statement, Tx, on, sql};
use crate::rows::micros;
use crate::{StorageError, db};

/// What somebody thinks of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    Up,
    Down,
    /// Takes the vote back.
    Withdrawn,
}

/// The votes of a quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    pub up: i64,
    pub down: i64,
}

impl Votes {
    /// Up minus down.
    pub const fn sum(self) -> i64 {
        self.up - self.down
    }
}

/// Who votes: `platform:user_id`, and the person behind it. `None`: never seen in a chat.
pub type Voter<'a> = (&'a str, Option<PersonId>);

/// Sets the voter's one vote and returns the quote's votes. `None` when there is no such quote.
pub async fn vote(
    tx: &mut Tx,
    (community_id, number): (CommunityId, i64),
    (voter, person_id): Voter<'_>,
    vote: Vote,
    now: DateTime<Utc>,
) -> Result<Option<Votes>, StorageError> {
    let quote = on!(&mut *tx, &LOCK, fetch_optional as (i64,), community_id.to_string(), number)?;
    let Some((quote_id,)) = quote else { return Ok(None) };
    let before =
        on!(&mut *tx, &VOTE_OF, fetch_optional as (i64,), quote_id, voter)?.map_or(0, |(vote,)| vote);
    let after = match vote {
        Vote::Up => 1,
        Vote::Down => -1,
        Vote::Withdrawn => 0,
    };
    if after == 0 {
        on!(&mut *tx, &WITHDRAW, execute, quote_id, voter)?;
    } else {
        let person = person_id.map(|id| id.to_string());
        on!(&mut *tx, &UPSERT, execute, quote_id, voter, person, after, micros(now))?;
    }
    let is = |vote: i64, wanted: i64| i64::from(vote == wanted);
    let (up, down) = (is(after, 1) - is(before, 1), is(after, -1) - is(before, -1));
    let (up, down) = on!(tx, &COUNT, fetch_one as (i64, i64), quote_id, up, down)?;
    Ok(Some(Votes { up, down }))
}

const LOCK: Statement = sql!("select", "quotes",
    sqlite: "SELECT id FROM quotes WHERE community_id = $1 AND number = $2",
    postgres: "SELECT id FROM quotes WHERE community_id = $1 AND number = $2 FOR UPDATE");

const VOTE_OF: Statement =
    sql!("select", "quote_votes", "SELECT vote FROM quote_votes WHERE quote_id = $1 AND voter = $2");

const UPSERT: Statement = sql!(
    "insert",
    "quote_votes",
    "INSERT INTO quote_votes (quote_id, voter, person_id, vote, updated_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (quote_id, voter) DO UPDATE SET vote = excluded.vote, updated_at = excluded.updated_at"
);

const WITHDRAW: Statement =
    sql!("delete", "quote_votes", "DELETE FROM quote_votes WHERE quote_id = $1 AND voter = $2");

const COUNT: Statement = sql!(
    "update",
    "quotes",
    "UPDATE quotes SET upvotes = upvotes + $2, downvotes = downvotes + $3 WHERE id = $1 \
     RETURNING upvotes, downvotes"
);

pub(crate) const STATEMENTS: &[&db::Statement] = &[&LOCK, &VOTE_OF, &UPSERT, &WITHDRAW, &COUNT];
