//! One line from a client, taken apart.

/// A client's line; the texts borrow from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientLine<'a> {
    /// Without the `@`; `None`: the line had none.
    pub(crate) tags: Option<&'a str>,
    pub(crate) command: &'a str,
    /// Middle parameters as they stand.
    pub(crate) params: &'a str,
    /// What follows ` :`; `None`: no trailing parameter.
    pub(crate) trailing: Option<&'a str>,
}

impl<'a> ClientLine<'a> {
    /// `None`: there is no command in it.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut rest = line.trim_start_matches(' ');
        let mut tags = None;
        if let Some(tagged) = rest.strip_prefix('@') {
            let (found, after) = tagged.split_once(' ')?;
            tags = Some(found);
            rest = after.trim_start_matches(' ');
        }
        if rest.starts_with(':') {
            rest = rest.split_once(' ')?.1.trim_start_matches(' ');
        }
        let (command, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if command.is_empty() || !command.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (params, trailing) = match after.strip_prefix(':') {
            Some(trailing) => ("", Some(trailing)),
            None => match after.split_once(" :") {
                Some((params, trailing)) => (params, Some(trailing)),
                None => (after, None),
            },
        };
        Some(Self { tags, command, params: params.trim(), trailing })
    }

    /// The trailing parameter, or the first middle one where there is none.
    pub(crate) fn argument(&self) -> &'a str {
        self.trailing.unwrap_or_else(|| self.params.split(' ').next().unwrap_or_default())
    }

    /// The value of a tag, as it stands on the wire.
    pub(crate) fn tag(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.tags?.split(';').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_tags_and_trailing_text_are_found() {
        let line =
            ClientLine::parse("@client-nonce=a;reply-parent-msg-id=b-1 PRIVMSG #ch :hello : you").unwrap();
        assert_eq!(line.tag("reply-parent-msg-id"), Some("b-1"));
        assert_eq!((line.command, line.params, line.trailing), ("PRIVMSG", "#ch", Some("hello : you")));
    }

    #[test]
    fn lines_without_a_command_are_refused() {
        for line in ["", "@tags", ":prefix", "\u{1}\u{2}", "@a=b  "] {
            assert_eq!(ClientLine::parse(line), None, "{line:?}");
        }
        assert_eq!(ClientLine::parse("PING").unwrap().argument(), "");
    }
}
