//! How endpoints change state: as one unit of work, repeatable by its key, audited with the caller's name.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::CorrelationId;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::{AuditEntry, Done, Effect, OpId, Scope, StorageError, Tx};
use ulid::Ulid;

use super::acting::Acting;
use super::answer::ApiError;
use super::input::IdempotencyKey;
use super::router::Hub;
use super::trace::RequestIds;

/// Source of the operations that come from the API.
const SOURCE: &str = "http";

/// Who changes something, and under which name it can be repeated.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    acting: Acting,
    /// The caller's `Idempotency-Key`, or one that is never repeated.
    source_id: String,
    correlation_id: CorrelationId,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let acting = Acting::from_request_parts(parts, state).await?;
        let request = parts.extensions.get::<RequestIds>();
        let request_id = request.map_or_else(Ulid::new, |ids| ids.request_id);
        let correlation_id = request
            .and_then(|ids| CorrelationId::parse(&ids.correlation_id))
            .unwrap_or(CorrelationId(request_id));
        Ok(Self { acting, source_id: key.unwrap_or_else(|| request_id.to_string()), correlation_id })
    }
}

impl Caller {
    /// Whom the call acts for.
    pub const fn acting(&self) -> &Acting {
        &self.acting
    }

    /// A line of the audit log in this caller's name.
    pub fn entry(&self, action: &'static str, target: impl Into<String>) -> AuditEntry {
        AuditEntry {
            correlation_id: Some(self.correlation_id),
            ..AuditEntry::new(self.acting.to_string(), action, target)
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
