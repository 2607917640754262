//! Text on its way to a chat: cleaned, without commands that a viewer typed, cut to the platform's size.

/// Characters of one message on Twitch; the platform itself takes 500.
pub const TWITCH_PART_CHARS_MAX: usize = 490;

/// Messages one reply may take on Twitch.
pub const TWITCH_PARTS_MAX: usize = 3;

const ELLIPSIS: char = '…';

/// Makes one line of it: control characters and line ends become spaces, the ends are trimmed.
pub fn clean(text: &str) -> String {
    let is_break = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
    let line: String = text.chars().map(|char| if is_break(char) { ' ' } else { char }).collect();
    line.trim().to_owned()
}

/// What a viewer typed, without what could make it a command: leading prefixes and anything unseen before them.
pub fn defuse(user_text: &str) -> &str {
    user_text.trim_start_matches(|char| is_command_prefix(char) || is_unseen(char))
}

/// Splits a reply into at most `parts_max` messages of at most `part_chars_max` characters.
///
/// It breaks between words where it can and never inside a character; `…` ends the last part when something had to be
/// left out. No part after the first begins like a command.
pub fn split(text: &str, part_chars_max: usize, parts_max: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && parts.len() < parts_max {
        let is_last = parts.len() + 1 == parts_max;
        let (part, after) = cut(rest, part_chars_max.max(1), is_last);
        parts.push(part);
        rest = defuse(after).trim_start();
    }
    parts
}

/// Whether a text that begins with `char` is a command to a platform or a bot.
pub(crate) const fn is_command_prefix(char: char) -> bool {
    matches!(char, '!' | '/' | '.' | '#')
}

/// White space, control characters and characters that take no room on the screen.
pub(crate) fn is_unseen(char: char) -> bool {
    char.is_whitespace()
        || char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// First part of `rest` and what is left for the next.
fn cut(rest: &str, chars_max: usize, is_last: bool) -> (String, &str) {
    let Some(end) = byte_at(rest, chars_max) else { return (rest.to_owned(), "") };
    if is_last {
        let room = byte_at(rest, chars_max - 1).unwrap_or(0);
        let mut part = rest[..word_end(rest, room)].trim_end().to_owned();
        part.push(ELLIPSIS);
        return (part, "");
    }
    let end = word_end(rest, end);
    (rest[..end].trim_end().to_owned(), &rest[end..])
}

/// Where the first `chars` characters end. `None`: the text is not longer than that.
fn byte_at(text: &str, chars: usize) -> Option<usize> {
    text.char_indices().nth(chars).map(|(at, _)| at)
}

/// The last word border at or before `end`, or `end` itself where a word alone is longer.
fn word_end(text: &str, end: usize) -> usize {
    if text[end..].starts_with(char::is_whitespace) {
        return end;
    }
    match text[..end].rfind(char::is_whitespace) {
        Some(border) if border > 0 => border,
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_one_line() {
        assert_eq!(clean(" a\r\nPRIVMSG #x :b\u{1}\t"), "a  PRIVMSG #x :b");
        assert_eq!(clean("a\u{2028}b"), "a b");
    }

    #[test]
    fn what_a_viewer_typed_is_no_command() {
        for (typed, want) in [
            ("!ban me", "ban me"),
            ("/ban me", "ban me"),
            (".ban me", "ban me"),
            ("#x", "x"),
            (" \u{200b}!\u{34f}/\u{e0000} .ban", "ban"),
            ("\u{feff}\u{2060}/me", "me"),
            ("a !b", "a !b"),
            ("…", "…"),
            ("!!!", ""),
        ] {
            assert_eq!(defuse(typed), want, "{typed:?}");
        }
    }

    #[test]
    fn long_text_is_split_between_words() {
        assert_eq!(split("aa bb cc dd", 5, 9), ["aa bb", "cc dd"]);
        assert_eq!(split("aa bbbbbbb c", 4, 9), ["aa", "bbbb", "bbb", "c"]);
        assert_eq!(split("short", 490, 3), ["short"]);
        assert!(split("  ", 490, 3).is_empty());
    }

    #[test]
    fn what_is_cut_ends_with_an_ellipsis() {
        assert_eq!(split("aa bb cc dd", 5, 1), ["aa…"]);
        assert_eq!(split("aa bb cc dd ee", 5, 2), ["aa bb", "cc…"]);
        assert_eq!(split("éééééé", 3, 1), ["éé…"]);
    }

    #[test]
    fn no_later_part_begins_like_a_command() {
        assert_eq!(split("hello /ban ann", 5, 3), ["hello", "ban", "ann"]);
    }

    proptest! {
        #[test]
        fn parts_are_never_too_long_nor_too_many(text in "\\PC{0,200}", chars in 1usize..30, count in 1usize..5) {
            let parts = split(&text, chars, count);
            prop_assert!(parts.len() <= count);
            for part in &parts {
                prop_assert!(part.chars().count() <= chars, "{part:?}");
                prop_assert!(!part.is_empty());
            }
        }

        #[test]
        fn nothing_defused_begins_with_a_prefix(text in "[!/.# \u{200b}\u{34f}]{0,6}\\PC{0,10}") {
            prop_assert!(!defuse(&text).starts_with(['!', '/', '.', '#', ' ']));
        }
    }
}
