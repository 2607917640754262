//! Lists that fit into one chat message.

/// Longest list, in characters: with the sentence around it, it stays one message on every platform.
const LIST_CHARS_MAX: usize = 380;

/// Joins `items` with commas; what does not fit is counted: `a, b and 7 more`.
pub fn cut_to_fit<S: AsRef<str>>(items: &[S]) -> String {
    let mut text = String::new();
    let mut n_chars = 0;
    for (index, item) in items.iter().map(AsRef::as_ref).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        n_chars += separator.len() + item.chars().count();
        if n_chars > LIST_CHARS_MAX && index > 0 {
            return format!("{text} and {} more", items.len() - index);
        }
        text.push_str(separator);
        text.push_str(item);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_is_told_whole() {
        assert_eq!(cut_to_fit(&["!a", "!b"]), "!a, !b");
        assert_eq!(cut_to_fit::<&str>(&[]), "");
    }

    #[test]
    fn a_long_list_says_how_many_are_left_out() {
        let items: Vec<String> = (0..200).map(|n| format!("!command{n}")).collect();
        let text = cut_to_fit(&items);
        assert!(text.chars().count() < LIST_CHARS_MAX + 20, "{}", text.len());
        let n_told = text.matches('!').count();
        assert!(text.ends_with(&format!(" and {} more", 200 - n_told)), "{text}");
    }
}
