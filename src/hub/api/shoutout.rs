//! `/api/v1/shoutout`: sending viewers to other streamers.

use axum::extract::State;
use axum::http::StatusCode;
use domain::shoutout::ShoutoutTemplate;
use domain::{Level, Platform};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::shoutouts::{self, NewShoutout, TemplateKey};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;
use crate::messages::streamers::{LOGIN_CHARS_MAX, LookUpError, Streamer, login_of};

use self::streamer::look_up;

pub(in crate::hub) mod circuit_breaker;
pub(in crate::hub) mod history;
pub(in crate::hub) mod streamer;
pub(in crate::hub) mod template;

/// Whom a shoutout is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewShoutoutBody {
    /// The name of a Twitch account.
    #[schema(example = "ann")]
    username: String,
    /// The community's id, or the key of one of its channels.
    #[schema(example = "twitch:ann")]
    community_id: String,
    /// Where it will be said: twitch (the default), discord, slack, youtube, kick or console.
    #[serde(default)]
    platform: Option<String>,
}

/// A shoutout, ready to be said.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct ShoutoutLine {
    message: String,
    target_username: String,
    target_display_name: String,
    is_live: bool,
    /// Null when Twitch never told.
    game_name: Option<String>,
    /// Null when the streamer is offline.
    viewer_count: Option<u64>,
    profile_image_url: String,
}

/// Makes a shoutout's text and keeps it in the community's history; the caller says it.
#[utoipa::path(post, path = "/api/v1/shoutout", tag = "shoutout", request_body = NewShoutoutBody,
    params(("X-Acting-User" = Option<String>, Header, description = "Who gives it, a moderator, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The shoutout.", body = Envelope<ShoutoutLine>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User is no moderator of the community.", body = ErrorEnvelope),
    (status = 404, description = "No such community, or Twitch knows nobody of that name.", body = ErrorEnvelope),
    (status = 503, description = "Twitch does not tell now, or is not configured.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(body): JsonBody<NewShoutoutBody>,
) -> Answered<ShoutoutLine> {
    let mut fields = Fields::default();
    let login = login_field(&mut fields, &body.username);
    let platform = platform_field(&mut fields, body.platform.as_deref());
    fields.check()?;
    let community_id = community_of(&hub, &body.community_id).await?;
    caller.acting().require(&hub.deps.db, community_id, Level::Moderator).await?;
    let streamer = look_up(&hub, &login).await?;
    let key = TemplateKey { community_id, platform, is_live: streamer.is_live() };
    let template = shoutouts::template_or_default(&hub.deps.db, key).await?;
    let line = line_of(&streamer, &template, platform);
    let new = NewShoutout {
        platform,
        target_user_id: streamer.user.id.clone(),
        target_login: streamer.user.login.clone(),
        message: line.message.clone(),
        created_by: caller.acting().to_string(),
    };
    let now = hub.deps.clock.now();
    let entry = caller.entry("shoutout.say", new.target_login.clone());
    let audit = AuditEntry { community_id: Some(community_id), ..entry };
    let done = caller
        .change(&hub, "shoutout", Scope::Community(community_id), move |tx| {
            async move {
                shoutouts::record(tx, community_id, &new, now).await?;
                Ok(Effect::new(line).audited(audit))
            }
            .boxed()
        })
        .await?;
    ok(done.outcome)
}

fn line_of(streamer: &Streamer, template: &ShoutoutTemplate, platform: Platform) -> ShoutoutLine {
    let profile = streamer.profile();
    ShoutoutLine {
        message: template.render(&profile, platform),
        target_username: profile.login,
        target_display_name: profile.display_name,
        is_live: streamer.is_live(),
        game_name: profile.game_name,
        viewer_count: profile.viewer_count,
        profile_image_url: profile.profile_image_url,
    }
}

/// Reads the name of a Twitch account.
fn login_field(fields: &mut Fields, text: &str) -> String {
    login_of(text).unwrap_or_else(|| {
        let text =
            format!("must be the name of a Twitch account: 1 to {LOGIN_CHARS_MAX} letters, digits and _");
        fields.wrong("username", text);
        String::new()
    })
}

/// Reads where a shoutout is said; Twitch when that is left out.
fn platform_field(fields: &mut Fields, text: Option<&str>) -> Platform {
    text.unwrap_or(Platform::Twitch.as_str()).parse().unwrap_or_else(|_| {
        let known = Platform::ALL.map(Platform::as_str).join(", ");
        fields.wrong("platform", format!("must be one of {known}"));
        Platform::Twitch
    })
}

impl From<LookUpError> for ApiError {
    fn from(error: LookUpError) -> Self {
        let text = error.to_string();
        match error {
            LookUpError::NotConfigured(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "twitch_not_configured", text)
            }
            LookUpError::Refused(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "twitch_refuses", text),
            LookUpError::Unavailable { retry_after, .. } => {
                let secs = retry_after.map_or(1, |wait| wait.as_secs().max(1));
                Self::unavailable("twitch_unavailable", text, u32::try_from(secs).unwrap_or(u32::MAX))
            }
        }
    }
}
