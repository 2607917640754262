//! The variables of a template, and which words may stand after them.

use super::{Node, TemplateError, moment};
use crate::names::nearest;
use crate::when::zone_of;

/// Every variable that works, for "did you mean".
const NAMES: [&str; 16] = [
    "user",
    "touser",
    "query",
    "querystring",
    "count",
    "channel",
    "game",
    "title",
    "uptime",
    "random",
    "time",
    "countdown",
    "countup",
    "urlfetch",
    "quote",
    "1",
];

/// Variables other bots have and this one will have; their source is not there yet.
const NOT_YET: [&str; 1] = ["points"];

const RANDOM_USAGE: &str = "$(random 1-100) or $(random pick a|b|c)";
const TIME_USAGE: &str = "$(time Europe/Berlin)";
const FETCH_USAGE: &str = "$(urlfetch https://example.org/text)";
const COUNTDOWN_USAGE: &str = "$(countdown 2030-12-31T18:00) or a time like 2030-12-31T18:00:00+01:00";
const COUNTUP_USAGE: &str = "$(countup 2020-12-31T18:00) or a time like 2020-12-31T18:00:00+01:00";

/// One variable; the nodes in it are evaluated first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    User,
    ToUser,
    /// Place of the word, from 0.
    Word(usize),
    Query,
    QueryString,
    Count,
    Channel,
    Game,
    Title,
    Uptime,
    Quote,
    RandomRange(Vec<Node>),
    RandomPick(Vec<Node>),
    Time(Vec<Node>),
    Countdown(Vec<Node>),
    Countup(Vec<Node>),
    UrlFetch(Vec<Node>),
}

impl Variable {
    /// Builds a variable from its name and the nodes after it; `args` begin and end without white space.
    pub fn new(name: &str, args: Vec<Node>) -> Result<Self, TemplateError> {
        let lower = name.to_lowercase();
        let plain = match lower.as_str() {
            "user" => Self::User,
            "touser" => Self::ToUser,
            "query" => Self::Query,
            "querystring" => Self::QueryString,
            "count" => Self::Count,
            "channel" => Self::Channel,
            "game" => Self::Game,
            "title" => Self::Title,
            "uptime" => Self::Uptime,
            "quote" => Self::Quote,
            "random" => return random(args),
            "time" => return time(args),
            "countdown" | "countup" => return counted(&lower, args),
            "urlfetch" if args.is_empty() => {
                return Err(TemplateError::Usage { name: "urlfetch", usage: FETCH_USAGE });
            }
            "urlfetch" => return Ok(Self::UrlFetch(args)),
            "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" => {
                Self::Word(usize::from(lower.as_bytes()[0] - b'1'))
            }
            other => return Err(refused(other)),
        };
        if args.is_empty() {
            return Ok(plain);
        }
        Err(TemplateError::Usage { name: plain.name(), usage: "it without further words" })
    }

    /// Nodes that stand in it.
    pub fn args(&self) -> &[Node] {
        match self {
            Self::RandomRange(args)
            | Self::RandomPick(args)
            | Self::Time(args)
            | Self::Countdown(args)
            | Self::Countup(args)
            | Self::UrlFetch(args) => args,
            _ => &[],
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ToUser => "touser",
            Self::Word(_) => "1",
            Self::Query => "query",
            Self::QueryString => "querystring",
            Self::Count => "count",
            Self::Channel => "channel",
            Self::Game => "game",
            Self::Title => "title",
            Self::Uptime => "uptime",
            Self::Quote => "quote",
            Self::RandomRange(_) | Self::RandomPick(_) => "random",
            Self::Time(_) => "time",
            Self::Countdown(_) => "countdown",
            Self::Countup(_) => "countup",
            Self::UrlFetch(_) => "urlfetch",
        }
    }
}

/// Why a name is no variable.
fn refused(name: &str) -> TemplateError {
    if name == "eval" {
        return TemplateError::Eval;
    }
    match NOT_YET.into_iter().find(|known| *known == name) {
        Some(known) => TemplateError::NotYet(known),
        None => {
            TemplateError::Unknown { name: name.chars().take(40).collect(), nearest: nearest(name, NAMES) }
        }
    }
}

/// The text of nodes without a variable in them. `None`: it is known only when the command runs.
pub(super) fn literal(args: &[Node]) -> Option<&str> {
    match args {
        [] => Some(""),
        [Node::Text(text)] => Some(text.trim()),
        _ => None,
    }
}

fn random(mut args: Vec<Node>) -> Result<Variable, TemplateError> {
    let usage = TemplateError::Usage { name: "random", usage: RANDOM_USAGE };
    let options = match args.first() {
        Some(Node::Text(text)) => after_word(text, "pick").map(str::to_owned),
        _ => None,
    };
    if let Some(options) = options {
        if options.is_empty() {
            args.remove(0);
        } else {
            args[0] = Node::Text(options);
        }
        let has_option = literal(&args).is_none_or(|text| !options_of(text).is_empty());
        return if has_option { Ok(Variable::RandomPick(args)) } else { Err(usage) };
    }
    let is_range = literal(&args).is_none_or(|text| range_of(text).is_some());
    if is_range { Ok(Variable::RandomRange(args)) } else { Err(usage) }
}

fn time(args: Vec<Node>) -> Result<Variable, TemplateError> {
    match literal(&args) {
        Some("") => Err(TemplateError::Usage { name: "time", usage: TIME_USAGE }),
        Some(name) if zone_of(name).is_none() => {
            let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            Err(TemplateError::TimeZone {
                name: name.chars().take(40).collect(),
                nearest: nearest(name, known),
            })
        }
        _ => Ok(Variable::Time(args)),
    }
}

fn counted(name: &str, args: Vec<Node>) -> Result<Variable, TemplateError> {
    let is_moment = literal(&args).is_none_or(|text| moment::parse(text).is_some());
    match (name, is_moment) {
        ("countdown", true) => Ok(Variable::Countdown(args)),
        ("countdown", false) => Err(TemplateError::Usage { name: "countdown", usage: COUNTDOWN_USAGE }),
        (_, true) => Ok(Variable::Countup(args)),
        (_, false) => Err(TemplateError::Usage { name: "countup", usage: COUNTUP_USAGE }),
    }
}

/// What follows `word` at the beginning of `text`. `None`: it begins otherwise.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_at_checked(word.len())?;
    let ends_there = rest.is_empty() || rest.starts_with(char::is_whitespace);
    (first.eq_ignore_ascii_case(word) && ends_there).then(|| rest.trim_start())
}

/// The options of `random pick`: between bars where there is one, else words.
pub(super) fn options_of(text: &str) -> Vec<String> {
    if !text.contains('|') {
        return crate::command_line::words(text).into_iter().filter(|word| !word.is_empty()).collect();
    }
    let unquoted = |option: &str| {
        let option = option.trim();
        let inside = option.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inside.unwrap_or(option).to_owned()
    };
    text.split('|').map(unquoted).filter(|option| !option.is_empty()).collect()
}

/// The bounds of `random a-b`, the smaller first; either may be negative.
pub(super) fn range_of(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    let dash = text.char_indices().skip(1).find(|(_, char)| *char == '-')?.0;
    let from: i64 = text[..dash].trim().parse().ok()?;
    let to: i64 = text[dash + 1..].trim().parse().ok()?;
    Some((from.min(to), from.max(to)))
}
