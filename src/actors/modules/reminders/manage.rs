//! Reminders as people set, list and take back theirs.

use chrono_tz::Tz;
use domain::Level;
use domain::duration::human_duration;
use domain::reply_text::clean;
use domain::when::parse_when;
use futures_util::FutureExt;
use storage::Effect;
use storage::persons::{self, Identity};
use storage::reminders::{self, Added, NewReminder, PER_CHANNEL_MAX, PER_CREATOR_MAX};

use crate::actors::listing::cut_to_fit;
use crate::actors::modules::commands::split_word;
use crate::actors::{Context, ModuleError, audit};
use crate::messages::{CommandCall, Reply};

const STEP: u16 = 1;

/// Longest text, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// Characters of a text where several are listed.
const LISTED_CHARS_MAX: usize = 40;

const ME_USAGE: &str = "Type !remindme <when> <text>, for example !remindme 10m check the oven.";
const USAGE: &str = "Type !remind <who> <when> <text>, for example !remind @ann 1h30m drink something.";
const OWN_USAGE: &str = "Type !reminders, or !reminders remove <number>.";

/// Sets a reminder for `who`, where `me` is who says it; `rest` holds the time and the text.
pub async fn add(
    ctx: &Context,
    call: &CommandCall,
    who: &str,
    rest: &str,
) -> Result<Vec<Reply>, ModuleError> {
    let (when, text) = split_word(rest);
    let (user, body) = (ctx.user(), clean(text));
    let is_me = who.eq_ignore_ascii_case("me");
    let name: String = clean(who.trim_start_matches('@')).chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() || when.is_empty() || body.is_empty() {
        let usage = if &*call.name == "remindme" { ME_USAGE } else { USAGE };
        return Err(ModuleError::User(usage.to_owned()));
    }
    if body.chars().count() > TEXT_CHARS_MAX {
        return Err(ModuleError::User(format!("A reminder has at most {TEXT_CHARS_MAX} characters.")));
    }
    let now = ctx.now();
    let due_at =
        parse_when(when, Tz::UTC, now).map_err(|error| ModuleError::User(sentence(&error.to_string())))?;
    let shown = shown_wait(due_at - now);
    let mut new = NewReminder {
        community_id: ctx.community_id(),
        channel_id: ctx.channel_id(),
        created_by: maker(ctx),
        creator_name: user.shown_name().to_owned(),
        person_id: None,
        user_id: is_me.then(|| user.platform_user_id.clone()),
        username: if is_me { user.shown_name().to_owned() } else { name },
        body,
        rule: None,
        due_at,
    };
    let identity = Identity {
        platform: ctx.platform(),
        platform_user_id: user.platform_user_id.clone(),
        login: user.login.clone(),
        display_name: user.shown_name().to_owned(),
    };
    let mut entry = audit::entry(ctx, &call.event, "reminder.add", "");
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            new.person_id = Some(persons::touch(&mut *tx, &identity, now).await?);
            let number = match reminders::add(tx, &new, now).await? {
                Added::Kept { number, .. } => number,
                Added::CreatorIsFull => {
                    return Ok(Effect::new(format!(
                        "You have {PER_CREATOR_MAX} reminders already; !reminders lists them, !reminders remove <number> makes room."
                    )));
                }
                Added::ChannelIsFull => {
                    return Ok(Effect::new(format!(
                        "This channel has {PER_CHANNEL_MAX} reminders already; try again when some are over."
                    )));
                }
            };
            entry.target = number.to_string();
            let whom = if is_me { "you".to_owned() } else { new.username };
            Ok(Effect::new(format!("Reminder {number}: I tell {whom} in {shown}.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

/// Lists what who asks has set, or takes one of it away.
pub async fn own(ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
    let (verb, rest) = split_word(&call.args);
    match verb.to_ascii_lowercase().as_str() {
        "" | "list" | "ls" => list(ctx).await,
        "remove" | "delete" | "del" | "rm" | "-" => {
            let number = rest.trim().trim_start_matches('#').parse().ok().filter(|number: &i64| *number > 0);
            remove(ctx, call, number.ok_or_else(|| ModuleError::User(OWN_USAGE.to_owned()))?).await
        }
        _ => Err(ModuleError::User(OWN_USAGE.to_owned())),
    }
}

async fn list(ctx: &Context) -> Result<Vec<Reply>, ModuleError> {
    let (mine, now) = (reminders::pending_of(ctx.db(), ctx.community_id(), &maker(ctx)).await?, ctx.now());
    if mine.is_empty() {
        return Ok(Reply::only("You have no reminders; !remindme <when> <text> sets one.".to_owned()));
    }
    let lines: Vec<String> = mine
        .iter()
        .map(|one| {
            let text: String = one.body.chars().take(LISTED_CHARS_MAX).collect();
            let dots = if text.len() < one.body.len() { "…" } else { "" };
            let again = if one.rule.is_some() { " and again" } else { "" };
            format!("{} in {}{again}: “{text}{dots}”", one.number, shown_wait(one.due_at - now))
        })
        .collect();
    Ok(Reply::only(format!("Reminders {}", cut_to_fit(&lines))))
}

async fn remove(ctx: &Context, call: &CommandCall, number: i64) -> Result<Vec<Reply>, ModuleError> {
    let (community_id, me) = (ctx.community_id(), maker(ctx));
    let may_all = call.level >= Level::Moderator;
    let entry = audit::entry(ctx, &call.event, "reminder.remove", number.to_string());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let found = reminders::by_number(&mut *tx, community_id, number).await?;
            let Some(reminder) = found.filter(|one| one.status == reminders::Status::Pending) else {
                return Ok(Effect::new(format!("There is no reminder {number}.")));
            };
            if !may_all && reminder.created_by != me {
                return Ok(Effect::new(format!(
                    "Reminder {number} can be removed by who set it and by moderators."
                )));
            }
            if !reminders::remove(tx, reminder.id).await? {
                return Ok(Effect::new(format!("There is no reminder {number}.")));
            }
            Ok(Effect::new(format!("Reminder {number} removed.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

/// Who asks, as reminders remember it.
fn maker(ctx: &Context) -> String {
    format!("{}:{}", ctx.platform(), ctx.user().platform_user_id)
}

/// `1 h 30 min`; what is due already is due now.
fn shown_wait(wait: chrono::TimeDelta) -> String {
    human_duration(wait.to_std().unwrap_or_default())
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}
