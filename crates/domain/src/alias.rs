//! Aliases: one command that stands for another.

use crate::command_line::words;
use crate::names::valid_command_name;
use crate::reply_text::{clean, defuse};

/// Most aliases that may follow one another.
pub const ALIAS_DEPTH_MAX: usize = 3;

/// Most characters of an alias's body.
pub const BODY_CHARS_MAX: usize = 500;

/// Most characters of what an alias becomes.
pub const EXPANDED_CHARS_MAX: usize = 1_500;

/// The alias cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    #[error(
        "an alias begins with the command it stands for; write for example !alias add hi !hello {{args}}"
    )]
    NoCommand,
    #[error("an alias has at most {BODY_CHARS_MAX} characters")]
    TooLong,
    #[error("`!{name}` would call itself through `!{through}`")]
    Loop { name: String, through: String },
    #[error("`!{name}` would go through more than {ALIAS_DEPTH_MAX} aliases")]
    TooDeep { name: String },
}

/// What an alias becomes: the body with its placeholders filled, always beginning with `!` and the body's command.
///
/// Placeholders: `{user}`, `{args}` and `{all_args}` (everything), `{arg1}` to `{arg9}` (empty where there is none).
/// What people typed is filled in once and never read again, and the command's name is never filled in.
pub fn expand(body: &str, user: &str, args: &str) -> String {
    let body = without_prefix(body);
    let name_end = body.find(char::is_whitespace).unwrap_or(body.len());
    let (name, mut rest) = body.split_at(name_end);
    let arg_words = words(args);
    let mut expanded = format!("!{name}");
    while let Some(at) = rest.find('{') {
        expanded.push_str(&rest[..at]);
        let placeholder = rest[at..].find('}').map(|end| &rest[at + 1..at + end]);
        let value = placeholder.and_then(|placeholder| value_of(placeholder, user, args, &arg_words));
        if let (Some(placeholder), Some(value)) = (placeholder, value) {
            expanded.push_str(defuse(value));
            rest = &rest[at + placeholder.len() + 2..];
        } else {
            expanded.push('{');
            rest = &rest[at + 1..];
        }
    }
    expanded.push_str(rest);
    clean(&expanded).chars().take(EXPANDED_CHARS_MAX).collect()
}

/// Checks an alias before it is saved: it begins with a command and does not come back to itself.
///
/// `lookup` gives the body of an alias by its lower-case name, `None` where that name is none.
///
/// # Errors
/// [`AliasError`] says which alias is in the way.
pub fn check_no_loop(
    name: &str,
    body: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(), AliasError> {
    if body.chars().count() > BODY_CHARS_MAX {
        return Err(AliasError::TooLong);
    }
    let name = valid_command_name(name).map_err(|_| AliasError::NoCommand)?;
    let mut target = target_of(body).ok_or(AliasError::NoCommand)?;
    let mut through = name.clone();
    for _ in 0..ALIAS_DEPTH_MAX {
        if target == name {
            return Err(AliasError::Loop { name, through });
        }
        let Some(next) = lookup(&target).and_then(|body| target_of(&body)) else { return Ok(()) };
        through = std::mem::replace(&mut target, next);
    }
    Err(AliasError::TooDeep { name })
}

/// The command that a body begins with, in lower case.
pub fn target_of(body: &str) -> Option<String> {
    let first = without_prefix(body).split_whitespace().next()?;
    valid_command_name(first).ok().filter(|name| !name.contains(['{', '}']))
}

fn without_prefix(body: &str) -> &str {
    let body = body.trim();
    body.strip_prefix(['!', '#']).unwrap_or(body)
}

fn value_of<'a>(placeholder: &str, user: &'a str, args: &'a str, arg_words: &'a [String]) -> Option<&'a str> {
    match placeholder {
        "user" => Some(user),
        "args" | "all_args" => Some(args),
        _ => {
            let digit = placeholder.strip_prefix("arg").filter(|digit| digit.len() == 1)?;
            let place = digit.parse::<usize>().ok()?.checked_sub(1)?;
            Some(arg_words.get(place).map_or("", String::as_str))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::CommandLine;

    #[test]
    fn placeholders_are_filled() {
        for (body, want) in [
            ("!so {arg1}", "!so ann"),
            ("so {arg2} by {user}", "!so two words by bob"),
            ("#say {args}", r#"!say ann "two words""#),
            ("!say [{all_args}] {arg3}|", r#"!say [ann "two words"] |"#),
            ("!say {other} {arg0} {arg10} {", "!say {other} {arg0} {arg10} {"),
            ("!ping", "!ping"),
        ] {
            assert_eq!(expand(body, "bob", r#"ann "two words""#), want, "{body:?}");
        }
    }

    #[test]
    fn what_was_typed_is_not_read_again_nor_a_command() {
        assert_eq!(expand("!say {args}", "bob", "{user} $(count)"), "!say {user} $(count)");
        assert_eq!(expand("!say {args}", "bob", "!ban ann"), "!say ban ann");
        assert_eq!(expand("!say {args}", "bob", "a\r\nPRIVMSG #x :b"), "!say a  PRIVMSG #x :b");
    }

    #[test]
    fn the_command_itself_is_never_filled_in() {
        assert_eq!(CommandLine::parse(&expand("{arg1} ann", "bob", "ban")), None);
        assert_eq!(expand("!b{arg1} ann", "bob", "an"), "!b{arg1} ann");
        assert_eq!(check_no_loop("x", "{arg1} ann", |_| None), Err(AliasError::NoCommand));
        assert_eq!(check_no_loop("x", "  ", |_| None), Err(AliasError::NoCommand));
    }

    #[test]
    fn a_loop_is_refused() {
        let saved = |name: &str| match name {
            "b" => Some("!C".to_owned()),
            "c" => Some("a x".to_owned()),
            _ => None,
        };
        assert_eq!(check_no_loop("a", "!A x", saved), Err(loop_of("a", "a")));
        assert_eq!(check_no_loop("a", "!b", saved), Err(loop_of("a", "c")));
        assert_eq!(check_no_loop("d", "!ping", saved), Ok(()));
    }

    #[test]
    fn three_aliases_may_follow_one_another_but_not_four() {
        let saved = |name: &str| match name {
            "two" => Some("three".to_owned()),
            "three" => Some("ping".to_owned()),
            _ => None,
        };
        assert_eq!(check_no_loop("one", "two", saved), Ok(()));
        assert_eq!(
            check_no_loop("zero", "one", |name| if name == "one" {
                Some("two".to_owned())
            } else {
                saved(name)
            }),
            Err(AliasError::TooDeep { name: "zero".to_owned() })
        );
    }

    fn loop_of(name: &str, through: &str) -> AliasError {
        AliasError::Loop { name: name.to_owned(), through: through.to_owned() }
    }

    proptest! {
        #[test]
        fn an_alias_always_runs_the_command_of_its_body(args in "\\PC{0,40}", user in "\\PC{0,10}") {
            let expanded = expand("!say {args} {arg1} {user}", &user, &args);
            prop_assert_eq!(CommandLine::parse(&expanded).map(|line| line.name), Some("say"));
        }
    }
}
