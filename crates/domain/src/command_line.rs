//! What a person typed, as a command: `!name args` or `#name args`.

/// Most characters in a command's name.
pub const NAME_CHARS_MAX: usize = 100;

/// Most words [`words`] gives back.
pub const WORDS_MAX: usize = 100;

/// One line that is a command. `name` is as typed: compare it without regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine<'a> {
    pub name: &'a str,
    /// Everything after the name, trimmed; empty when there is nothing.
    pub args: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Reads a line. `None` when it is no command: no prefix at its beginning, or a name that cannot be one (`!!`).
    pub fn parse(text: &'a str) -> Option<Self> {
        let line = text.strip_prefix(['!', '#'])?.trim_end_matches(is_trailing_junk);
        let name_end = line.find(char::is_whitespace).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_end);
        is_name(name).then(|| Self { name, args: rest.trim() })
    }
}

/// Whether these bytes can be a command at all: cheap, and true for everything [`CommandLine::parse`] accepts.
///
/// Meant for the listener, before a line is known to be UTF-8.
pub fn is_command(text: &[u8]) -> bool {
    match text {
        [b'!' | b'#', first, ..] => first.is_ascii_alphanumeric() || *first == b'_' || !first.is_ascii(),
        _ => false,
    }
}

/// Splits arguments into words; quotes (`"…"`, also the curly ones of phones) group several into one.
///
/// A quote that is never closed is an ordinary character, and its word runs to the end. What lies beyond
/// [`WORDS_MAX`] words is dropped.
pub fn words(args: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = args.trim();
    while !rest.is_empty() && found.len() < WORDS_MAX {
        let (word, after) = next_word(rest);
        found.push(word.to_owned());
        rest = after.trim_start();
    }
    found
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_alphanumeric() || first == '_')
        && name.chars().count() <= NAME_CHARS_MAX
}

/// Chat clients append these so that the same line can be sent twice.
fn is_trailing_junk(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{e0000}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// First word of `rest` (which begins with one) and what follows it.
fn next_word(rest: &str) -> (&str, &str) {
    if let Some(inside) = rest.strip_prefix(is_quote) {
        return match inside.split_once(is_quote) {
            Some((word, after)) => (word, after),
            None => (rest, ""),
        };
    }
    rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()))
}

fn is_quote(char: char) -> bool {
    matches!(char, '"' | '“' | '”' | '„')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<(&str, &str)> {
        CommandLine::parse(text).map(|line| (line.name, line.args))
    }

    #[test]
    fn a_line_with_a_prefix_is_a_command() {
        assert_eq!(parsed("!ping"), Some(("ping", "")));
        assert_eq!(parsed("#Quote  add  a b "), Some(("Quote", "add  a b")));
        assert_eq!(parsed("!_x 1"), Some(("_x", "1")));
        assert_eq!(parsed("!größe é"), Some(("größe", "é")));
    }

    #[test]
    fn other_lines_are_not() {
        for text in ["", "!", "!!", "! ping", "ping", " !ping", "#-x", "!\u{e0000}", "/ping", "!(x)"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert_eq!(parsed(&format!("!{}", "a".repeat(101))), None);
        assert!(parsed(&format!("!{}", "a".repeat(100))).is_some());
    }

    #[test]
    fn what_chat_clients_append_is_dropped() {
        assert_eq!(parsed("!ping \u{e0000}"), Some(("ping", "")));
        assert_eq!(parsed("!ping a\u{34f}\u{e0000} "), Some(("ping", "a")));
        assert_eq!(parsed("!ping\u{34f}"), Some(("ping", "")));
    }

    #[test]
    fn quotes_group_words() {
        assert_eq!(words(r#"add "two words" x"#), ["add", "two words", "x"]);
        assert_eq!(words("“from a phone” y"), ["from a phone", "y"]);
        assert_eq!(words(r#"a "" b"#), ["a", "", "b"]);
        assert_eq!(words("  "), Vec::<String>::new());
    }

    #[test]
    fn an_open_quote_is_an_ordinary_character() {
        assert_eq!(words(r#"a "b c"#), ["a", "\"b c"]);
        assert_eq!(words(r#"5" pipe"#), ["5\"", "pipe"]);
    }

    #[test]
    fn words_are_bounded() {
        assert_eq!(words(&"a ".repeat(500)).len(), WORDS_MAX);
    }

    proptest! {
        #[test]
        fn the_cheap_check_accepts_every_command(text in "[!#]?[a-z_0-9é!# ]{0,8}.{0,8}") {
            if CommandLine::parse(&text).is_some() {
                prop_assert!(is_command(text.as_bytes()));
            }
        }

        #[test]
        fn no_input_breaks_the_splitter(text in "\\PC{0,60}") {
            let total: usize = words(&text).iter().map(String::len).sum();
            prop_assert!(total <= text.len());
        }
    }
}
