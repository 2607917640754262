//! `!autoso`: who gets shoutouts without being asked for.

use domain::shoutout::AutoMode;
use futures_util::FutureExt;
use storage::settings::SettingsScope;
use storage::shoutouts::listed::{self, Added, LISTED_MAX};
use storage::{Change, ChangeKind, ChangeScope, Effect, module_states, settings};

use super::super::auto_shoutout::{NAME, mode_of};
use super::super::commands::split_word;
use crate::actors::listing::cut_to_fit;
use crate::actors::{Context, ModuleError, audit};
use crate::messages::streamers::login_of;
use crate::messages::{CommandCall, Reply};

const STEP: u16 = 2;

const USAGE: &str =
    "Type !autoso off|creators|listed or a level such as vip; !autoso add|remove <name>, or !autoso list.";

pub async fn command(ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
    let (verb, rest) = split_word(&call.args);
    match verb.to_ascii_lowercase().as_str() {
        "" => Ok(Reply::only(format!("{} {USAGE}", sentence(mode_of(ctx).await?)))),
        "list" | "ls" => list(ctx).await,
        "add" | "+" => change_list(ctx, call, rest, true).await,
        "remove" | "delete" | "del" | "rm" | "-" => change_list(ctx, call, rest, false).await,
        word => match AutoMode::parse(word).filter(|_| rest.is_empty()) {
            Some(mode) => choose(ctx, call, mode).await,
            None => Err(ModuleError::User(USAGE.to_owned())),
        },
    }
}

fn sentence(mode: AutoMode) -> String {
    match mode {
        AutoMode::Disabled => "No shoutouts by themselves.".to_owned(),
        AutoMode::AllCreators => {
            "Whoever raids, and streamers whose channel I serve, get a shoutout by themselves.".to_owned()
        }
        AutoMode::ListOnly => "Streamers of !autoso list get a shoutout by themselves.".to_owned(),
        AutoMode::RoleBased(level) => format!("Every {level} and above gets a shoutout by themselves."),
    }
}

async fn choose(ctx: &Context, call: &CommandCall, mode: AutoMode) -> Result<Vec<Reply>, ModuleError> {
    let (channel_id, now) = (ctx.channel_id(), ctx.now());
    let scope = SettingsScope { community_id: ctx.community_id(), channel_id: Some(channel_id) };
    let body = serde_json::to_value(mode).map_err(|error| ModuleError::Failed(error.to_string()))?;
    let entry = audit::entry(ctx, &call.event, "shoutout.auto", call.args.trim());
    let unit = ctx.answer(ctx.channel_scope(), STEP, move |tx| {
        async move {
            settings::set(tx, scope, NAME, &body, now).await?;
            module_states::set(tx, channel_id, NAME, mode != AutoMode::Disabled, now).await?;
            let change = Change::new(ChangeScope::Channel(channel_id), ChangeKind::Modules);
            Ok(Effect::new(sentence(mode)).audited(entry).changed(change))
        }
        .boxed()
    });
    unit.await
}

async fn list(ctx: &Context) -> Result<Vec<Reply>, ModuleError> {
    let logins = listed::all(ctx.db(), ctx.community_id()).await?;
    if logins.is_empty() {
        return Ok(Reply::only("The list is empty; !autoso add <name> puts somebody on it."));
    }
    Ok(Reply::only(format!("Listed: {}", cut_to_fit(&logins))))
}

async fn change_list(
    ctx: &Context,
    call: &CommandCall,
    name: &str,
    is_added: bool,
) -> Result<Vec<Reply>, ModuleError> {
    let login = login_of(name).ok_or_else(|| ModuleError::User(USAGE.to_owned()))?;
    let (community_id, now) = (ctx.community_id(), ctx.now());
    let by = format!("{}:{}", ctx.platform(), ctx.user().platform_user_id);
    let action = if is_added { "shoutout.list_add" } else { "shoutout.list_remove" };
    let entry = audit::entry(ctx, &call.event, action, login.clone());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let (did, text) = if is_added {
                match listed::add(tx, community_id, &login, &by, now).await? {
                    Added::Added => (true, format!("{login} is on the list now.")),
                    Added::AlreadyThere => (false, format!("{login} is on the list already.")),
                    Added::Full => (false, format!("The list has {LISTED_MAX} names; remove one first.")),
                }
            } else if listed::remove(tx, community_id, &login).await? {
                (true, format!("{login} is off the list."))
            } else {
                (false, format!("{login} is not on the list."))
            };
            let effect = Effect::new(text);
            let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Settings);
            Ok(if did { effect.audited(entry).changed(change) } else { effect })
        }
        .boxed()
    });
    unit.await
}
