//! Read-your-writes over replicas: an answer to a write says in `X-Read-After` where it stands in the database's log,
//! and a list that carries this header back is read where that is known.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use storage::{Lsn, Target};

use super::answer::ApiError;
use super::router::Hub;

const HEADER: HeaderName = HeaderName::from_static("x-read-after");

/// The header in the API's description.
pub(super) const READ_AFTER: &str =
    "What the answer to a write said in this header: the list then shows that write, wherever it is read.";

/// Where the caller's lists are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAfter(Option<Lsn>);

impl<S: Send + Sync> FromRequestParts<S> for ReadAfter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::invalid(
                "X-Read-After must be what the answer to a write said, such as 16/B374D848; or leave it out",
            )
        };
        let mut latest = None;
        for value in parts.headers.get_all(HEADER) {
            let position = value.to_str().ok().and_then(|text| text.parse::<Lsn>().ok()).ok_or_else(wrong)?;
            latest = latest.max(Some(position));
        }
        Ok(Self(latest))
    }
}

impl ReadAfter {
    /// A replica that has replayed the caller's write, else the primary.
    pub fn lists(self, hub: &Hub) -> Target<'_> {
        hub.deps.db.lists(self.0)
    }
}

/// Puts the position on the answer to whatever may have written; without replicas nobody needs one.
pub(super) async fn tell(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    let only_reads = request.method().is_safe();
    let mut response = next.run(request).await;
    if !only_reads && let Some(position) = hub.deps.db.position().await {
        let value = HeaderValue::try_from(position.to_string()).expect("a position is digits and a slash");
        response.headers_mut().insert(HEADER, value);
    }
    response
}
