//! How values of the domain stand in a row.

use std::sync::Arc;

use chacha20poly1305::aead::Generate;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{ChannelId, CommunityId, CorrelationId, Level, PersonId, Platform};
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Type};
use ulid::Ulid;

use crate::StorageError;

/// A value that is stored as text; a text that does not parse is a corrupt row.
pub(crate) struct Text<T>(pub T);

/// Reads a value from the text that a column holds.
pub(crate) trait FromText: Sized {
    /// `None` when the text is not such a value.
    fn from_text(text: &str) -> Option<Self>;
}

impl<T, D: Database> Type<D> for Text<T>
where
    String: Type<D>,
{
    fn type_info() -> D::TypeInfo {
        <String as Type<D>>::type_info()
    }

    fn compatible(info: &D::TypeInfo) -> bool {
        <String as Type<D>>::compatible(info)
    }
}

impl<'r, T: FromText, D: Database> Decode<'r, D> for Text<T>
where
    String: Decode<'r, D>,
{
    fn decode(value: D::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <String as Decode<'r, D>>::decode(value)?;
        let name = std::any::type_name::<T>();
        T::from_text(&text).map(Self).ok_or_else(|| format!("not a {name}").into())
    }
}

impl FromText for ChannelId {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for CommunityId {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for PersonId {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for CorrelationId {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for Ulid {
    fn from_text(text: &str) -> Option<Self> {
        Self::from_string(text).ok()
    }
}

impl FromText for Platform {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for Level {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for serde_json::Value {
    fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Cuts a time to microseconds, which is what both databases keep.
pub(crate) fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

/// Makes an id whose first part is `now`; the rest is the operating system's randomness.
///
/// # Errors
/// [`StorageError::Unavailable`] when the operating system gives no randomness.
pub(crate) fn new_id(now: DateTime<Utc>) -> Result<Ulid, StorageError> {
    let random = <[u8; 16]>::try_generate()
        .map_err(|error| StorageError::Unavailable { detail: format!("no randomness: {error}") })?;
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    Ok(Ulid::from_parts(millis, u128::from_be_bytes(random)))
}

/// The pattern under which both databases keep an absent id in a unique index: the empty text.
pub(crate) fn text_or_empty(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Cuts a page's size to what one answer may hold.
pub(crate) fn page(limit: u32, limit_max: u32) -> i64 {
    i64::from(limit.clamp(1, limit_max))
}

/// The folder or server as people know it, shared by every error of one database.
pub(crate) type Place = Arc<str>;
