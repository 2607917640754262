//! What handles the messages of one topic.

use std::fmt;

use futures_util::future::BoxFuture;
use storage::queue::Claimed;

/// Why a message was not handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Another attempt may help.
    #[error("{0}")]
    Retry(String),
    /// No attempt helps: a dead letter at once.
    #[error("{0}")]
    GiveUp(String),
}

/// Handles the messages of one topic. A message may come more than once, also at the same time as its former attempt:
/// whatever it changes goes through a unit of work under an op id made from [`Claimed::message_id`].
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// The topic; one handler each.
    fn topic(&self) -> &'static str;

    /// Handles one message, within [`super::Policy::handler_timeout`].
    ///
    /// # Errors
    /// The reason, which operators see beside the dead letter.
    fn handle<'a>(&'a self, message: &'a Claimed) -> BoxFuture<'a, Result<(), HandleError>>;
}
