//! How endpoints change state: as one unit of work, repeatable by its key, audited with the caller's name.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::CorrelationId;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::{AuditEntry, Done, Effect, OpId, Scope, StorageError, Tx};
use ulid::Ulid;

use super::answer::ApiError;
use super::input::IdempotencyKey;
use super::router::Hub;
use super::trace::RequestIds;

/// Source of the operations that come from the API.
const SOURCE: &str = "http";

/// Who is noted for what no person is named for.
const SERVICE: &str = "service";

/// Longest `X-Acting-User`, in bytes.
const ACTING_USER_BYTES_MAX: usize = 150;

/// Who changes something, and under which name it can be repeated.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// `platform:user_id` the service acts for, or `service`.
    actor: String,
    /// The caller's `Idempotency-Key`, or one that is never repeated.
    source_id: String,
    correlation_id: CorrelationId,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let actor = match parts.headers.get("x-acting-user") {
            None => SERVICE.to_owned(),
            Some(value) => value
                .to_str()
                .ok()
                .filter(|user| is_acting_user(user))
                .map(str::to_owned)
                .ok_or_else(|| ApiError::invalid("X-Acting-User must be platform:user_id"))?,
        };
        let request = parts.extensions.get::<RequestIds>();
        let request_id = request.map_or_else(Ulid::new, |ids| ids.request_id);
        let correlation_id = request
            .and_then(|ids| CorrelationId::parse(&ids.correlation_id))
            .unwrap_or(CorrelationId(request_id));
        Ok(Self { actor, source_id: key.unwrap_or_else(|| request_id.to_string()), correlation_id })
    }
}

impl Caller {
    /// A line of the audit log in this caller's name.
    pub fn entry(&self, action: &'static str, target: impl Into<String>) -> AuditEntry {
        AuditEntry {
            correlation_id: Some(self.correlation_id),
            ..AuditEntry::new(self.actor.clone(), action, target)
        }
    }

    /// Runs `work` once; a repeat with the same key and endpoint gets the first outcome. What it changed works on this
    /// node before the answer is sent.
    pub async fn change<T, F>(
        &self,
        hub: &Hub,
        endpoint: &'static str,
        scope: Scope,
        work: F,
    ) -> Result<Done<T>, ApiError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Effect<T>, StorageError>> + Send + 'static,
    {
        let op = OpId::new(&scope, SOURCE, &self.source_id, endpoint, 0)?;
        let done = storage::unit_of_work(&hub.deps.db, scope, &op, hub.deps.clock.now(), work).await?;
        hub.deps.directory.announce(&done.changes);
        Ok(done)
    }
}

fn is_acting_user(text: &str) -> bool {
    let Some((platform, user_id)) = text.split_once(':') else { return false };
    text.len() <= ACTING_USER_BYTES_MAX
        && platform.parse::<domain::Platform>().is_ok()
        && !user_id.is_empty()
        && user_id.bytes().all(|byte| byte.is_ascii_graphic())
}
