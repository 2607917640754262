//! `!so`: sends viewers to another streamer, with what the platform says of them; `!autoso`: and without being asked.

use async_trait::async_trait;
use domain::Level;
use futures_util::FutureExt;
use storage::Effect;
use storage::shoutouts::{self, NewShoutout, TemplateKey};

use super::commands::split_word;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::streamers::{LookUpError, login_of};
use crate::messages::{CommandCall, Reply};

mod auto;
#[cfg(test)]
mod tests;

const STEP: u16 = 1;

const USAGE: &str = "Type !so <name>, the name of a Twitch account.";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "shoutout",
    description: "Sends viewers to other streamers.",
    commands: &[
        CommandSpec {
            name: "so",
            also: &["shoutout"],
            usage: "so <name>",
            description: "Tells the chat of another streamer.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "autoso",
            also: &["autoshoutout"],
            usage: "autoso off|creators|listed|<level>, autoso add|remove <name>, autoso list",
            description: "Chooses who gets a shoutout by themselves, at a raid or with their first line.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Shoutout),
    ..ModuleSpec::DEFAULT
};

struct Shoutout;

#[async_trait]
impl Module for Shoutout {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if &*call.name == "autoso" {
            return auto::command(ctx, call).await;
        }
        let (name, _) = split_word(&call.args);
        let login = login_of(name).ok_or_else(|| ModuleError::User(USAGE.to_owned()))?;
        let streamer = ctx.streamer(&login).await.map_err(not_known)?;
        let nobody = || ModuleError::User(format!("Twitch knows nobody of the name {login}."));
        let streamer = streamer.ok_or_else(nobody)?;
        let (profile, platform) = (streamer.profile(), ctx.platform());
        let key = TemplateKey { community_id: ctx.community_id(), platform, is_live: streamer.is_live() };
        let message = shoutouts::template_or_default(ctx.db(), key).await?.render(&profile, platform);
        let (community_id, now) = (ctx.community_id(), ctx.now());
        let new = NewShoutout {
            platform,
            target_user_id: streamer.user.id.clone(),
            target_login: streamer.user.login.clone(),
            message,
            created_by: format!("{platform}:{}", ctx.user().platform_user_id),
        };
        let entry = audit::entry(ctx, &call.event, "shoutout.say", new.target_login.clone());
        let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
            async move {
                shoutouts::record(tx, community_id, &new, now).await?;
                Ok(Effect::new(new.message).audited(entry))
            }
            .boxed()
        });
        unit.await
    }
}

/// In words for the chat. Twitch's trouble is not the module's, so its breaker does not count it.
fn not_known(error: LookUpError) -> ModuleError {
    ModuleError::User(match error {
        LookUpError::NotConfigured(text) => format!("No shoutout: {text}."),
        LookUpError::Refused(text) => format!("No shoutout: {text}."),
        LookUpError::Unavailable { retry_after, .. } => match retry_after {
            Some(wait) => format!("Twitch does not tell me now; try again in {} s.", wait.as_secs().max(1)),
            None => "Twitch does not tell me now; try again soon.".to_owned(),
        },
    })
}
