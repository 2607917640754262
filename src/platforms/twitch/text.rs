//! The text of a reply → what may stand on the wire: clean, at most three parts of 490 characters, no command.

/// Twitch takes 500 characters; the rest is for what is put before and behind.
pub const PART_CHARS_MAX: usize = 490;
/// Longer replies are cut.
pub const PARTS_MAX: usize = 3;
/// What makes a text differ from the same text before it: invisible, and allowed by Twitch.
pub const DUPLICATE_SUFFIX: &str = " \u{E0000}";
/// Stands before a `/` or `.` so that Twitch shows it instead of obeying it.
const DEFUSER: char = '\u{200B}';

/// Cuts a reply into its parts, none of them empty; none at all when there is nothing to say.
pub fn parts(text: String) -> Vec<String> {
    let text = clean(text);
    if text.len() <= PART_CHARS_MAX {
        return if text.is_empty() { Vec::new() } else { vec![defuse(text)] };
    }
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() && parts.len() < PARTS_MAX {
        let (part, left) = split(rest);
        rest = left;
        let cut_off = parts.len() + 1 == PARTS_MAX && !rest.is_empty();
        let shown = if cut_off { part.chars().take(PART_CHARS_MAX - 1).chain(['…']).collect() } else { part.to_owned() };
        parts.push(defuse(shown));
    }
    parts
}

/// Line ends and other control characters would end the line or hide in it: they become spaces.
fn clean(text: String) -> String {
    let plain = !text.contains(char::is_control) && !text.starts_with(' ') && !text.ends_with(' ');
    if plain {
        return text;
    }
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// No reply ever becomes a command of Twitch's, whatever a viewer put into it.
fn defuse(mut part: String) -> String {
    if part.starts_with(['/', '.']) {
        part.insert(0, DEFUSER);
    }
    part
}

/// The first part of `text`, cut at white space where there is some, and the rest.
fn split(text: &str) -> (&str, &str) {
    let Some((limit, _)) = text.char_indices().nth(PART_CHARS_MAX) else { return (text, "") };
    let at = match text[..limit].rfind(char::is_whitespace) {
        Some(at) if at > limit / 2 => at,
        _ => limit,
    };
    (text[..at].trim_end(), text[at..].trim_start())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_reply_is_one_part_as_it_stands() {
        assert_eq!(parts("Hello ann".to_owned()), ["Hello ann"]);
        assert_eq!(parts("  \r\n ".to_owned()), Vec::<String>::new());
    }

    #[test]
    fn a_reply_never_ends_its_line_nor_becomes_a_command() {
        assert_eq!(parts("hi\r\nPRIVMSG #x :spam".to_owned()), ["hi  PRIVMSG #x :spam"]);
        for text in ["/ban ann", ".timeout ann", " /me waves", "\u{1}/mod ann"] {
            let part = parts(text.to_owned()).remove(0);
            assert!(part.starts_with(DEFUSER), "{part:?}");
        }
    }

    #[test]
    fn a_long_reply_is_cut_at_words_into_three_parts_at_most() {
        let parts = parts("word ".repeat(1_000));
        assert_eq!(parts.len(), 3);
        assert!(parts[0].ends_with("word") && parts[1].starts_with("word"), "{parts:?}");
        assert!(parts[2].ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_part_is_too_long_or_holds_a_line_end(text in "(?s).{0,2000}") {
            for part in parts(text) {
                prop_assert!(part.chars().count() + DUPLICATE_SUFFIX.chars().count() <= 500);
                prop_assert!(!part.contains(['\r', '\n', '\0']) && !part.starts_with(['/', '.']));
                prop_assert!(!part.is_empty());
            }
        }
    }
}
