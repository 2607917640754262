//! The text of a reply → what may stand on the wire: clean, at most three parts of 490 characters, no command.

use domain::reply_text::{self, TWITCH_PART_CHARS_MAX, TWITCH_PARTS_MAX};

/// What makes a text differ from the same text before it: invisible, and allowed by Twitch.
pub const DUPLICATE_SUFFIX: &str = " \u{E0000}";
/// Stands before a `/` or `.` so that Twitch shows it instead of obeying it.
const DEFUSER: char = '\u{200B}';

/// Cuts a reply into its parts, none of them empty; none at all when there is nothing to say.
pub fn parts(text: &str) -> Vec<String> {
    let text = reply_text::clean(text);
    if text.is_empty() {
        return Vec::new();
    }
    let parts = if text.len() <= TWITCH_PART_CHARS_MAX {
        vec![text]
    } else {
        reply_text::split(&text, TWITCH_PART_CHARS_MAX, TWITCH_PARTS_MAX)
    };
    parts.into_iter().map(defuse).collect()
}

/// No reply ever becomes a command of Twitch's, whatever a module or a viewer put into it.
fn defuse(mut part: String) -> String {
    if part.starts_with(['/', '.']) {
        part.insert(0, DEFUSER);
    }
    part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_reply_is_one_part_as_it_stands() {
        assert_eq!(parts("Hello ann"), ["Hello ann"]);
        assert_eq!(parts("  \r\n "), Vec::<String>::new());
    }

    #[test]
    fn a_reply_never_ends_its_line_nor_becomes_a_command() {
        assert_eq!(parts("hi\r\nPRIVMSG #x :spam"), ["hi  PRIVMSG #x :spam"]);
        for text in ["/ban ann", ".timeout ann", " /me waves", "\u{1}/mod ann"] {
            let part = parts(text).remove(0);
            assert!(part.starts_with(DEFUSER), "{part:?}");
        }
    }

    #[test]
    fn a_long_reply_is_cut_at_words_into_three_parts_at_most() {
        let parts = parts(&"word ".repeat(1_000));
        assert_eq!(parts.len(), 3);
        assert!(parts[0].ends_with("word") && parts[1].starts_with("word"), "{parts:?}");
        assert!(parts[2].ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_part_is_too_long_or_holds_a_line_end(text in "(?s).{0,2000}") {
            for part in parts(&text) {
                prop_assert!(part.chars().count() + DUPLICATE_SUFFIX.chars().count() <= 500);
                prop_assert!(!part.contains(['\r', '\n', '\0']) && !part.starts_with(['/', '.']));
                prop_assert!(!part.is_empty());
            }
        }
    }
}
