//! Why Redis did not do what it was asked.

use fred::error::{Error, ErrorKind};

/// Why a command gave nothing. No text holds the password: the server never says it, and addresses are left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no connection; it is tried again in the background.
    #[error("redis is away")]
    Away,
    /// No answer in time; nobody knows whether the command was done.
    #[error("redis did not answer in time")]
    Timeout,
    /// The connection broke; nobody knows whether the command was done.
    #[error("the connection to redis broke: {0}")]
    Lost(String),
    /// User name or password are wrong or missing.
    #[error("redis refuses the user name or password: {0}")]
    Password(String),
    /// The server answered with an error, such as `OOM` or `READONLY`; nothing was done.
    #[error("redis refused: {0}")]
    Refused(String),
    /// The answer is not of the expected form.
    #[error("redis answered something unexpected: {0}")]
    Garbled(String),
}

impl RedisError {
    /// Whether the connection is worth a doubt: no answer came, rather than a bad one.
    pub(super) const fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout | Self::Lost(_))
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        let details = error.details().to_owned();
        let is_password = ["NOAUTH", "WRONGPASS", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH"]
            .iter()
            .any(|code| details.starts_with(code));
        match error.kind() {
            _ if is_password => Self::Password(details),
            ErrorKind::Auth => Self::Password(details),
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Tls => Self::Lost(details),
            ErrorKind::Parse | ErrorKind::Protocol | ErrorKind::NotFound => Self::Garbled(details),
            _ => Self::Refused(details),
        }
    }
}
