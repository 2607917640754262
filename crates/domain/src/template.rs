//! Texts of custom commands: `Hello $(user)`.
//!
//! A text is parsed once, when it is saved, and refused there when it cannot work. What a viewer typed is put in as a
//! value: it is never parsed, and it never becomes a command.

mod expand;
mod moment;
mod parse;
mod variable;

use chrono::{DateTime, Utc};

use crate::StreamInfo;
use variable::Variable;

/// Most characters of a template.
pub const TEMPLATE_CHARS_MAX: usize = 1_000;

/// Most variables in a template, nested ones included.
pub const VARIABLES_MAX: usize = 50;

/// Most variables within one another.
pub const DEPTH_MAX: usize = 5;

/// Most characters of what a template becomes.
pub const OUTPUT_CHARS_MAX: usize = 1_500;

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
    #[error("there is no time zone `{name}`{}", did_you_mean(*.nearest))]
    TimeZone { name: String, nearest: Option<&'static str> },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(|nodes| Self { nodes })
    }

    /// Whether `$(count)` stands in it, so that the caller has to count.
    pub fn uses_count(&self) -> bool {
        self.nodes.iter().any(Node::uses_count)
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
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests;
