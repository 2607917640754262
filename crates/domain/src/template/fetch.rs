//! `$(urlfetch <url>)`: which addresses a template asks for, and what goes in of their answers.
//!
//! Fetching itself is not done here: the caller asks for the addresses, fetches them, and hands the texts in.

use super::{FETCHES_MAX, Node, TemplateError, Variable};
use crate::reply_text::{clean, is_unseen};

/// Most characters that one answer puts in.
pub const FETCHED_CHARS_MAX: usize = 400;

/// What stands in each `$(urlfetch …)`, in the order in which filling meets them.
pub(super) fn fetches(nodes: &[Node]) -> Vec<&[Node]> {
    let mut found = Vec::new();
    collect(nodes, &mut found);
    found
}

fn collect<'n>(nodes: &'n [Node], found: &mut Vec<&'n [Node]>) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Variable(Variable::UrlFetch(args)) => found.push(args),
            Node::Variable(variable) => collect(variable.args(), found),
        }
    }
}

/// Refuses what could not be fetched before the template is filled.
pub(super) fn check(nodes: &[Node]) -> Result<(), TemplateError> {
    let found = fetches(nodes);
    if found.len() > FETCHES_MAX {
        return Err(TemplateError::TooManyFetches);
    }
    for args in found {
        if !fetches(args).is_empty() {
            return Err(TemplateError::FetchInFetch);
        }
        if args.iter().any(Node::uses_count) {
            return Err(TemplateError::CountInFetch);
        }
    }
    Ok(())
}

/// The beginning of an answer as one line of plain text: at most [`FETCHED_CHARS_MAX`] characters.
pub fn fetched_text(answer: &str) -> String {
    // Whoever answers may send half a megabyte of line ends; what is looked at is bounded before it is copied.
    let shown = answer.trim_start_matches(is_unseen);
    let end = shown.char_indices().nth(FETCHED_CHARS_MAX * 4).map_or(shown.len(), |(end, _)| end);
    let line = clean(&shown[..end]);
    let words: Vec<&str> = line.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(FETCHED_CHARS_MAX).collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::template::Template;

    fn refusal(text: &str) -> TemplateError {
        Template::parse(text).unwrap_err()
    }

    #[test]
    fn what_could_not_be_fetched_before_it_is_filled_is_refused() {
        assert_eq!(refusal("$(urlfetch https://x.test/$(count))"), TemplateError::CountInFetch);
        assert_eq!(refusal("$(urlfetch https://x.test/$(random 1-$(count)))"), TemplateError::CountInFetch);
        assert_eq!(refusal("$(urlfetch https://x.test/$(urlfetch https://y))"), TemplateError::FetchInFetch);
        assert_eq!(
            refusal("$(urlfetch https://a) $(urlfetch https://b) $(time $(urlfetch https://c))"),
            TemplateError::TooManyFetches
        );
        assert!(matches!(refusal("$(urlfetch)"), TemplateError::Usage { name: "urlfetch", .. }));
        assert!(Template::parse("$(count): $(urlfetch https://x.test)").is_ok());
    }

    #[test]
    fn an_address_without_variables_is_known_before_the_command_runs() {
        let template = Template::parse("$(urlfetch https://a/x) $(urlfetch https://b/$(user))").unwrap();
        assert_eq!(template.literal_urls(), ["https://a/x"]);
    }

    #[test]
    fn an_answer_becomes_one_short_line() {
        assert_eq!(fetched_text("\u{feff}\r\n a\u{0}b \n\n c\t"), "a b c");
        assert_eq!(fetched_text(&"ü".repeat(9_000)), "ü".repeat(FETCHED_CHARS_MAX));
        assert_eq!(fetched_text("\n\n"), "");
    }

    proptest! {
        #[test]
        fn an_answer_is_never_long_nor_has_it_control_characters(answer in any::<String>()) {
            let text = fetched_text(&answer);
            prop_assert!(text.chars().count() <= FETCHED_CHARS_MAX);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
