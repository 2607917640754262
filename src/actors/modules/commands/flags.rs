//! What a moderator types behind `!addcom`: options, a name, options, and the text.

use domain::Level;

use crate::actors::ModuleError;
use crate::actors::command_name::{mistake, parse_name};

/// Longest cooldown: a day.
const COOLDOWN_SECS_MAX: u32 = 86_400;
/// Most other names that one line may give to a command.
const ALIASES_MAX: usize = 10;

/// The options of a command; `None` leaves as is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub level: Option<Level>,
    pub cooldown_secs: Option<u32>,
    pub user_cooldown_secs: Option<u32>,
    /// Names, lower case, without prefix.
    pub aliases: Vec<String>,
}

impl Options {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A line taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// Lower case, without prefix; `None` when nothing but options was typed.
    pub name: Option<String>,
    pub options: Options,
    /// What stands behind the name and the options, as it was typed.
    pub text: String,
}

enum Key {
    Level,
    Cooldown,
    UserCooldown,
    Alias,
}

/// Takes `args` apart. Options stand before or directly behind the name; further on they are text.
///
/// # Errors
/// [`ModuleError::User`] naming the option that does not fit.
pub fn parse(args: &str) -> Result<Typed, ModuleError> {
    let mut typed = Typed::default();
    let mut rest = args.trim();
    while !rest.is_empty() {
        let (word, behind) = split_word(rest);
        if let Some((key, inline)) = option_key(word, typed.name.is_none())? {
            let (value, behind) = if inline.is_empty() { split_word(behind) } else { (inline, behind) };
            apply(&mut typed.options, &key, word, value)?;
            rest = behind;
        } else if typed.name.is_none() {
            typed.name = Some(parse_name(word)?);
            rest = behind;
        } else {
            break;
        }
    }
    rest.clone_into(&mut typed.text);
    Ok(typed)
}

/// The first word and what stands behind it.
pub fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, behind)| (word, behind.trim_start()))
}

/// The option that `word` is, with its value behind `=`. A word such as `-5` behind the name is text.
fn option_key(word: &str, before_name: bool) -> Result<Option<(Key, &str)>, ModuleError> {
    let Some(bare) = word.strip_prefix('-') else { return Ok(None) };
    let (key, inline) = bare.split_once('=').unwrap_or((bare, ""));
    let known = match key.to_ascii_lowercase().as_str() {
        "ul" | "level" | "userlevel" => Key::Level,
        "cd" | "cooldown" => Key::Cooldown,
        "usercd" | "usercooldown" => Key::UserCooldown,
        "a" | "alias" => Key::Alias,
        _ if before_name || bare.contains('=') => {
            let shown: String = word.chars().take(20).collect();
            return Err(ModuleError::User(format!(
                "There is no option {shown}; use -ul=<level>, -cd=<seconds>, -usercd=<seconds> or -a=<alias>."
            )));
        }
        _ => return Ok(None),
    };
    Ok(Some((known, inline)))
}

fn apply(options: &mut Options, key: &Key, word: &str, value: &str) -> Result<(), ModuleError> {
    match key {
        Key::Level => {
            options.level = Some(value.parse::<Level>().map_err(mistake)?);
        }
        Key::Cooldown => options.cooldown_secs = Some(seconds(word, value)?),
        Key::UserCooldown => options.user_cooldown_secs = Some(seconds(word, value)?),
        Key::Alias => {
            for name in value.split(',').filter(|name| !name.is_empty()) {
                options.aliases.push(parse_name(name)?);
            }
            if options.aliases.is_empty() {
                return Err(ModuleError::User("-a needs a name, for example -a=hello.".to_owned()));
            }
            if options.aliases.len() > ALIASES_MAX {
                return Err(ModuleError::User(format!(
                    "A command can have at most {ALIASES_MAX} aliases at once."
                )));
            }
        }
    }
    Ok(())
}

fn seconds(word: &str, value: &str) -> Result<u32, ModuleError> {
    let digits = value.strip_suffix('s').unwrap_or(value);
    digits.parse().ok().filter(|secs| *secs <= COOLDOWN_SECS_MAX).ok_or_else(|| {
        let option = word.split('=').next().unwrap_or(word);
        ModuleError::User(format!(
            "{option} needs seconds from 0 to {COOLDOWN_SECS_MAX}, for example {option}=30."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn options_stand_before_or_behind_the_name_with_equals_or_space() {
        let want = Typed {
            name: Some("hi".to_owned()),
            options: Options {
                level: Some(Level::Moderator),
                cooldown_secs: Some(30),
                user_cooldown_secs: Some(60),
                aliases: names(&["hello"]),
            },
            text: "Hello  $(user) -cd=3".to_owned(),
        };
        for line in [
            "-ul=mod -cd=30 -usercd=60 -a=!hello !Hi Hello  $(user) -cd=3",
            "!hi -ul mod -cd 30s -usercd 60 -a hello Hello  $(user) -cd=3",
            "  -cd 30 !hi -level=500 -usercd=60 -alias=!Hello   Hello  $(user) -cd=3",
        ] {
            assert_eq!(parse(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn a_dash_in_the_text_is_text() {
        let typed = parse("!temp -5 degrees -cd=3").unwrap();
        assert_eq!((typed.text.as_str(), typed.options.is_empty()), ("-5 degrees -cd=3", true));
        assert_eq!(parse("!line - here").unwrap().text, "- here");
    }

    #[test]
    fn several_aliases_are_taken() {
        assert_eq!(
            parse("!hi -a=hello,hey -a !yo text").unwrap().options.aliases,
            names(&["hello", "hey", "yo"])
        );
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(parse("   ").unwrap(), Typed::default());
    }

    #[test]
    fn an_option_that_does_not_fit_is_named() {
        for (line, want) in [
            ("!hi -cd=soon text", "-cd needs seconds from 0 to 86400, for example -cd=30."),
            ("!hi -cd", "-cd needs seconds"),
            ("!hi -usercd=-1", "-usercd needs seconds"),
            ("!hi -cd=86401", "-cd needs seconds"),
            ("!hi -cd=99999999999999999999", "-cd needs seconds"),
            ("!hi -ul=king text", "unknown level `king`"),
            ("!hi -a", "-a needs a name"),
            ("!hi -a=,", "-a needs a name"),
            ("!hi -a=a,b,c,d,e,f,g,h,i,j,k", "at most 10"),
            ("!hi -a=$(x)", "cannot be a command's name"),
            ("-color=red !hi text", "There is no option -color=red"),
            ("-color red !hi text", "There is no option -color"),
            ("!hi -color=red text", "There is no option -color=red"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
