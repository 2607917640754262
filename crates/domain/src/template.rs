//! Texts of custom commands: `Hello $(user)`.
//!
//! A text is parsed once, when it is saved, and refused there when it cannot work. What a viewer typed is put in as a
//! value: it is never parsed, and it never becomes a command. The same goes for what a page answered.

mod expand;
mod fetch;
mod moment;
mod parse;
mod variable;

use chrono::{DateTime, Utc};

use crate::StreamInfo;
pub use fetch::{FETCHED_CHARS_MAX, fetched_text};
use variable::Variable;

/// Most characters of a template.
pub const TEMPLATE_CHARS_MAX: usize = 1_000;

/// Most variables in a template, nested ones included.
pub const VARIABLES_MAX: usize = 50;

/// Most variables within one another.
pub const DEPTH_MAX: usize = 5;

/// Most characters of what a template becomes.
pub const OUTPUT_CHARS_MAX: usize = 1_500;

/// Most `$(urlfetch …)` in a template.
pub const FETCHES_MAX: usize = 2;

/// The text of a custom command, ready to be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    nodes: Vec<Node>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    Variable(Variable),
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Shown name of who used the command.
    pub user: &'a str,
    /// Who was named, with or without `@`; empty = nobody, then it is the user.
    pub touser: &'a str,
    /// The words after the command, see [`crate::command_line::words`].
    pub args: &'a [String],
    /// Everything after the command.
    pub query: &'a str,
    /// How often the command was used. `None`: it was not asked for, see [`Template::uses_count`].
    pub count: Option<i64>,
    pub channel: &'a str,
    pub stream: &'a StreamInfo,
    /// One of the channel's quotes; read only where [`Template::uses_quote`] is true.
    pub quote: &'a str,
    /// What became of [`Template::urls`], in their order; each as [`fetched_text`] or a word about the failure.
    pub fetched: &'a [String],
}

/// The text cannot be saved as a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the text has more than {TEMPLATE_CHARS_MAX} characters")]
    TooLong,
    #[error("the text has more than {VARIABLES_MAX} variables")]
    TooManyVariables,
    #[error("variables stand more than {DEPTH_MAX} deep in one another")]
    TooDeep,
    #[error("`{0}` is never closed; write for example $(user)")]
    Unclosed(String),
    #[error("`$()` needs a name; write for example $(user)")]
    NoName,
    #[error("there is no variable `{name}`{}", did_you_mean(*.nearest))]
    Unknown { name: String, nearest: Option<&'static str> },
    #[error("`$({0})` is not in this version")]
    NotYet(&'static str),
    #[error("there is no `$(eval)`: texts of commands never run code")]
    Eval,
    #[error("`$({name})` cannot be read; write {usage}")]
    Usage { name: &'static str, usage: &'static str },
    #[error("the text has more than {FETCHES_MAX} `$(urlfetch)`")]
    TooManyFetches,
    #[error("`$(urlfetch)` cannot hold another one")]
    FetchInFetch,
    #[error("`$(urlfetch)` cannot hold `$(count)`: the page is fetched before the use is counted")]
    CountInFetch,
    #[error("there is no time zone `{name}`{}", did_you_mean(*.nearest))]
    TimeZone { name: String, nearest: Option<&'static str> },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let nodes = parse::parse(text)?;
        fetch::check(&nodes)?;
        Ok(Self { nodes })
    }

    /// Whether `$(count)` stands in it, so that the caller has to count.
    pub fn uses_count(&self) -> bool {
        self.nodes.iter().any(Node::uses_count)
    }

    /// Whether `$(quote)` stands in it, so that the caller has to draw one.
    pub fn uses_quote(&self) -> bool {
        self.nodes.iter().any(Node::uses_quote)
    }

    /// The addresses of its `$(urlfetch …)`, to be fetched before it is filled.
    pub fn urls(&self, values: &Values<'_>, rng: &mut impl rand::Rng, now: DateTime<Utc>) -> Vec<String> {
        let args = fetch::fetches(&self.nodes);
        args.into_iter().map(|args| expand::fill_all(args, values, rng, now)).collect()
    }

    /// Those addresses that are known before the command runs, since no variable stands in them.
    pub fn literal_urls(&self) -> Vec<&str> {
        fetch::fetches(&self.nodes).into_iter().filter_map(variable::literal).collect()
    }

    /// Fills it: one line, at most [`OUTPUT_CHARS_MAX`] characters, which may be empty.
    ///
    /// A command at its beginning (`/me`, `!so`) stays only where its author wrote all of the command's name.
    pub fn expand(&self, values: &Values<'_>, rng: &mut impl rand::Rng, now: DateTime<Utc>) -> String {
        expand::expand(&self.nodes, values, rng, now)
    }
}

impl Node {
    fn uses_count(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Variable(Variable::Count) => true,
            Self::Variable(variable) => variable.args().iter().any(Self::uses_count),
        }
    }

    fn uses_quote(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Variable(Variable::Quote) => true,
            Self::Variable(variable) => variable.args().iter().any(Self::uses_quote),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests;
