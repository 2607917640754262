//! What a moderator types behind `!timer add`.

use std::time::Duration;

use domain::{DurationUnit, parse_duration_in};

use super::USAGE;
use crate::actors::ModuleError;
use crate::actors::command_name::{mistake, parse_name};
use crate::actors::modules::commands::split_word;

const INTERVAL_MIN: Duration = Duration::from_mins(1);
const INTERVAL_MAX: Duration = Duration::from_hours(24);
/// Most lines that a timer may wait for.
const LINES_MAX: u32 = 10_000;
/// Longest text, in characters: what one chat message holds.
const TEXT_CHARS_MAX: usize = 500;

/// A timer as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Lower case.
    pub name: String,
    pub interval: Duration,
    pub min_lines: u32,
    pub only_live: bool,
    /// A template, or a command with its prefix.
    pub body: String,
}

/// Takes `<name> <minutes> <lines> <text>` apart; `-always` stands anywhere before the text.
///
/// # Errors
/// [`ModuleError::User`] naming the part that does not fit.
pub fn parse(args: &str) -> Result<Typed, ModuleError> {
    let mut only_live = true;
    let mut head = Vec::with_capacity(3);
    let mut rest = args.trim();
    loop {
        let (word, behind) = split_word(rest);
        if matches!(word.to_ascii_lowercase().as_str(), "-always" | "-offline") {
            only_live = false;
        } else if head.len() < 3 && !word.is_empty() {
            head.push(word);
        } else {
            break;
        }
        rest = behind;
    }
    let [name, interval, min_lines] = head[..] else { return Err(ModuleError::User(USAGE.to_owned())) };
    if rest.is_empty() {
        return Err(ModuleError::User(USAGE.to_owned()));
    }
    if rest.chars().count() > TEXT_CHARS_MAX {
        return Err(ModuleError::User(format!("A timer's text has at most {TEXT_CHARS_MAX} characters.")));
    }
    Ok(Typed {
        name: parse_name(name)?,
        interval: parse_interval(interval)?,
        min_lines: parse_lines(min_lines)?,
        only_live,
        body: rest.to_owned(),
    })
}

fn parse_interval(word: &str) -> Result<Duration, ModuleError> {
    let interval = parse_duration_in(word, DurationUnit::Minutes).map_err(mistake)?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err(ModuleError::User("A timer runs every 1 to 1440 minutes.".to_owned()));
    }
    Ok(interval)
}

fn parse_lines(word: &str) -> Result<u32, ModuleError> {
    word.parse().ok().filter(|lines| *lines <= LINES_MAX).ok_or_else(|| {
        ModuleError::User(format!(
            "Behind the minutes stands the number of chat lines to wait for, 0 to {LINES_MAX}, for example 5."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_typed_as_name_minutes_lines_text() {
        let typed = parse("Water 15 5 Drink  some water").unwrap();
        let want = Typed {
            name: "water".to_owned(),
            interval: Duration::from_mins(15),
            min_lines: 5,
            only_live: true,
            body: "Drink  some water".to_owned(),
        };
        assert_eq!(typed, want);
    }

    #[test]
    fn always_may_stand_anywhere_before_the_text() {
        for line in ["-always a 1h 0 x", "a -always 1h 0 x", "a 1h 0 -offline x"] {
            let typed = parse(line).unwrap();
            assert_eq!((typed.only_live, typed.body.as_str()), (false, "x"), "{line}");
        }
        let typed = parse("a 1h 0 x -always").unwrap();
        assert_eq!((typed.only_live, typed.body.as_str()), (true, "x -always"));
    }

    #[test]
    fn the_part_that_does_not_fit_is_named() {
        let long = format!("a 5 5 {}", "x".repeat(TEXT_CHARS_MAX + 1));
        for (line, want) in [
            ("", "Type !timer add"),
            ("a 5 5", "Type !timer add"),
            ("a 5 5 -always", "Type !timer add"),
            ("a 0 5 x", "every 1 to 1440 minutes"),
            ("a 1441 5 x", "every 1 to 1440 minutes"),
            ("a 30s 5 x", "every 1 to 1440 minutes"),
            ("a soon 5 x", "`soon` is not a time"),
            ("a 5 text is here", "number of chat lines"),
            ("a 5 -1 x", "number of chat lines"),
            ("a 5 10001 x", "number of chat lines"),
            ("$(x) 5 5 x", "cannot be a command's name"),
            (long.as_str(), "at most 500 characters"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
