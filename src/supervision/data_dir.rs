//! The node's folder: the lock that keeps a second process out, and the keys that local mode makes for itself.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use storage::Vault;

use crate::config::Config;

const LOCK_FILE: &str = "node.lock";
const SERVICE_KEY_FILE: &str = "service.key";
const STORAGE_KEY_FILE: &str = "storage.key";
/// Entropy of a service key that we make, in bytes; written as hexadecimal digits.
const SERVICE_KEY_BYTES: usize = 32;

/// Holds `data/node.lock` exclusively as long as it lives; the system frees it when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder when it is missing and takes the lock.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process holds the lock; a retry helps once that one ended.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let shown = data_dir.display();
        fs::create_dir_all(data_dir).with_context(|| {
            format!(
                "node.data_dir: cannot make the folder {shown}; make it, or choose one that you may write"
            )
        })?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(data_dir.join(LOCK_FILE))
            .with_context(|| {
                format!("node.data_dir: cannot write in {shown}; make it writable for this user")
            })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "node.data_dir: another node is running on {shown}; stop it, or give this one its own folder"
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {shown}/{LOCK_FILE}"))
            }
        }
    }
}

/// The keys of this node.
#[derive(Debug)]
pub struct Keys {
    pub service_key: SecretString,
    pub vault: Vault,
}

impl Keys {
    /// Takes the keys from the configuration, else from the folder, else makes them (mode 0600).
    ///
    /// # Errors
    /// When a key file cannot be read or written, is readable by others, or is too short.
    pub fn read_or_create(config: &Config) -> anyhow::Result<Self> {
        let data_dir = &config.node.data_dir;
        let service_key = match &config.hub.service_key {
            Some(key) => key.clone(),
            None => service_key(&data_dir.join(SERVICE_KEY_FILE))?,
        };
        let vault = match &config.storage.key {
            Some(key) => Vault::from_hex(key).context("storage.key")?,
            None => Vault::open_or_create(&data_dir.join(STORAGE_KEY_FILE))
                .with_context(|| format!("{}/{STORAGE_KEY_FILE}", data_dir.display()))?,
        };
        Ok(Self { service_key, vault })
    }
}

fn service_key(path: &Path) -> anyhow::Result<SecretString> {
    let shown = path.display();
    if !path.exists() {
        let bytes: [u8; SERVICE_KEY_BYTES] = rand::make_rng::<rand::rngs::StdRng>().random();
        let text = hex(&bytes);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot write {shown}"))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write {shown}"))?;
        return Ok(SecretString::from(text));
    }
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        bail!("{shown}: other users of this machine can read it; run `chmod 600 {shown}`");
    }
    file.take(4_096).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    let key = SecretString::from(text.trim().to_owned());
    if key.expose_secret().len() < SERVICE_KEY_BYTES {
        bail!(
            "{shown}: the key is shorter than {SERVICE_KEY_BYTES} characters; remove the file, a new one is made"
        );
    }
    Ok(key)
}

/// Two digits a byte.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another node is running"), "{error}");
    }

    #[test]
    fn a_service_key_is_made_once_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SERVICE_KEY_FILE);
        let first = service_key(&path).unwrap();
        assert_eq!(first.expose_secret(), service_key(&path).unwrap().expose_secret());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = service_key(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains(first.expose_secret()), "{error}");
    }
}
