//! One table of the settings, read key by key with type, range and default.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use toml::de::{DeTable, DeValue};
use url::Url;

use super::reader::{Place, Raw, Reader, env_place};
use super::secret::{read_private_file, weakness};

mod secret_urls;

/// Counts, rates and budgets that may be off.
pub(super) const COUNT_OR_OFF: RangeInclusive<usize> = 0..=1_000_000_000;
/// Counts that must be there.
pub(super) const COUNT: RangeInclusive<usize> = 1..=1_000_000_000;
/// Times in milliseconds, up to 24 h.
pub(super) const TIME_MS: RangeInclusive<u64> = 1..=86_400_000;
/// Times in milliseconds that may be off.
pub(super) const TIME_MS_OR_OFF: RangeInclusive<u64> = 0..=86_400_000;
/// Times in seconds, up to 24 h.
pub(super) const TIME_SECS: RangeInclusive<u64> = 1..=86_400;
/// Times in seconds that may be off.
pub(super) const TIME_SECS_OR_OFF: RangeInclusive<u64> = 0..=86_400;

/// Longest text value, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// A value and where it stands.
struct Found<'a> {
    raw: Raw<'a>,
    place: Place,
}

/// Reads one table. Every method notes its key as known, reports what is wrong and goes on with the default.
pub(super) struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    path: String,
    table: Option<&'a DeTable<'a>>,
    /// Off for tables of an array: variables cannot name them.
    has_env: bool,
    line: Option<usize>,
}

impl<'r, 'a> Section<'r, 'a> {
    pub(super) const fn new(
        reader: &'r mut Reader<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self { reader, path, table, has_env: true, line: None }
    }

    /// One table of the array of tables at `path`.
    pub(super) fn item(reader: &'r mut Reader<'a>, path: &str, line: usize, table: &'a DeTable<'a>) -> Self {
        Self { reader, path: path.to_owned(), table: Some(table), has_env: false, line: Some(line) }
    }

    pub(super) fn count(&mut self, key: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        self.optional_count(key, range).unwrap_or(default)
    }

    pub(super) fn optional_count(&mut self, key: &str, range: RangeInclusive<usize>) -> Option<usize> {
        let allowed = format!("must be a whole number from {} to {}", range.start(), range.end());
        self.read(key, |raw| {
            whole(raw)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| range.contains(number))
                .ok_or(allowed)
        })
    }

    pub(super) fn number(&mut self, key: &str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let allowed = format!("must be a number from {} to {}", range.start(), range.end());
        let read = |raw| fraction(raw).filter(|number| range.contains(number)).ok_or(allowed);
        self.read(key, read).unwrap_or(default)
    }

    pub(super) fn duration_ms(&mut self, key: &str, default_ms: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.time(key, default_ms, range, "milliseconds"))
    }

    pub(super) fn duration_secs(
        &mut self,
        key: &str,
        default_secs: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.time(key, default_secs, range, "seconds"))
    }

    fn time(&mut self, key: &str, default: u64, range: RangeInclusive<u64>, unit: &str) -> u64 {
        let allowed = format!("must be whole {unit} from {} to {}", range.start(), range.end());
        let read = |raw| {
            let number = whole(raw).and_then(|number| u64::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or(allowed)
        };
        self.read(key, read).unwrap_or(default)
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let read = |raw: Raw<'_>| match raw {
            Raw::Toml(DeValue::Boolean(flag)) => Ok(*flag),
            Raw::Env("true") => Ok(true),
            Raw::Env("false") => Ok(false),
            _ => Err("must be true or false".to_owned()),
        };
        self.read(key, read).unwrap_or(default)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A text with a form of its own; `parse` says what is allowed, without the value.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read(key, |raw| parse(text(raw)?))
    }

    /// One of a few names.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, names: &[(&str, T)], default: T) -> T {
        let read = |given: &str| match names.iter().find(|(name, _)| *name == given) {
            Some((_, value)) => Ok(*value),
            None => Err(format!("must be {}", listed(names.iter().map(|(name, _)| *name)))),
        };
        self.parsed(key, read).unwrap_or(default)
    }

    /// One of a few names, of which only the first works yet.
    pub(super) fn first_of(&mut self, key: &str, names: &[&str]) {
        self.parsed(key, |given| match names.iter().position(|name| *name == given) {
            Some(0) => Ok(()),
            Some(other) => Err(format!("\"{}\" is not in this version; use \"{}\"", names[other], names[0])),
            None => Err(format!("must be {}", listed(names.iter().copied()))),
        });
    }

    pub(super) fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.parsed(key, |text| {
            text.parse().map_err(|_| "must be an IP address with port, such as 127.0.0.1:8080".to_owned())
        })
    }

    /// A URL with one of the schemes, without user name and password.
    pub(super) fn url(&mut self, key: &str, schemes: &[&str]) -> Option<Url> {
        self.parsed(key, |text| {
            let allowed = || format!("must be a URL that begins with {}", listed_schemes(schemes));
            let url = Url::parse(text).map_err(|_| allowed())?;
            if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
                return Err(allowed());
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err("must not hold a user name or password".to_owned());
            }
            Ok(url)
        })
    }

    /// The address that HTTP paths are appended to: no slash at its end.
    pub(super) fn http_base(&mut self, key: &str) -> Option<String> {
        let url = self.url(key, &["https", "http"])?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    }

    /// A file that must be there, and may be public.
    pub(super) fn existing_file(&mut self, key: &str) -> Option<PathBuf> {
        self.parsed(key, |text| match std::fs::metadata(text) {
            Ok(meta) if meta.is_file() => Ok(PathBuf::from(text)),
            Ok(_) => Err("the named file is not a regular file".to_owned()),
            Err(error) => Err(format!("the named file cannot be read: {error}")),
        })
    }

    /// Texts: an array in the file, commas in the environment. `parse` says what is allowed for each.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.read(key, |raw| match raw {
            Raw::Env(text) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
            }
            Raw::Toml(DeValue::Array(array)) => {
                array.iter().map(|element| parse(text(Raw::Toml(element.get_ref()))?)).collect()
            }
            Raw::Toml(_) => Err("must be a list of texts: [\"…\", \"…\"]".to_owned()),
        })
    }

    /// A secret in one of its forms: `key`, `key_file` or the environment, which wins.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.checked_secret(key, |_| None)
    }

    /// A secret that others are checked by: at least 32 bytes, and not a well-known one.
    pub(super) fn key_secret(&mut self, key: &str) -> Option<SecretString> {
        self.checked_secret(key, weakness)
    }

    /// A secret whose content has rules; `check` says what is allowed, without the value.
    pub(super) fn checked_secret(
        &mut self,
        key: &str,
        check: impl FnOnce(&str) -> Option<String>,
    ) -> Option<SecretString> {
        let (secret, place) = self.any_secret(key)?;
        if !place.from_env && !place.key.ends_with("_file") {
            self.reader.note_secret_in_file();
        }
        self.keep(secret, &place, check)
    }

    fn keep(
        &mut self,
        secret: SecretString,
        place: &Place,
        check: impl FnOnce(&str) -> Option<String>,
    ) -> Option<SecretString> {
        match check(secret.expose_secret()) {
            None => Some(secret),
            Some(message) => {
                self.reader.refuse(place, message);
                None
            }
        }
    }

    fn any_secret(&mut self, key: &str) -> Option<(SecretString, Place)> {
        let file_key = format!("{key}_file");
        let found = match (self.take(key), self.take(&file_key)) {
            (None, None) => return None,
            (Some(direct), Some(by_file)) if direct.place.from_env == by_file.place.from_env => {
                self.reader.refuse(&by_file.place, format!("give either `{key}` or `{file_key}`, not both"));
                return None;
            }
            (Some(direct), by_file) if direct.place.from_env || by_file.is_none() => (direct, false),
            (_, Some(by_file)) => (by_file, true),
            (Some(direct), None) => (direct, false),
        };
        let (Found { raw, place }, in_file) = found;
        let secret = text(raw).and_then(|value| {
            if in_file { read_private_file(value.as_ref()) } else { Ok(SecretString::from(value)) }
        });
        // What came out of a file has not passed the rules for text yet.
        let checked =
            secret.and_then(|secret| text(Raw::Env(secret.expose_secret())).map(|_| ()).map(|()| secret));
        match checked {
            Ok(secret) => Some((secret, place)),
            Err(message) => {
                self.reader.refuse(&place, message);
                None
            }
        }
    }

    /// Whether the key is set at all, be it wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.found(key).is_some()
    }

    /// Refuses what the key says, for a reason that lies outside the key.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let place = match self.found(key) {
            Some(found) => found.place,
            None => self.reader.file_place(&self.dotted(key), self.line),
        };
        self.reader.refuse(&place, message);
    }

    /// Refuses a key of a later version that is switched on.
    pub(super) fn refuse_not_yet(&mut self, key: &str) {
        self.refuse(key, "not in this version");
    }

    /// Notes what is legal but unwise.
    pub(super) fn warn(&mut self, key: &str, message: &str) {
        let place = self.found(key).map(|found| found.place.problem(message));
        let text =
            place.map_or_else(|| format!("{}: {message}", self.dotted(key)), |problem| problem.to_string());
        self.reader.warnings.push(text);
    }

    pub(super) fn foreign_env(&self, name: &str) -> Option<&'a str> {
        self.reader.foreign_env(name)
    }

    fn read<T>(&mut self, key: &str, read: impl FnOnce(Raw<'a>) -> Result<T, String>) -> Option<T> {
        let found = self.take(key)?;
        match read(found.raw) {
            Ok(value) => Some(value),
            Err(message) => {
                self.reader.refuse(&found.place, message);
                None
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<Found<'a>> {
        self.reader.know(self.dotted(key));
        self.found(key)
    }

    fn found(&self, key: &str) -> Option<Found<'a>> {
        let dotted = self.dotted(key);
        if self.has_env
            && let Some((name, value)) = self.reader.find_env(&dotted)
        {
            return Some(Found { raw: Raw::Env(value), place: env_place(name) });
        }
        let (line, value) = self.reader.find(self.table?, key)?;
        Some(Found { raw: Raw::Toml(value), place: self.reader.file_place(&dotted, Some(line)) })
    }

    fn dotted(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

fn whole(raw: Raw<'_>) -> Option<i64> {
    match raw {
        Raw::Toml(DeValue::Integer(integer)) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        Raw::Toml(_) => None,
        Raw::Env(text) => text.trim().parse().ok(),
    }
}

fn fraction(raw: Raw<'_>) -> Option<f64> {
    match raw {
        Raw::Toml(DeValue::Float(float)) => float.as_str().parse().ok(),
        Raw::Toml(_) => whole(raw).and_then(|number| i32::try_from(number).ok()).map(f64::from),
        Raw::Env(text) => text.trim().parse().ok(),
    }
}

/// A text that is there, short and of one line: what comes later writes it into protocols made of lines.
fn text(raw: Raw<'_>) -> Result<&str, String> {
    let text = match raw {
        Raw::Toml(DeValue::String(text)) => text.as_ref(),
        Raw::Toml(_) => return Err("must be a text: \"…\"".to_owned()),
        Raw::Env(text) => text,
    };
    if text.trim().is_empty() {
        return Err("is empty; leave it out instead".to_owned());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("must have at most {TEXT_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not hold line breaks or other control characters".to_owned());
    }
    Ok(text)
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}

fn listed_schemes(schemes: &[&str]) -> String {
    schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ")
}
