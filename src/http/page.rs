//! What an HTML page says of itself: its title and what it is about, as plain text.

use std::cell::RefCell;

use domain::reply_text::clean;
use html5ever::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Longest title and description, in characters.
const TITLE_CHARS_MAX: usize = 500;
const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// Without control characters and on one line each; empty where the page says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageText {
    pub title: String,
    pub description: String,
}

impl PageText {
    /// Reads a page, tag by tag: a tree of it could be made to cost minutes. What is no HTML has no title.
    pub fn of(html: &str) -> Self {
        let reader = Tokenizer::new(Reader::default(), TokenizerOpts::default());
        let text = BufferQueue::default();
        text.push_back(StrTendril::from_slice(html));
        // It stops at the end of each script, which nobody runs here.
        while !matches!(reader.feed(&text), TokenizerResult::Done) {}
        reader.end();
        let Found { title, description, shared, .. } = reader.sink.0.into_inner();
        let description = if description.is_empty() { shared } else { description };
        Self { title: line(&title, TITLE_CHARS_MAX), description: line(&description, DESCRIPTION_CHARS_MAX) }
    }
}

/// On one line, with one space between words.
fn line(text: &str, chars_max: usize) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(chars_max).collect()
}

#[derive(Debug, Default)]
struct Found {
    in_title: bool,
    title: String,
    description: String,
    /// What is said where the page is shared: `og:description`.
    shared: String,
}

/// Notes the first of each.
#[derive(Debug, Default)]
struct Reader(RefCell<Found>);

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut found = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return found.tag(&tag),
            Token::CharacterTokens(text) if found.in_title && found.title.len() < TITLE_CHARS_MAX * 8 => {
                found.title.push_str(&text);
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Found {
    /// What stands in a title, a script or a style is no tag.
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let is_start = tag.kind == TagKind::StartTag;
        match &*tag.name {
            "title" => {
                self.in_title = is_start && self.title.is_empty();
                if is_start {
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
            }
            "script" if is_start => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "noframes" | "iframe" if is_start => return TokenSinkResult::RawData(RawKind::Rawtext),
            "meta" if is_start => self.meta(tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn meta(&mut self, tag: &Tag) {
        let value =
            |name: &str| tag.attrs.iter().find(|attr| &*attr.name.local == name).map(|attr| &*attr.value);
        let Some(content) = value("content").filter(|content| !content.trim().is_empty()) else { return };
        if value("name").is_some_and(|name| name.eq_ignore_ascii_case("description")) {
            if self.description.is_empty() {
                content.clone_into(&mut self.description);
            }
        } else if value("property").is_some_and(|name| name.eq_ignore_ascii_case("og:description"))
            && self.shared.is_empty()
        {
            content.clone_into(&mut self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(html: &str) -> (String, String) {
        let PageText { title, description } = PageText::of(html);
        (title, description)
    }

    #[test]
    fn a_page_tells_its_title_and_what_it_is_about() {
        let page = "<!doctype html><HTML><head><title> Ducks &amp;\n geese </title>\
            <meta property='og:description' content='shared'><META NAME=Description CONTENT='All about ducks'>";
        assert_eq!(read(page), ("Ducks & geese".into(), "All about ducks".into()));
        let shared = "<title>x</title><meta name=description content=' '><meta property=og:description content=shared>";
        assert_eq!(read(shared), ("x".into(), "shared".into()));
        assert_eq!(read("{\"title\": 1}"), (String::new(), String::new()));
        assert_eq!(read(""), (String::new(), String::new()));
    }

    #[test]
    fn what_a_page_says_is_text_and_bounded() {
        assert_eq!(read("<title><svg onload=alert(1)></title>").0, "<svg onload=alert(1)>");
        assert_eq!(read("<title>/ban\u{7}\r\n.me</title>").0, "/ban .me");
        let hidden = "<script>'<title>no</title>'</script><style><title>no</title></style><title>yes</title><title>2</title>";
        assert_eq!(read(hidden).0, "yes");
        let long = format!(
            "<title>{}</title><meta name=description content='{}'>",
            "t".repeat(9_000),
            "d".repeat(9_000)
        );
        let (title, description) = read(&long);
        assert_eq!((title.len(), description.len()), (TITLE_CHARS_MAX, DESCRIPTION_CHARS_MAX));
    }

    #[test]
    fn a_hostile_page_is_read_in_bounds() {
        let started = std::time::Instant::now();
        let head = "<title>kept</title>";
        for part in [
            "<div>",
            "<table><tr><a>",
            "<title>",
            "&#x",
            "<!--",
            "<script>",
            "<a b=",
            "\0",
            "<meta content='x' ",
        ] {
            let page = format!("{head}{}", part.repeat((512 << 10) / part.len()));
            assert_eq!(read(&page).0, "kept", "{part}");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
