//! `[storage]`: the database that holds the truth.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::reader::Reader;
use super::section::{COUNT, TIME_MS};

/// Which database the URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    Sqlite,
    Postgres,
}

/// The database that holds the truth.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    pub kind: StorageKind,
    /// `sqlite://PATH` or `postgres://…`; it may hold a password.
    pub url: SecretString,
    /// Most connections to `PostgreSQL` at once.
    pub max_connections: usize,
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    /// A query that takes longer is logged as a warning.
    pub slow_query: Duration,
    /// Encrypts tokens at rest. `None`: made once in `<data_dir>/storage.key`.
    pub key: Option<SecretString>,
}

impl StorageConfig {
    pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> Self {
        let mut section = reader.section("storage");
        let url = section.secret_url("url", |text| kind_of(text).err()).unwrap_or_else(|| {
            SecretString::from(format!("sqlite://{}", data_dir.join("waddlebot.db").display()))
        });
        if section.list("replicas", |_| Ok(())).is_some_and(|replicas| !replicas.is_empty()) {
            section.refuse_not_yet("replicas");
        }
        Self {
            kind: kind_of(url.expose_secret()).unwrap_or(StorageKind::Sqlite),
            url,
            max_connections: section.count("max_connections", 16, COUNT),
            statement_timeout: section.duration_ms("statement_timeout_ms", 30_000, TIME_MS),
            lock_timeout: section.duration_ms("lock_timeout_ms", 10_000, TIME_MS),
            slow_query: section.duration_ms("slow_query_ms", 1_000, TIME_MS),
            key: section.key_secret("key"),
        }
    }
}

fn kind_of(url: &str) -> Result<StorageKind, String> {
    let allowed = || "must be sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned();
    if let Some(path) = url.strip_prefix("sqlite://") {
        return if path.is_empty() { Err(allowed()) } else { Ok(StorageKind::Sqlite) };
    }
    match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => Ok(StorageKind::Postgres),
        _ => Err(allowed()),
    }
}
