//! What can go wrong with the database, sorted by what the caller can do about it.

use std::borrow::Cow;
use std::sync::Arc;

/// A failure of the database. The text never holds an address, a password or a row's contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Not reachable, or every connection is in use.
    #[error("the database does not answer: {detail}")]
    Unavailable { detail: String },
    /// Another transaction was in the way; nothing was changed.
    #[error("the database is busy with another change")]
    Busy,
    /// A statement or a wait for a lock took longer than its limit; nothing was changed.
    #[error("the database took too long")]
    Timeout,
    /// No space is left for the database.
    #[error("no space is left for the database in {place}")]
    Full { place: Arc<str> },
    /// The database, its file or its folder cannot be written.
    #[error("the database in {place} cannot be written")]
    ReadOnly { place: Arc<str> },
    /// A row of that name is there already.
    #[error("there is one of that name already")]
    Conflict,
    /// What is stored cannot be read.
    #[error("the database in {place} holds something unreadable: {detail}")]
    Corrupt { place: Arc<str>, detail: String },
    /// The address, the login or a value is wrong; trying again does not help.
    #[error("{detail}")]
    Invalid { detail: String },
    /// This node no longer owns the channel; nothing was changed.
    #[error("the channel is no longer owned by this node")]
    Fenced,
    /// A migration failed, or the schema is too new for this program.
    #[error("migration {version} of the database: {detail}")]
    Migration { version: i64, detail: String },
    /// The handle was closed: the node is stopping.
    #[error("the database is closed")]
    Closed,
}

impl StorageError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy | Self::Timeout)
    }

    /// One sentence that says what a person can do.
    pub fn advice(&self) -> String {
        match self {
            Self::Unavailable { .. } => {
                "Check that the database server runs and that storage.url is right; the node tries again."
                    .into()
            }
            Self::Busy | Self::Timeout => "Try again in a moment.".into(),
            Self::Full { place } => format!("Free some space in {place}; no restart is needed."),
            Self::ReadOnly { place } => format!("Let the bot's user write in {place}."),
            Self::Conflict => "Choose another name, or edit the one that is there.".into(),
            Self::Corrupt { place, .. } => format!("Restore {place} from a backup."),
            Self::Invalid { .. } => "Correct storage.url or the value named above.".into(),
            Self::Fenced => "Nothing to do: the node that owns the channel answers.".into(),
            Self::Migration { .. } => {
                "Start the newest version of waddlebot, then run `waddlebot migrate`.".into()
            }
            Self::Closed => "Start the node again.".into(),
        }
    }

    /// A short word for metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Full { .. } => "full",
            Self::ReadOnly { .. } => "read_only",
            Self::Conflict => "conflict",
            Self::Corrupt { .. } => "corrupt",
            Self::Invalid { .. } => "invalid",
            Self::Fenced => "fenced",
            Self::Migration { .. } => "migration",
            Self::Closed => "closed",
        }
    }

    /// Shorthand for [`StorageError::Invalid`].
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }

    /// Sorts a driver's failure; `place` is the folder or server people know.
    pub(crate) fn sort(error: &sqlx::Error, place: &Arc<str>) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or(Cow::Borrowed(""));
                match code.parse::<u32>() {
                    Ok(code) if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() => {
                        Self::sort_sqlite(code, error.message(), place)
                    }
                    _ => Self::sort_postgres(&code, error.message(), place),
                }
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                Self::Corrupt { place: Arc::clone(place), detail: error.to_string() }
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::PoolTimedOut => {
                Self::Unavailable { detail: "no connection became free in time".into() }
            }
            sqlx::Error::Configuration(_) | sqlx::Error::Encode(_) | sqlx::Error::RowNotFound => {
                Self::invalid(error.to_string())
            }
            _ => Self::Unavailable { detail: error.to_string() },
        }
    }

    /// Result codes of `SQLite`: the low byte is the kind, the rest the detail.
    fn sort_sqlite(code: u32, message: &str, place: &Arc<str>) -> Self {
        const CONSTRAINT_PRIMARY_KEY: u32 = 1555;
        const CONSTRAINT_UNIQUE: u32 = 2067;
        if matches!(code, CONSTRAINT_PRIMARY_KEY | CONSTRAINT_UNIQUE) {
            return Self::Conflict;
        }
        match code & 0xff {
            5 | 6 => Self::Busy,
            9 => Self::Timeout,
            8 | 14 => Self::ReadOnly { place: Arc::clone(place) },
            13 => Self::Full { place: Arc::clone(place) },
            10 => Self::Unavailable { detail: format!("disk: {message}") },
            11 | 26 => Self::Corrupt { place: Arc::clone(place), detail: message.to_owned() },
            _ => Self::invalid(format!("the database refused: {message}")),
        }
    }

    /// SQLSTATE codes of `PostgreSQL`.
    fn sort_postgres(code: &str, message: &str, place: &Arc<str>) -> Self {
        match code {
            "23505" => Self::Conflict,
            "40001" | "40P01" => Self::Busy,
            "57014" | "55P03" | "25P03" | "57P05" => Self::Timeout,
            "53100" => Self::Full { place: Arc::clone(place) },
            "25006" => Self::ReadOnly { place: Arc::clone(place) },
            "XX001" | "XX002" => Self::Corrupt { place: Arc::clone(place), detail: message.to_owned() },
            "57P01" | "57P02" | "57P03" => Self::Unavailable { detail: message.to_owned() },
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
                Self::Unavailable { detail: message.to_owned() }
            }
            _ => Self::invalid(format!("the database refused: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_sorted_by_what_helps() {
        let place: Arc<str> = "data".into();
        assert!(StorageError::sort_sqlite(261, "locked", &place).is_retryable());
        assert!(StorageError::sort_postgres("40P01", "deadlock", &place).is_retryable());
        assert_eq!(StorageError::sort_sqlite(2067, "", &place), StorageError::Conflict);
        assert_eq!(StorageError::sort_postgres("23505", "", &place), StorageError::Conflict);
        let full = StorageError::sort_sqlite(13, "full", &place);
        assert_eq!(full, StorageError::sort_postgres("53100", "full", &place));
        assert!(!full.is_retryable());
        assert!(full.advice().contains("Free some space in data"));
        assert!(StorageError::sort_sqlite(1032, "moved", &place).advice().contains("write in data"));
    }
}
