//! Who a call acts for, and what that one may do with what somebody made.
//!
//! `X-Acting-User: platform:user_id` names an account; without it the service itself acts, which may do everything.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::{CommunityId, Level, Platform};
use storage::Target;

use super::answer::ApiError;

const HEADER: &str = "x-acting-user";

/// Longest `X-Acting-User`, in bytes.
const BYTES_MAX: usize = 150;

/// Whom a call acts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acting {
    /// Nobody was named: the service itself.
    Service,
    Account(Account),
}

/// A platform account, as callers name it: `twitch:42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub platform: Platform,
    pub user_id: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.platform, self.user_id)
    }
}

impl fmt::Display for Acting {
    /// The actor of the audit log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Account(account) => account.fmt(f),
        }
    }
}

impl Account {
    /// `None` when it is no `platform:user_id`.
    fn parse(text: &str) -> Option<Self> {
        let (platform, user_id) = text.split_once(':')?;
        let is_legal = text.len() <= BYTES_MAX
            && !user_id.is_empty()
            && user_id.bytes().all(|byte| byte.is_ascii_graphic());
        let platform = platform.parse().ok().filter(|_| is_legal)?;
        Some(Self { platform, user_id: user_id.to_owned() })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Acting {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self::Service) };
        if values.next().is_some() {
            return Err(ApiError::invalid("X-Acting-User must stand once: a call acts for one user"));
        }
        value.to_str().ok().and_then(Account::parse).map(Self::Account).ok_or_else(|| {
            ApiError::invalid(
                "X-Acting-User must be platform:user_id, such as twitch:42; leave it out to act as the service",
            )
        })
    }
}

/// By what right somebody changes a thing that an account made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// It is theirs.
    Creator,
    Moderator,
    /// An editor, the owner, or the service itself.
    Admin,
}

impl Acting {
    /// The account. `None`: the service itself acts.
    pub const fn account(&self) -> Option<&Account> {
        match self {
            Self::Service => None,
            Self::Account(account) => Some(account),
        }
    }

    /// The level in that community, from what is stored; the service has the highest.
    pub async fn level_in(
        &self,
        on: impl Into<Target<'_>> + Send,
        community_id: CommunityId,
    ) -> Result<Level, ApiError> {
        match self {
            Self::Service => Ok(Level::Owner),
            Self::Account(Account { platform, user_id }) => {
                Ok(storage::roles::level_of(on, community_id, *platform, user_id).await?)
            }
        }
    }

    /// # Errors
    /// 403 that says who may, when this one's level in the community is below `needed`.
    pub async fn require(
        &self,
        on: impl Into<Target<'_>> + Send,
        community_id: CommunityId,
        needed: Level,
    ) -> Result<(), ApiError> {
        if self.level_in(on, community_id).await? >= needed {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "{self} may not: only {needed}s and those above may; name one of them in X-Acting-User"
        )))
    }

    /// The right of this one, whose level is `level`, over what `creator` (`platform:user_id`) made.
    ///
    /// # Errors
    /// 403 that says who may.
    pub fn right_over(&self, level: Level, creator: &str) -> Result<Right, ApiError> {
        if level >= Level::Editor {
            Ok(Right::Admin)
        } else if level >= Level::Moderator {
            Ok(Right::Moderator)
        } else if self.account().is_some_and(|account| account.to_string() == creator) {
            Ok(Right::Creator)
        } else {
            Err(ApiError::forbidden(format!(
                "{self} may not: only its creator, moderators, editors and the owner may; name one of them in \
                 X-Acting-User"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(values: &[&str]) -> Result<Acting, ApiError> {
        let request = values.iter().fold(Request::builder(), |request, value| request.header(HEADER, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Acting::from_request_parts(&mut parts, &()).await
    }

    fn ann() -> Acting {
        Acting::Account(Account { platform: Platform::Twitch, user_id: "42".into() })
    }

    #[tokio::test]
    async fn a_named_account_acts_and_else_the_service() {
        assert_eq!(read(&[]).await, Ok(Acting::Service));
        assert_eq!(read(&["Twitch:42"]).await, Ok(ann()));
        assert_eq!((ann().to_string(), Acting::Service.to_string()), ("twitch:42".into(), "service".into()));
    }

    #[tokio::test]
    async fn what_names_no_account_is_refused_with_what_to_write() {
        let long = format!("twitch:{}", "4".repeat(BYTES_MAX));
        for value in ["", "42", "twitch", "twitch:", ":42", "myspace:42", "twitch:4 2", "service", &long] {
            let error = read(&[value]).await.unwrap_err();
            assert_eq!(error.status, 400, "{value}");
            assert!(
                error.message.contains("platform:user_id, such as twitch:42"),
                "{value}: {}",
                error.message
            );
        }
        assert!(read(&["twitch:1", "twitch:2"]).await.unwrap_err().message.contains("once"));
    }

    #[test]
    fn the_creator_and_moderators_and_admins_may_and_nobody_else() {
        for (level, right) in [
            (Level::Everyone, Right::Creator),
            (Level::Vip, Right::Creator),
            (Level::Moderator, Right::Moderator),
            (Level::Editor, Right::Admin),
            (Level::Owner, Right::Admin),
        ] {
            assert_eq!(ann().right_over(level, "twitch:42"), Ok(right), "{level}");
        }
        for creator in ["twitch:43", "kick:42", "service", ""] {
            let refused = ann().right_over(Level::Vip, creator).unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.code), (403, "forbidden"), "{creator}");
        }
        assert_eq!(Acting::Service.right_over(Level::Owner, "twitch:42"), Ok(Right::Admin));
    }

    #[tokio::test]
    async fn the_level_is_the_stored_one_of_the_account_and_the_service_has_the_highest() {
        storage::testing::on_both(|db| async move {
            let key = "twitch:ann".parse().unwrap();
            let now = storage::testing::start_of_tests();
            let mut tx = db.begin().await.unwrap();
            let channel = storage::channels::ensure(&mut tx, &key, None, now).await.unwrap().channel;
            storage::channels::set_platform_id(&mut tx, channel.id, "42", now).await.unwrap();
            tx.commit().await.unwrap();
            let community_id = channel.community_id;
            assert_eq!(ann().level_in(&db, community_id).await, Ok(Level::Owner));
            assert_eq!(Acting::Service.level_in(&db, community_id).await, Ok(Level::Owner));
            let kick = Acting::Account(Account { platform: Platform::Kick, user_id: "42".into() });
            assert_eq!(kick.level_in(&db, community_id).await, Ok(Level::Everyone));
        })
        .await;
    }
}
