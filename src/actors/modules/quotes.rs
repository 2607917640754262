//! `!quote`: what people said, kept under a number.

use async_trait::async_trait;
use domain::Level;
use domain::reply_text::clean;
use futures_util::FutureExt;
use storage::Effect;
use storage::persons::{self, Identity};
use storage::quotes::{self, NewQuote, Quote, QuoteFilter};

use super::commands::split_word;
use crate::actors::listing::cut_to_fit;
use crate::actors::quote_text::{draw, shown};
use crate::actors::{CommandSpec, Context, Module, ModuleError, ModuleSpec, audit};
use crate::messages::{CommandCall, Reply};

#[cfg(test)]
mod tests;

const STEP: u16 = 1;

/// Longest name of an author, in characters.
const AUTHOR_CHARS_MAX: usize = 100;

/// Hits of a search that one answer shows.
const HITS_MAX: u32 = 5;

/// Characters of a hit where several are shown.
const HIT_CHARS_MAX: usize = 80;

const ADD: &str = "addquote";
const USAGE: &str =
    "Type !quote, !quote <number>, !quote add <text>, !quote remove <number> or !quote search <words>.";
const ADD_USAGE: &str = "Type !quote add <text>, or !quote add @name <text> to say who said it.";

pub const SPEC: ModuleSpec = ModuleSpec {
    name: "quotes",
    description: "Keeps what people said and says it again.",
    commands: &[
        CommandSpec {
            name: "quote",
            also: &["quotes"],
            usage: "quote [<number>|add|remove|search]",
            description: "Says a quote: any, one by its number, or one with these words; who may use !addquote adds.",
            ..CommandSpec::DEFAULT
        },
        CommandSpec {
            name: ADD,
            usage: "addquote [@name] <text>",
            description: "Keeps a quote.",
            level: Level::Moderator,
            ..CommandSpec::DEFAULT
        },
    ],
    new: || Box::new(Quotes),
    ..ModuleSpec::DEFAULT
};

struct Quotes;

#[async_trait]
impl Module for Quotes {
    async fn on_command(&mut self, ctx: &Context, call: &CommandCall) -> Result<Vec<Reply>, ModuleError> {
        if &*call.name == ADD {
            return add(ctx, call, &call.args).await;
        }
        let (verb, rest) = split_word(&call.args);
        match verb.to_ascii_lowercase().as_str() {
            "" => say(draw(ctx).await?, "There are no quotes yet; !quote add <text> keeps one."),
            "add" | "create" | "+" => {
                let needed = ctx.commands.commands.get(ADD).map_or(Level::Moderator, |entry| entry.level);
                if call.level < needed {
                    return Err(ModuleError::User(format!("Adding quotes is for {needed} and above.")));
                }
                add(ctx, call, rest).await
            }
            "remove" | "delete" | "del" | "rm" | "-" => remove(ctx, call, number(rest)?).await,
            "search" | "find" => search(ctx, rest).await,
            word if is_number(word) && rest.is_empty() => {
                let number = number(word)?;
                let quote = quotes::get(ctx.db(), ctx.community_id(), number).await?;
                say(quote, &no_quote(number))
            }
            _ => search(ctx, &call.args).await,
        }
    }
}

fn is_number(word: &str) -> bool {
    word.trim_start_matches('#').bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads `12` or `#12`.
fn number(text: &str) -> Result<i64, ModuleError> {
    let digits = text.trim().trim_start_matches('#');
    digits.parse().ok().filter(|number| *number > 0).ok_or_else(|| ModuleError::User(USAGE.to_owned()))
}

fn no_quote(number: i64) -> String {
    format!("There is no quote {number}.")
}

fn say(quote: Option<Quote>, nothing: &str) -> Result<Vec<Reply>, ModuleError> {
    let quote = quote.ok_or_else(|| ModuleError::User(nothing.to_owned()))?;
    let day = quote.created_at.format("%-d %B %Y");
    let game = quote.game.as_ref().map_or_else(String::new, |game| format!(", {game}"));
    Ok(Reply::only(format!("Quote {}: {} ({day}{game})", quote.number, shown(&quote))))
}

async fn search(ctx: &Context, words: &str) -> Result<Vec<Reply>, ModuleError> {
    if words.trim().is_empty() {
        return Err(ModuleError::User("Type !quote search <words>.".to_owned()));
    }
    let filter = QuoteFilter { words: words.to_owned(), ..QuoteFilter::default() };
    let hits = quotes::list(ctx.db(), ctx.community_id(), &filter, HITS_MAX, 0).await?;
    if hits.len() < 2 {
        return say(hits.into_iter().next(), "No quote has these words.");
    }
    let short = |quote: &Quote| {
        let text: String = quote.body.chars().take(HIT_CHARS_MAX).collect();
        let dots = if text.len() < quote.body.len() { "…" } else { "" };
        format!("{}: “{text}{dots}”", quote.number)
    };
    Ok(Reply::only(format!("Quotes {}", cut_to_fit(&hits.iter().map(short).collect::<Vec<_>>()))))
}

async fn add(ctx: &Context, call: &CommandCall, args: &str) -> Result<Vec<Reply>, ModuleError> {
    let (first, rest) = split_word(args);
    let (author, text) = match first.strip_prefix('@') {
        Some(name) if !name.is_empty() => (name, rest),
        _ => ("", args),
    };
    let body = clean(text);
    if body.is_empty() {
        return Err(ModuleError::User(ADD_USAGE.to_owned()));
    }
    let (platform, user, now) = (ctx.platform(), ctx.user(), ctx.now());
    let identity = Identity {
        platform,
        platform_user_id: user.platform_user_id.clone(),
        login: user.login.clone(),
        display_name: user.shown_name().to_owned(),
    };
    let mut new = NewQuote {
        body,
        author: author.chars().take(AUTHOR_CHARS_MAX).collect(),
        game: ctx.stream().game,
        created_by: maker(ctx),
        ..NewQuote::default()
    };
    let community_id = ctx.community_id();
    let mut entry = audit::entry(ctx, &call.event, "quote.add", "");
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            new.person_id = Some(persons::touch(&mut *tx, &identity, now).await?);
            let Some(number) = quotes::add(tx, community_id, &new, now).await? else {
                return Ok(Effect::new(format!(
                    "There are {} quotes already; remove one first.",
                    quotes::QUOTES_MAX
                )));
            };
            entry.target = number.to_string();
            Ok(Effect::new(format!("Quote {number} added; !quote {number} says it.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}

/// Who writes, as quotes remember it.
fn maker(ctx: &Context) -> String {
    format!("{}:{}", ctx.platform(), ctx.user().platform_user_id)
}

async fn remove(ctx: &Context, call: &CommandCall, number: i64) -> Result<Vec<Reply>, ModuleError> {
    let (community_id, me) = (ctx.community_id(), maker(ctx));
    let may_all = call.level >= Level::Moderator;
    let entry = audit::entry(ctx, &call.event, "quote.remove", number.to_string());
    let unit = ctx.answer(ctx.community_scope(), STEP, move |tx| {
        async move {
            let Some(quote) = quotes::get(&mut *tx, community_id, number).await? else {
                return Ok(Effect::new(no_quote(number)));
            };
            if !may_all && quote.created_by != me {
                return Ok(Effect::new(format!(
                    "Quote {number} can be removed by who added it and by moderators."
                )));
            }
            if quotes::remove(tx, community_id, number).await?.is_none() {
                return Ok(Effect::new(no_quote(number)));
            }
            Ok(Effect::new(format!("Quote {number} removed.")).audited(entry))
        }
        .boxed()
    });
    unit.await
}
