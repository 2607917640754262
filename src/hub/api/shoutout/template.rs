//! `/api/v1/shoutout/template`: a community's own texts.

use axum::extract::State;
use domain::Level;
use domain::shoutout::{ShoutoutTemplate, TEMPLATE_CHARS_MAX, default_text};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::shoutouts::{self, TemplateKey};
use storage::{AuditEntry, Effect, Scope};
use utoipa::ToSchema;

use super::platform_field;
use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

/// A text for one platform, and for streamers who are live or not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct TemplateBody {
    /// The community's id, or the key of one of its channels.
    #[schema(example = "twitch:ann")]
    community_id: String,
    /// At most 500 characters with `{display_name}` and `{login}` in them; also known are `{game_name}`, `{title}`,
    /// `{viewer_count}`, `{description}`, `{broadcaster_type}`, `{profile_image_url}` and `{offline_image_url}`.
    /// Empty: back to the default.
    #[schema(example = "Go and see {display_name}: https://twitch.tv/{login}")]
    template: String,
    /// Where it is said: twitch (the default), discord, slack, youtube, kick or console.
    #[serde(default)]
    platform: Option<String>,
    /// For streamers who are live; true when absent.
    #[serde(default)]
    is_live: Option<bool>,
}

/// The text that counts from now on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(in crate::hub) struct TemplateLine {
    /// What was done, in words.
    message: String,
    template: String,
    platform: String,
    is_live: bool,
    /// Whether it is the default.
    is_default: bool,
}

/// Sets a community's own text of shoutouts, or goes back to the default.
#[utoipa::path(post, path = "/api/v1/shoutout/template", tag = "shoutout", request_body = TemplateBody,
    params(("X-Acting-User" = Option<String>, Header, description = "Who sets it, a moderator, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "The text that counts from now on.", body = Envelope<TemplateLine>),
    (status = 400, description = "Fields that are wrong, each named; also a variable that is unknown.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User is no moderator of the community.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn set(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(body): JsonBody<TemplateBody>,
) -> Answered<TemplateLine> {
    let mut fields = Fields::default();
    let platform = platform_field(&mut fields, body.platform.as_deref());
    let is_live = body.is_live.unwrap_or(true);
    let own = fields.text("template", &body.template, 0..=TEMPLATE_CHARS_MAX);
    let is_default = own.is_empty();
    if !is_default && let Err(error) = ShoutoutTemplate::parse(&own) {
        fields.wrong("template", format!("cannot be saved: {error}"));
    }
    fields.check()?;
    let community_id = community_of(&hub, &body.community_id).await?;
    caller.acting().require(&hub.deps.db, community_id, Level::Moderator).await?;
    let template = if is_default { default_text(platform, is_live).to_owned() } else { own };
    let message = if is_default { "The default counts again." } else { "The template is saved." };
    let line = TemplateLine {
        message: message.to_owned(),
        template,
        platform: platform.to_string(),
        is_live,
        is_default,
    };
    let (now, by) = (hub.deps.clock.now(), caller.acting().to_string());
    let entry = caller.entry("shoutout.template", platform.as_str());
    let audit = AuditEntry {
        community_id: Some(community_id),
        detail: serde_json::json!({ "is_live": is_live, "is_default": is_default }),
        ..entry
    };
    let key = TemplateKey { community_id, platform, is_live };
    let done = caller
        .change(&hub, "shoutout.template", Scope::Community(community_id), move |tx| {
            async move {
                if line.is_default {
                    shoutouts::remove_template(tx, key).await?;
                } else {
                    shoutouts::set_template(tx, key, &line.template, &by, now).await?;
                }
                Ok(Effect::new(line).audited(audit))
            }
            .boxed()
        })
        .await?;
    ok(done.outcome)
}
