//! `GET /healthz`: the process works. Never the host's load, never a dependency: a restart would not cure those.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answered, Envelope, ok};

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Liveness {
    /// Always `ok`: a process that does not work does not answer.
    status: &'static str,
}

impl Liveness {
    pub(super) const HERE: Self = Self { status: "ok" };
}

/// Says that the process works.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses(
    (status = 200, description = "The process works.", body = Envelope<Liveness>)))]
pub(in crate::hub) async fn show() -> Answered<Liveness> {
    ok(Liveness::HERE)
}
