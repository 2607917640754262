//! `!bookmark`: addresses that a community keeps, found again by words and tags.

use async_trait::async_trait;
use domain::Level;
use domain::reply_text::clean;
use futures_util::FutureExt;
use storage::Effect;
use storage::bookmarks::{self, Added, BOOKMARKS_MAX, Bookmark, BookmarkFilter, NewBookmark, TAGS_MAX};
use storage::persons::{self, Identity};

use super::commands::split_word;
use crate::actors::listing::cut_to_fit;
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

#[cfg(test)]
mod tests;

const STEP: u16 = 1;

/// Longest tag, in characters.
const TAG_CHARS_MAX: usize = 100;

/// Hits that one answer shows.
const HITS_MAX: u32 = 5;

/// Characters of a title where several are shown.
const TITLE_CHARS_MAX: usize = 50;

const USAGE: &str = "Type !bookmark <address> [tags], or !bookmark remove <number>.";
const LIST_USAGE: &str = "Type !bookmarks, !bookmarks <number> or !bookmarks <words>.";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "bookmarks",
    description: "Keeps addresses and finds them again.",
    commands: &[
        CommandSpec {
            name: "bookmark",
            usage: "bookmark <address> [tags]",
            description: "Keeps an address; !bookmark remove <number> takes it away.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: "bookmarks",
            usage: "bookmarks [<number>|<words>]",
            description: "Shows the newest addresses, one by its number, or those with these words or tags.",
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Bookmarks),
    ..ModuleSpec::DEFAULT
};

struct Bookmarks;

#[async_trait]
impl Module for Bookmarks {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        let (first, rest) = split_word(&call.args);
        if &*call.name == "bookmarks" {
            return show(ctx, &call.args).await;
        }
        match first.to_ascii_lowercase().as_str() {
            "" => Err(ModuleError::User(USAGE.to_owned())),
            "remove" | "delete" | "del" | "rm" | "-" => {
                let number = number(rest).ok_or_else(|| ModuleError::User(USAGE.to_owned()))?;
                remove(ctx, call, number).await
            }
            _ => add(ctx, call, first, rest).await,
        }
    }
}

/// Reads `12` or `#12`.
fn number(text: &str) -> Option<i64> {
    text.trim().trim_start_matches('#').parse().ok().filter(|number| *number > 0)
}

/// Tags as they are kept: words in lower case, sorted, each once.
fn tags_of(text: &str) -> Result<Vec<String>, ModuleError> {
    let text = clean(text).to_lowercase();
    let words =
        text.split([' ', ',']).map(|word| word.trim_start_matches('#')).filter(|word| !word.is_empty());
    let mut tags: Vec<String> = words.map(str::to_owned).collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.chars().count() > TAG_CHARS_MAX) {
        return Err(ModuleError::User(format!(
            "A bookmark has at most {TAGS_MAX} tags of {TAG_CHARS_MAX} characters."
        )));
    }
    Ok(tags)
}

async fn add(ctx: &Context, call: &CommandCall, url: &str, rest: &str) -> Result<Vec<Reply>, ModuleError> {
    let checked =
        ctx.checked_url(url).map_err(|refused| ModuleError::User(format!("Not kept: {refused}.")))?;
    let (platform, user, now) = (ctx.platform(), ctx.user(), ctx.now());
    let identity = Identity {
        platform,
        platform_user_id: user.platform_user_id.clone(),
        login: user.login.clone(),
        display_name: user.shown_name().to_owned(),
    };
    let mut new = NewBookmark {
        url: checked.url,
        url_key: checked.same_as,
        tags: tags_of(rest)?,
        created_by: format!("{platform}:{}", user.platform_user_id),
        ..NewBookmark::default()
    };
    let community_id = ctx.community_id();
    let mut entry = audit::entry(ctx, &call.event, "bookmark.add", "");
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            new.person_id = Some(persons::touch(&mut *tx, &identity, now).await?);
            let number = match bookmarks::add(tx, community_id, &new, now).await? {
                Added::Kept(number) => number,
                Added::There(number) => {
                    return Ok(Effect::new(format!("That is bookmark {number} already.")));
                }
                Added::Full => {
                    return Ok(Effect::new(format!(
                        "There are {BOOKMARKS_MAX} bookmarks already; remove one first."
                    )));
                }
            };
            bookmarks::want_page(tx, community_id, number).await?;
            entry.target = number.to_string();
            Ok(Effect::new(format!("Bookmark {number} added; !bookmarks {number} shows it.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

async fn remove(ctx: &Context, call: &CommandCall, number: i64) -> Result<Vec<Reply>, ModuleError> {
    let community_id = ctx.community_id();
    let entry = audit::entry(ctx, &call.event, "bookmark.remove", number.to_string());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            if bookmarks::remove(tx, community_id, number).await?.is_none() {
                return Ok(Effect::new(format!("There is no bookmark {number}.")));
            }
            Ok(Effect::new(format!("Bookmark {number} removed.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

async fn show(ctx: &Context, text: &str) -> Result<Vec<Reply>, ModuleError> {
    let (db, community_id, text) = (ctx.db(), ctx.community_id(), text.trim());
    if let Some(number) = number(text) {
        let found = bookmarks::get(db, community_id, number).await?;
        let found = found.ok_or_else(|| ModuleError::User(format!("There is no bookmark {number}.")))?;
        return Ok(Reply::only(whole(&found)));
    }
    if text.starts_with('-') {
        return Err(ModuleError::User(LIST_USAGE.to_owned()));
    }
    let filter = BookmarkFilter { words: text.to_owned(), ..BookmarkFilter::default() };
    let hits = bookmarks::list(db, community_id, &filter, HITS_MAX, 0).await?;
    Ok(Reply::only(match &hits[..] {
        [] if text.is_empty() => "There are no bookmarks yet; !bookmark <address> keeps one.".to_owned(),
        [] => "No bookmark has these words.".to_owned(),
        [only] => whole(only),
        several => format!("Bookmarks {}", cut_to_fit(&several.iter().map(short).collect::<Vec<_>>())),
    }))
}

/// Begins with our words, so that no title becomes a command.
fn whole(bookmark: &Bookmark) -> String {
    let title = if bookmark.title.is_empty() { String::new() } else { format!("{} – ", bookmark.title) };
    let tags = bookmark.tags.iter().flat_map(|tag| [" #", tag.as_str()]).collect::<String>();
    format!("Bookmark {}: {title}{}{tags}", bookmark.number, bookmark.url)
}

fn short(bookmark: &Bookmark) -> String {
    let shown = if bookmark.title.is_empty() { &bookmark.url } else { &bookmark.title };
    let text: String = shown.chars().take(TITLE_CHARS_MAX).collect();
    let dots = if text.len() < shown.len() { "…" } else { "" };
    format!("{}: {text}{dots}", bookmark.number)
}
