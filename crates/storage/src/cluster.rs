//! What a node asks the database for in a cluster, answered by `PostgreSQL`.
//!
//! The rules stand in [`membership::ask`], beside the questions; here each [`Ask`] is one transaction on the node's
//! [`LeaseConnection`]. Answers are exact or absent: after an error other than a lost connection nothing was changed,
//! after a lost connection nobody knows.

use membership::ask::{Answer, Ask, Role, State};
use membership::{DbTime, Incarnation};
use sqlx::types::chrono::{DateTime, Utc};

use crate::StorageError;
use crate::rows::FromText;

mod lease;
mod nodes;
mod owners;
mod report;
mod views;

pub use lease::{ASK_LIMIT, CONNECT_LIMIT, LeaseConnection, application_name};
pub use owners::CLAIM_MAX;
pub use report::{ClusterReport, NodeReport, OwnerReport, owner, report, stranger};
pub use views::VIEWS_KEPT;

pub(crate) use lease::{QueryOf, STATEMENTS as LEASE_STATEMENTS};
pub(crate) use nodes::STATEMENTS as NODE_STATEMENTS;
pub(crate) use owners::STATEMENTS as OWNER_STATEMENTS;
pub(crate) use report::STATEMENTS as REPORT_STATEMENTS;
pub(crate) use views::STATEMENTS as VIEW_STATEMENTS;

/// Does one ask, in one transaction of at most [`ASK_LIMIT`].
///
/// # Errors
/// [`StorageError::Timeout`] and [`StorageError::Busy`]: nothing was changed, a retry helps.
/// [`StorageError::Unavailable`]: the connection is lost and so is the answer. [`StorageError::Invalid`]: an ask that
/// no rule allows.
pub async fn ask(lease: &mut LeaseConnection, ask: &Ask) -> Result<Answer, StorageError> {
    match ask {
        Ask::Join(newcomer) => nodes::join(lease, newcomer).await,
        Ask::Renew { me, lease_us } => nodes::renew(lease, *me, *lease_us).await,
        Ask::Look { me } => nodes::look(lease, *me).await,
        Ask::Enter { me, state } => nodes::enter(lease, *me, *state).await,
        Ask::Bury { me, victim, evidence } => nodes::bury(lease, *me, *victim, *evidence).await,
        Ask::Leave { me } => nodes::leave(lease, *me).await,
        Ask::Publish { me, version, members } => views::publish(lease, *me, *version, members).await,
        Ask::Claim { me, keys } => owners::claim(lease, *me, keys).await,
        Ask::Release { me, keys } => owners::release(lease, *me, keys).await,
    }
}

/// How a role stands in a row.
const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Channels => "channels",
        Role::Platforms => "platforms",
        Role::Hub => "hub",
    }
}

/// The roles of a list parted by commas. A role of a newer version has no ring here.
fn roles_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Role> {
    let role =
        |name| [Role::Channels, Role::Platforms, Role::Hub].into_iter().find(|r| role_name(*r) == name);
    names.into_iter().filter_map(role).collect()
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Joining => "joining",
        State::Active => "active",
        State::Draining => "draining",
        State::Dead => "dead",
    }
}

impl FromText for State {
    fn from_text(text: &str) -> Option<Self> {
        [Self::Joining, Self::Active, Self::Draining, Self::Dead]
            .into_iter()
            .find(|state| state_name(*state) == text)
    }
}

impl FromText for Incarnation {
    fn from_text(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

const fn time_of(at: DateTime<Utc>) -> DbTime {
    DbTime(at.timestamp_micros())
}
