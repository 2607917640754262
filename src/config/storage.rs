//! `[storage]`: the database that holds the truth.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use storage::REPLICAS_MAX;
use url::Url;

use super::reader::Reader;
use super::section::{COUNT, Section, TIME_MS};

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
    /// Streaming replicas of that `PostgreSQL`, which serve lists; each may hold a password.
    pub replicas: Vec<SecretString>,
    /// A replica that is further behind serves nothing.
    pub replica_lag_max: Duration,
    /// Most connections to `PostgreSQL` at once, and to each replica.
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
        let kind = kind_of(url.expose_secret()).unwrap_or(StorageKind::Sqlite);
        let replicas = replicas(&mut section, kind);
        Self {
            kind,
            url,
            replicas,
            replica_lag_max: section.duration_ms("replica_lag_max_ms", 10_000, TIME_MS),
            max_connections: section.count("max_connections", 16, COUNT),
            statement_timeout: section.duration_ms("statement_timeout_ms", 30_000, TIME_MS),
            lock_timeout: section.duration_ms("lock_timeout_ms", 10_000, TIME_MS),
            slow_query: section.duration_ms("slow_query_ms", 1_000, TIME_MS),
            key: section.key_secret("key"),
        }
    }
}

/// The replicas, in the file, in a file of their own (one a line or with commas) or in the environment.
fn replicas(section: &mut Section<'_, '_>, kind: StorageKind) -> Vec<SecretString> {
    let key = if section.has("replicas_file") { "replicas_file" } else { "replicas" };
    let replicas = section.secret_urls("replicas", |url| match kind_of(url) {
        Ok(StorageKind::Postgres) => Ok(()),
        _ => Err("must be postgres://USER:PASSWORD@HOST/DATABASE for each replica".to_owned()),
    });
    if replicas.len() > REPLICAS_MAX {
        section.refuse(key, format!("must be at most {REPLICAS_MAX} replicas"));
    }
    if !replicas.is_empty() && kind == StorageKind::Sqlite {
        section.refuse(key, "needs PostgreSQL; storage.url names SQLite, which has no replicas");
    }
    replicas
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
