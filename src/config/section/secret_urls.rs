//! URLs that may hold passwords.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Section, read_private_file};

impl Section<'_, '_> {
    /// A URL that may hold a password: kept like a secret, but worth a warning only with a password in it.
    pub(in crate::config) fn secret_url(
        &mut self,
        key: &str,
        check: impl FnOnce(&str) -> Option<String>,
    ) -> Option<SecretString> {
        let (secret, place) = self.any_secret(key)?;
        if has_password(&secret) && !place.from_env && !place.key.ends_with("_file") {
            self.reader.note_secret_in_file();
        }
        self.keep(secret, &place, check)
    }

    /// URLs that may hold passwords: `key` is a list, `key_file` a file with one a line.
    pub(in crate::config) fn secret_urls(
        &mut self,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<SecretString> {
        let read = |url: &str| check(url).map(|()| SecretString::from(url));
        let file_key = format!("{key}_file");
        let is_env = |section: &Self, key: &str| section.found(key).map(|found| found.place.from_env);
        let (direct, by_file) = (is_env(self, key), is_env(self, &file_key));
        let direct_urls = self.list(key, read).unwrap_or_default();
        let urls_of_file = self.parsed(&file_key, |path| {
            let content = read_private_file(path.as_ref())?;
            let lines = content.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(read).collect::<Result<Vec<_>, _>>()
        });
        if direct.is_some() && direct == by_file {
            self.refuse(&file_key, format!("give either `{key}` or `{file_key}`, not both"));
        }
        if by_file.is_some() && direct != Some(true) {
            return urls_of_file.unwrap_or_default();
        }
        if direct == Some(false) && direct_urls.iter().any(has_password) {
            self.reader.note_secret_in_file();
        }
        direct_urls
    }
}

fn has_password(url: &SecretString) -> bool {
    Url::parse(url.expose_secret())
        .is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
}
