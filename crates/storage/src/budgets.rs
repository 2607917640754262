//! Budgets of platform accounts: slices of permits, booked before anybody uses them.
//!
//! One row an account and resource. Whoever holds its lock books, by the database's clock, so that no process needs to
//! own an account.

use chrono::{DateTime, Utc};
use domain::{Booked, BudgetLedger, BudgetTerms, SliceUse};
use ulid::Ulid;

use crate::db::{Db, Statement, Tx, on, sql};
use crate::{StorageError, db};

/// What is wanted of one resource of an account.
#[derive(Clone, Debug)]
pub struct BudgetAsk {
    pub resource: &'static str,
    pub terms: BudgetTerms,
    /// The name of the new slice.
    pub slice: Ulid,
    /// Permits; 0 only settles.
    pub n: u32,
    /// Slices that the holder uses no more.
    pub uses: Vec<SliceUse>,
}

/// Settles and books, all or nothing; the answers stand in the order of `asks`.
///
/// # Errors
/// After any the slices may be booked or not: nothing of them may be used. What was to be settled may be told again.
pub async fn book(db: &Db, account: &str, asks: &[BudgetAsk]) -> Result<Vec<Booked>, StorageError> {
    let mut tx = db.begin().await?;
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        answers.push(book_one(&mut tx, account, ask).await?);
    }
    tx.commit().await?;
    Ok(answers)
}

async fn book_one(tx: &mut Tx, account: &str, ask: &BudgetAsk) -> Result<Booked, StorageError> {
    let row = on!(&mut *tx, &LOCK, fetch_optional as (String, DateTime<Utc>), account, ask.resource)?;
    let (booked, now) = if let Some(row) = row {
        row
    } else {
        on!(&mut *tx, &INSERT, execute, account, ask.resource)?;
        on!(&mut *tx, &LOCK, fetch_one as (String, DateTime<Utc>), account, ask.resource)?
    };
    let mut ledger: BudgetLedger = serde_json::from_str(&booked).map_err(|_| {
        StorageError::invalid(format!("the budget {} of {account} is unreadable", ask.resource))
    })?;
    ledger.settle(&ask.uses, &ask.terms, now);
    let answer = ledger.book(ask.slice, ask.n, &ask.terms, now);
    let booked = serde_json::to_string(&ledger).map_err(|error| StorageError::invalid(error.to_string()))?;
    on!(tx, &UPDATE, execute, account, ask.resource, booked)?;
    Ok(answer)
}

const LOCK: Statement = sql!("select", "budgets",
    sqlite: "SELECT booked, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') FROM budgets \
     WHERE account = $1 AND resource = $2",
    postgres: "SELECT booked, clock_timestamp() FROM budgets WHERE account = $1 AND resource = $2 FOR UPDATE");

const INSERT: Statement = sql!("insert", "budgets",
    sqlite: "INSERT INTO budgets (account, resource, booked, updated_at) \
     VALUES ($1, $2, '[]', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')) ON CONFLICT (account, resource) DO NOTHING",
    postgres: "INSERT INTO budgets (account, resource, booked, updated_at) \
     VALUES ($1, $2, '[]', clock_timestamp()) ON CONFLICT (account, resource) DO NOTHING");

const UPDATE: Statement = sql!("update", "budgets",
    sqlite: "UPDATE budgets SET booked = $3, updated_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') \
     WHERE account = $1 AND resource = $2",
    postgres: "UPDATE budgets SET booked = $3, updated_at = clock_timestamp() \
     WHERE account = $1 AND resource = $2");

pub(crate) const STATEMENTS: &[&db::Statement] = &[&LOCK, &INSERT, &UPDATE];
