//! Names of commands: which are legal, and which one was perhaps meant.

use crate::command_line::NAME_CHARS_MAX;

/// Most letters that may be wrong in a name that is still recognized.
const DISTANCE_MAX: usize = 2;

/// The text cannot be the name of a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a command needs a name; write for example !hello")]
    Empty,
    #[error("a command's name has at most {NAME_CHARS_MAX} characters")]
    TooLong,
    #[error("`{0}` cannot be a command's name; use one word that begins with a letter, a digit or `_`")]
    Illegal(String),
}

/// Checks a name that somebody gave to a command, with or without its prefix; gives it back in lower case without.
///
/// # Errors
/// [`NameError`] says what to type instead.
pub fn valid_command_name(text: &str) -> Result<String, NameError> {
    let text = text.trim();
    let name = text.strip_prefix(['!', '#']).unwrap_or(text).to_lowercase();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    let begins_well = name.starts_with(|first: char| first.is_alphanumeric() || first == '_');
    if !begins_well || name.contains(crate::reply_text::is_unseen) {
        return Err(NameError::Illegal(name.chars().filter(|char| !char.is_control()).take(40).collect()));
    }
    Ok(name)
}

/// The candidate that was perhaps meant: at most two letters wrong, missing, too many or swapped.
///
/// Names of up to three letters may have one wrong letter only. The first of several equally near ones is given.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(NAME_CHARS_MAX + 1).collect();
    let allowed = if wanted.len() <= 3 { 1 } else { DISTANCE_MAX };
    if wanted.len() < 2 || wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let mut best = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().take(NAME_CHARS_MAX + 1).collect();
        if letters.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let distance = distance(&wanted, &letters);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment), by three rows of the table.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut above_twice = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1; right.len() + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            current[column + 1] = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let is_swap = row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other;
            if is_swap {
                current[column + 1] = current[column + 1].min(above_twice[column - 1] + 1);
            }
        }
        above_twice = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_kept_in_lower_case_without_its_prefix() {
        assert_eq!(valid_command_name("!Hello"), Ok("hello".to_owned()));
        assert_eq!(valid_command_name(" #_x "), Ok("_x".to_owned()));
        assert_eq!(valid_command_name("größe"), Ok("größe".to_owned()));
    }

    #[test]
    fn what_cannot_be_typed_is_no_name() {
        for text in ["a b", "-x", "!!x", "$(x)", "a\u{1}b", "a\u{200b}b", "/ban"] {
            assert!(matches!(valid_command_name(text), Err(NameError::Illegal(_))), "{text:?}");
        }
        assert_eq!(valid_command_name("!"), Err(NameError::Empty));
        assert_eq!(valid_command_name(&"a".repeat(101)), Err(NameError::TooLong));
    }

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["ping", "uptime", "quote", "quotes", "so"];
        for (typed, want) in [
            ("pnig", Some("ping")),
            ("PING", Some("ping")),
            ("pin", Some("ping")),
            ("uptme", Some("uptime")),
            ("quotess", Some("quotes")),
            ("qoute", Some("quote")),
            ("xyz", None),
            ("s", None),
            ("piiing", Some("ping")),
            ("piiiing", None),
        ] {
            assert_eq!(nearest(typed, known), want, "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_only_for_equals(left in "[abc]{0,6}", right in "[abc]{0,6}") {
            let (one, other): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            prop_assert_eq!(distance(&one, &other), distance(&other, &one));
            prop_assert_eq!(distance(&one, &other) == 0, left == right);
        }
    }
}
