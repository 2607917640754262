//! `POST /api/v1/channels/import`: many channels at once.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ensure;
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::key_of;
use crate::hub::changing::Caller;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// Most keys of one call.
const KEYS_MAX: usize = storage::channels::ENSURE_MANY_MAX;

/// The channels to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct Import {
    /// 1 to 500 keys, each `platform:login`.
    keys: Vec<String>,
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Imported {
    /// Channels that are new.
    added: usize,
    /// Channels that were there already, or stood twice in the list.
    known: usize,
}

/// Adds up to 500 channels, all or none.
#[utoipa::path(post, path = "/api/v1/channels/import", tag = "operators", request_body = Import,
    security(("service_key" = [])), responses(
    (status = 200, description = "All of them are there now.", body = Envelope<Imported>),
    (status = 400, description = "No key, too many, or a wrong one, which is named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(import): JsonBody<Import>,
) -> Answered<Imported> {
    if import.keys.is_empty() || import.keys.len() > KEYS_MAX {
        return Err(ApiError::invalid(format!("keys must hold 1 to {KEYS_MAX} channels")));
    }
    let keys = import.keys.iter().map(|key| key_of(key)).collect::<Result<Vec<_>, _>>()?;
    let n_keys = keys.len();
    let added = ensure(&hub, &caller, "channels.import", (keys, None)).await?;
    ok(Imported { added, known: n_keys.saturating_sub(added) })
}
