//! The tags of a line, scanned only when somebody needs one.

use domain::Level;
use memchr::memchr;

/// The section between `@` and the first space: `key=value;key=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a>(pub &'a str);

impl<'a> Tags<'a> {
    /// Every key with its value as it stands on the wire.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
            let tag = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            Some(memchr(b'=', tag.as_bytes()).map_or((tag, ""), |at| (&tag[..at], &tag[at + 1..])))
        })
    }

    /// The value of `key` as it stands on the wire; `None` when it is absent or empty.
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value).filter(|value| !value.is_empty())
    }
}

/// Undoes the escapes of a tag's value: `\s` is a space, `\:` a semicolon; control characters are dropped.
pub fn unescape(raw: &str) -> String {
    if !raw.contains('\\') {
        return raw.to_owned();
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(':') => text.push(';'),
                Some('s') => text.push(' '),
                Some('r' | 'n') | None => {}
                Some(other) => text.push(other),
            },
            other => text.push(other),
        }
    }
    text
}

/// What the badges of a chatter (`moderator/1,subscriber/12`) permit.
pub fn level(badges: &str) -> Level {
    let level_of = |badge: &str| match badge.split_once('/').map_or(badge, |(name, _)| name) {
        "broadcaster" => Level::Owner,
        "moderator" | "lead_moderator" => Level::Moderator,
        "vip" => Level::Vip,
        "subscriber" | "founder" => Level::Subscriber,
        _ => Level::Everyone,
    };
    badges.split(',').map(level_of).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges_give_the_highest_level_among_them() {
        for (badges, want) in [
            ("", Level::Everyone),
            ("premium/1", Level::Everyone),
            ("subscriber/12,bits/100", Level::Subscriber),
            ("founder/0", Level::Subscriber),
            ("vip/1,subscriber/3", Level::Vip),
            ("moderator/1,subscriber/6", Level::Moderator),
            ("broadcaster/1,subscriber/0", Level::Owner),
        ] {
            assert_eq!(level(badges), want, "{badges}");
        }
    }

    #[test]
    fn a_tag_without_value_is_absent() {
        let tags = Tags("badges=;color;id=abc");
        assert_eq!(tags.get("badges"), None);
        assert_eq!(tags.get("color"), None);
        assert_eq!(tags.get("id"), Some("abc"));
    }

    #[test]
    fn escapes_are_undone_and_line_ends_dropped() {
        assert_eq!(unescape(r"a\sb\:c\\d\r\n\x\"), r"a b;c\dx");
    }
}
