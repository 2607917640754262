//! Words of what is kept and of searches, the same on both databases: runs of letters and digits in lower case.

use std::fmt::Write as _;

use domain::CommunityId;

/// Most words of one search; further ones are left out.
const WANTED_MAX: usize = 10;

/// Longest word, in characters; longer ones are cut, in what is kept as in searches.
const WORD_CHARS_MAX: usize = 64;

/// Words are cut only where `SQLite` does not see it: it indexes the whole one, so a cut word is looked for by its beginning.
struct Word {
    text: String,
    is_cut: bool,
}

fn words(text: &str) -> impl Iterator<Item = Word> {
    let runs = text.split(|char: char| !char.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.map(|run| {
        let lower = run.to_lowercase();
        let lower: String = lower.chars().filter(|char| char.is_alphanumeric()).collect();
        match lower.char_indices().nth(WORD_CHARS_MAX) {
            None => Word { text: lower, is_cut: false },
            Some((end, _)) => Word { text: lower[..end].to_owned(), is_cut: true },
        }
    })
}

/// What `PostgreSQL` finds a text by: the words of its parts with their weights (`A` most), and its community as a word that
/// nobody can type.
pub(crate) fn indexed(community_id: CommunityId, parts: &[(char, &str)]) -> String {
    let mut text = format!("'={community_id}'");
    let mut place = 0;
    for (weight, part) in parts {
        for Word { text: word, .. } in words(part) {
            place += 1;
            write!(text, " '{word}':{place}{weight}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// The words of a search, all of which have to be found.
pub(crate) struct Wanted {
    community_id: CommunityId,
    words: Vec<Word>,
}

impl Wanted {
    /// `None` when no word is in it.
    pub fn of(community_id: CommunityId, text: &str) -> Option<Self> {
        let words: Vec<Word> = words(text).take(WANTED_MAX).collect();
        (!words.is_empty()).then_some(Self { community_id, words })
    }

    /// For FTS5: every word quoted, so that none is an operator.
    pub fn fts5(&self) -> String {
        let quoted = |word: &Word| format!("\"{}\"{}", word.text, if word.is_cut { "*" } else { "" });
        self.words.iter().map(quoted).collect::<Vec<_>>().join(" AND ")
    }

    /// For `PostgreSQL`: the same, within the community.
    pub fn tsquery(&self) -> String {
        let community = format!("'={}'", self.community_id);
        self.words.iter().fold(community, |query, word| format!("{query} & '{}'", word.text))
    }

    /// What `PostgreSQL` ranks by: each word counts by itself, and the community does not.
    pub fn rank(&self) -> String {
        self.words.iter().map(|word| format!("'{}'", word.text)).collect::<Vec<_>>().join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    #[test]
    fn only_letters_and_digits_reach_the_database() {
        let community_id = CommunityId(Ulid::nil());
        let wanted = Wanted::of(community_id, "NEAR(a\" OR b*) -c:'d\\").unwrap();
        assert_eq!(wanted.fts5(), r#""near" AND "a" AND "or" AND "b" AND "c" AND "d""#);
        assert!(
            wanted.tsquery().ends_with("' & 'near' & 'a' & 'or' & 'b' & 'c' & 'd'"),
            "{}",
            wanted.tsquery()
        );
        for nothing in ["", "  ", "\"*()", "'''", "\u{0}", "&|!:*"] {
            assert!(Wanted::of(community_id, nothing).is_none(), "{nothing}");
        }
        let many = Wanted::of(community_id, &"w ".repeat(1_000)).unwrap();
        assert_eq!(many.words.len(), WANTED_MAX);
        let long = Wanted::of(community_id, &"x".repeat(5_000)).unwrap();
        assert_eq!(long.fts5(), format!("\"{}\"*", "x".repeat(WORD_CHARS_MAX)));
    }
}
