//! What is printed: results on standard output, failures on standard error, JSON for programs.
//!
//! Who reads may stop reading (`waddlebot … | head -1`): then the rest goes nowhere, where the standard macros would panic.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use serde::Serialize;
use serde_json::{Value, json};

/// Why a command did not do what it was asked, in a sentence for people.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Said(String),
    /// Everything was printed already.
    #[error("")]
    Printed,
}

impl Failure {
    pub fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    /// Prints it, as JSON on standard output where that was asked for.
    pub fn print(&self, json: bool) {
        match self {
            Self::Printed => {}
            Self::Said(text) if json => {
                print_json(&json!({ "success": false, "error": { "message": text } }));
            }
            Self::Said(text) => {
                tell(visible(text));
            }
        }
    }
}

/// Prints a line of the result.
pub fn say(text: impl Display) {
    drop(writeln!(stdout(), "{text}"));
}

/// Prints a part of the result that brings its own line ends.
pub fn say_part(text: impl Display) {
    drop(write!(stdout(), "{text}"));
}

/// Prints a line beside the result.
pub fn tell(text: impl Display) {
    drop(writeln!(stderr(), "{text}"));
}

/// Prints a part of a line beside the result.
pub fn tell_part(text: impl Display) {
    drop(write!(stderr(), "{text}"));
}

/// Prints a value as one JSON document.
pub(super) fn print_json(value: &impl Serialize) {
    say(serde_json::to_string_pretty(value).expect("what is printed is made of plain values"));
}

/// Text from elsewhere as a terminal may show it: control characters could move the cursor or worse.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char }).collect()
}

/// Rows in columns, as wide as their widest cell; the last column runs free.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{:<width$}", visible(cell))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut out = line(&mut header.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// A field of a JSON answer as text; `-` where it is null or absent.
pub(super) fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["ping".to_owned(), "CLOSED".to_owned()], vec!["commands".to_owned(), "OPEN".to_owned()]];
        assert_eq!(
            table(&["module", "breaker"], &rows),
            "module    breaker\nping      CLOSED\ncommands  OPEN\n"
        );
    }

    #[test]
    fn what_a_viewer_typed_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\r\nc"), "a\u{fffd}[2Jb\u{fffd}\nc");
    }
}
